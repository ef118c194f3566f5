// Package layout is the table of all kinds of objects in a bucket. All code that writes, copies, checks, caches or
// documents objects uses this table, also for what their keys begin with. So a new kind is added here and in
// docs/format.md, and nowhere else.
package layout

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Name names a kind of object.
type Name string

// Names of the kinds to which code refers.
const (
	Settings      Name = "settings"
	Manifest      Name = "manifest"
	Segment       Name = "segment"
	Beside        Name = "object beside a segment"
	History       Name = "history"
	Digests       Name = "digests"
	Cosignature   Name = "cosignature"
	WAL           Name = "WAL object"
	Plan          Name = "plan"
	CopyState     Name = "state of a copy"
	Probe         Name = "probe"
	Quarantined   Name = "quarantined object"
	Organization  Name = "organization"
	Project       Name = "project"
	Credential    Name = "credential"
	ProjectNames  Name = "directory of projects"
	UserNames     Name = "directory of credentials"
	Publication   Name = "publication"
	Sources       Name = "sources"
	SourceState   Name = "state of a source"
	Intent        Name = "intent"
	Beat          Name = "beat"
	Cursor        Name = "cursor"
	Revocation    Name = "revocation"
	Alerts        Name = "rules of alerts"
	AlertState    Name = "state of a rule"
	Deliveries    Name = "deliveries"
	DeliveryState Name = "state of a delivery"
)

// Backup says when a backup copies the objects of a kind. The order makes a copy of a bucket in use consistent (see
// package backup).
type Backup int

const (
	Never        Backup = iota // It is not copied: it is meaningful only for the nodes of one bucket.
	BeforeAll                  // It is copied first: it is a cursor into objects that are copied later.
	WithWAL                    // It is copied next.
	WithLog                    // It is copied with its log, after the write-ahead log.
	WithDocument               // It is copied last.
)

// Check says how a check of a bucket reads the objects of a kind.
type Check int

const (
	Counted    Check = iota // It is counted and not read, since nothing relies on its content.
	AsDocument              // It is read as a version of a document, whose digest must match.
	AsSealed                // It is read whole, and must end with a valid seal.
	AsLog                   // It is read as a part of its log, whose manifest is signed.
	AsWAL                   // It is read as a part of the write-ahead log.
	AsLeftover              // It is reported, since nothing needs it.
)

// Kind is a kind of object.
type Kind struct {
	Name Name
	// Pattern is the form of the keys. <name> stands for a part of a key without slashes. The parts version, number,
	// entry, seconds, shard and expiry consist of digits. <key> stands for the key of another object.
	Pattern string
	// Replaced means that an object may be written again under the same key. Others are written once.
	Replaced bool
	Backup   Backup
	Check    Check
	// Cached means that a cache may keep parts of an object: it never changes and, once deleted, is never made again.
	Cached bool
	// Cleaned means that earlier versions of a document are deleted.
	Cleaned bool
	Text    string // description, in one line
}

// Kinds is the table, in the order of docs/format.md.
var Kinds = []Kind{
	{Settings, "weir/<version>.json", false, WithDocument, AsDocument, false, false, "the bucket's settings"},
	{Organization, "orgs/<id>/<version>.json", false, WithDocument, AsDocument, false, false, "an organization"},
	{Project, "projects/<id>/<version>.json", false, WithDocument, AsDocument, false, false,
		"a project: its settings, roles and workspaces"},
	{Credential, "credentials/<id>/<version>.json", false, WithDocument, AsDocument, false, false,
		"a service account, an API key or a user, by client id or public key"},
	{ProjectNames, "directory/<org>/projects/<part>/<version>.json", false, WithDocument, AsDocument, false, false,
		"which projects an organization has, by name; spread over 32 parts by a hash"},
	{UserNames, "directory/<org>/users/<part>/<version>.json", false, WithDocument, AsDocument, false, false,
		"which credentials an organization has, by id; spread over 32 parts by a hash"},
	{Publication, "publications/<log>/<version>.json", false, WithDocument, AsDocument, false, false,
		"whether a log is public"},
	{Sources, "sources/<project>/<version>.json", false, WithDocument, AsDocument, false, false,
		"what a project has collected from elsewhere; secrets are encrypted by a key of the nodes' secret"},
	{SourceState, "sourcestate/<source>/<version>.json", false, BeforeAll, AsDocument, false, true,
		"how far a source was collected; without it, it is collected again from 30 days back"},
	{Intent, "intents/<time>-<random>", false, WithDocument, AsSealed, false, false,
		"a change that a node is about to make, and the event that reports it if the node dies"},
	{Revocation, "revocations/<client>/<until>-<token>", true, WithDocument, Counted, false, false,
		"a token of a service account that is not valid any more, or all that expire until then"},
	{Manifest, "logs/<log>/manifest/<version>.json", false, WithLog, AsLog, false, false,
		"what a log consists of, and its checkpoint; the highest version counts"},
	{Segment, "logs/<log>/segments/<entry>-<random>.gz", false, WithLog, AsLog, true, false,
		"lines of a log, in order"},
	{Beside, "logs/<log>/beside/<part>/<entry>-<random>", false, WithLog, AsLog, true, false,
		"what was made from a segment, such as an index; a manifest names it with its segment"},
	{History, "logs/<log>/history/<entry>-<random>.json", false, WithLog, AsLog, true, false,
		"a list of older segments, named by the manifest"},
	{Digests, "logs/<log>/digests/<entry>-<random>", false, WithLog, AsLog, true, false,
		"the digests of lines that retention removed"},
	{Cosignature, "logs/<log>/cosignatures/<entry>-<random>", false, WithLog, Counted, false, false,
		"a witness's signature of the checkpoint of a size; it counts if it verifies"},
	{WAL, "wal/<shard>/<time>-<random>.gz", false, WithWAL, AsWAL, false, false,
		"lines of any logs that are not sequenced yet"},
	{Plan, "plans/<shard>/<number>.json", false, Never, AsWAL, false, false,
		"which WAL objects are, or were last, sequenced together"},
	{Beat, "leases/<role>/<node>/<number>-<seconds>", false, Never, Counted, false, false,
		"a sign of life of a node, and within how many seconds the next one comes"},
	{Cursor, "cursors/<follower>/<log>/<version>.json", false, Never, AsDocument, false, true,
		"how far a follower has come in a log; without it the follower begins again"},
	{Deliveries, "deliveries/<project>/<version>.json", false, WithDocument, AsDocument, false, false,
		"the deliveries of a project; what places ask for as proof is hidden under the nodes' secret"},
	{DeliveryState, "deliverystate/<delivery>/<log>/<version>.json", false, BeforeAll, AsDocument, false, true,
		"how far a delivery has come in a log, and what is parked; without it the delivery begins at the first entry"},
	{Alerts, "alerts/<project>/<version>.json", false, WithDocument, AsDocument, false, false,
		"the rules of a project's alerts, and who is told of them; secrets are encrypted"},
	{AlertState, "alertstate/<rule>/<version>.json", false, BeforeAll, AsDocument, false, true,
		"what a rule has counted, up to which entry of each log, and its alerts; without it the rule counts again " +
			"what was recorded since it was made"},
	{CopyState, "copy/state.json", true, Never, Counted, false, false,
		"in a copy made by weir bucket copy: of what, and whether it is complete"},
	{Probe, "probe/<random>", false, Never, AsLeftover, false, false,
		"what a node tries: at its start whether the store refuses to create an object twice, later whether it takes " +
			"objects"},
	{Quarantined, "quarantine/<time>/<key>", false, Never, Counted, false, false,
		"what weir bucket check --repair moved away"},
}

// forms are the regular expressions of the parts of a pattern that have a special form.
var forms = map[string]string{"version": `[0-9]+`, "number": `[0-9]+`, "entry": `[0-9]+`, "seconds": `[0-9]+`,
	"shard": `[0-9]+`, "expiry": `[0-9]+`, "key": `.+`}

var part = regexp.MustCompile(`<([a-z]+)>`)

// compiled are the regular expressions for the keys of each kind.
var compiled = sync.OnceValue(func() []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, k := range Kinds {
		text := part.ReplaceAllStringFunc(regexp.QuoteMeta(k.Pattern), func(p string) string {
			if form, ok := forms[strings.Trim(p, "<>")]; ok {
				return form
			}
			return `[^/]+`
		})
		all = append(all, regexp.MustCompile("^"+text+"$"))
	}
	return all
})

// Of returns the kind of the object at a key. ok is false if no kind matches.
func Of(key string) (k Kind, ok bool) {
	top := Top(key)
	for i, k := range Kinds {
		if k.Top() == top && compiled()[i].MatchString(key) {
			return k, true
		}
	}
	return Kind{}, false
}

// Prefix returns the beginning of the keys of a kind, with these values for the first variable parts of its pattern. If
// they determine the whole key, it is that. It panics if the table does not have the kind.
func (n Name) Prefix(parts ...string) string {
	rest := Kinds[slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == n })].Pattern
	prefix := ""
	for {
		fixed, after, found := strings.Cut(rest, "<")
		prefix += fixed
		if !found || len(parts) == 0 {
			return prefix
		}
		prefix += parts[0]
		_, rest, _ = strings.Cut(after, ">")
		parts = parts[1:]
	}
}

// Top returns the first part of the keys of a kind.
func (n Name) Top() string { return Top(n.Prefix()) }

// Is tells whether the object at a key is of a kind.
func Is(key string, name Name) bool {
	k, ok := Of(key)
	return ok && k.Name == name
}

// Cached tells whether a cache may keep parts of the object at a key.
func Cached(key string) bool {
	k, ok := Of(key)
	return ok && k.Cached
}

// Top returns the first part of a key or a pattern.
func Top(key string) string {
	top, _, _ := strings.Cut(key, "/")
	return top
}

// Top returns the first part of the keys of a kind.
func (k Kind) Top() string { return Top(k.Pattern) }

// Tops returns the first parts of the keys of all kinds for which fit returns true, without repetition, in the order of
// the table.
func Tops(fit func(Kind) bool) []string {
	var tops []string
	for _, k := range Kinds {
		if fit(k) && !slices.Contains(tops, k.Top()) {
			tops = append(tops, k.Top())
		}
	}
	return tops
}

// All accepts every kind.
func All(Kind) bool { return true }
