package verify_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/verify"
	"github.com/weirlog/weir/internal/wal"
)

const wholeLog = "6a793f48c0eb9e7a17712f00"

// seals is the key of the nodes that wrote the bucket.
var seals = seal.NewKey(make([]byte, 32))

// wholeBucket returns a bucket with objects of every permanent kind.
func wholeBucket(t *testing.T) (*bucketest.Memory, *proof.Keys) {
	t.Helper()
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, ctx, keys := bucketest.NewMemory(), context.Background(), proof.NewKeys(key)
	accounts := account.NewDirectory(seal.NewBucket(b, seals))
	reader := wal.NewReader(b, seals, 1<<20)
	logs := tlog.NewLogs(b, reader, tlog.Options{Keys: keys, Origin: "example.org", BlockBytes: 500, HistorySegments: 2,
		MergeWidth: 100, Grace: -1, Beside: []segment.Kind{index.Kind{Least: 1}}})
	project := account.Project{ID: "6a793f48c0eb9e7a17712fff", Org: "o", Name: "p",
		Workspaces: []account.Workspace{{ID: "w", Name: "w", AuditLog: wholeLog,
			OperationalLog: "6a793f48c0eb9e7a17712f01"}}}
	errs := []error{accounts.CreateOrganization(ctx, account.Organization{ID: "o", Name: "o",
		Log: "6a793f48c0eb9e7a17712f02"}),
		accounts.CreateProject(ctx, project),
		accounts.Initialise(ctx, account.Settings{Shards: 1, Origin: "example.org"})}
	line := func(n int) string {
		return fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"},"actor":{"user":{"name":"u%d"}},"odd":%t}`, n, n, n%3,
			n%2 == 1)
	}
	for batch := range 5 {
		var lines []string
		for i := range 30 {
			lines = append(lines, line(batch*30+i))
		}
		errs = append(errs, logs.Append(ctx, int64(batch+1), "nonce", eventtest.Batch(wholeLog, lines...)))
		if batch == 2 { // the first segment is removed, and its digests stay
			_, err := logs.Prune(ctx, wholeLog, 30)
			errs = append(errs, err, logs.Sweep(ctx, wholeLog))
		}
	}
	w := wal.NewWriter(b, reader, 0, func(int64) {})
	errs = append(errs, w.Append(ctx, eventtest.Batch(wholeLog, line(1000))))
	w.Close()
	errs = append(errs, reader.CreatePlan(ctx, 0, wal.NewPlan(5, nil)))
	errs = append(errs, cosignWhole(ctx, logs))
	errs = append(errs, fillBesideLogs(ctx, b, accounts, project.ID)...)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b, keys
}

// wholeWitness has cosigned the log of the whole bucket.
var wholeWitness = func() *torchwood.CosignatureSigner {
	w, err := torchwood.NewCosignatureSigner("witness.example/w", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		panic(err)
	}
	return w
}()

func cosignWhole(ctx context.Context, logs *tlog.Logs) error {
	h, err := logs.Head(ctx, wholeLog)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(h.Checkpoint, "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, wholeWitness)
	if err != nil {
		return err
	}
	_, line, _ := strings.Cut(string(signed), "\n\n")
	return logs.KeepCosignature(ctx, wholeLog, h.Size, line)
}

// fillBesideLogs adds the objects that a bucket has besides logs and the write-ahead log.
func fillBesideLogs(ctx context.Context, b bucket.Bucket, accounts *account.Directory, project string) []error {
	sealed := seal.NewBucket(b, seals)
	now := time.UnixMilli(1_790_000_000_000)
	roles := []account.Grant{{Org: "o", Role: account.OrgOwner}, {Project: project, Role: account.GroupOwner}}
	var errs []error
	for range 2 {
		c, _ := account.NewServiceAccount("o", "owner", roles, now, time.Hour)
		errs = append(errs, accounts.CreateCredential(ctx, c))
	}
	cursors := "cursors/f/" + wholeLog
	errs = append(errs, accounts.Publish(ctx, wholeLog, account.Publication{Owner: project}),
		accounts.Publish(ctx, wholeLog, account.Publication{Owner: project, Public: true}),
		doc.Write(ctx, sealed, "alerts/"+project, 0, 1), doc.Write(ctx, sealed, "alerts/"+project, 1, 2),
		doc.Write(ctx, sealed, "alertstate/r", 6, 1), doc.Write(ctx, sealed, "alertstate/r", 7, 2),
		doc.Write(ctx, sealed, "sources/"+project, 0, 1), doc.Write(ctx, sealed, "sources/"+project, 1, 2),
		doc.Write(ctx, sealed, "sourcestate/s", 6, 1), doc.Write(ctx, sealed, "sourcestate/s", 7, 2),
		doc.Write(ctx, sealed, "deliveries/"+project, 0, 1), doc.Write(ctx, sealed, "deliveries/"+project, 1, 2),
		doc.Write(ctx, sealed, "deliverystate/d/"+wholeLog, 6, 1), doc.Write(ctx, sealed, "deliverystate/d/"+wholeLog, 7, 2),
		doc.Write(ctx, sealed, cursors, 6, 1), doc.Write(ctx, sealed, cursors, 7, 2),
		sealed.PutNew(ctx, "intents/0000000000000001-A", []byte("{}")),
		sealed.PutNew(ctx, "intents/0000000000000002-B", []byte(`{"line":""}`)))
	for _, key := range []string{"revocations/c/1790000000-A", "revocations/c/1790000001-B", "leases/background/n/1-5",
		"leases/background/n/2-5"} {
		errs = append(errs, b.PutNew(ctx, key, []byte(key)))
	}
	return errs
}

// damage is a way to change an object.
type damage string

const (
	flip      damage = "a byte is changed"
	truncate  damage = "it is cut"
	extend    damage = "something is appended"
	remove    damage = "it is deleted"
	swap      damage = "it is exchanged with another of its kind"
	duplicate damage = "it is put under the next name too"
	rollBack  damage = "it and all later ones of its kind are deleted"
)

var damages = []damage{flip, truncate, extend, remove, swap, duplicate, rollBack}

// unseen lists the damage, by kind, that a check need not find, although it has keys, the nodes' seals and a kept
// checkpoint. docs/proof.md says why, and how it is found.
var unseen = map[layout.Name][]damage{
	layout.Organization: {rollBack, remove}, layout.Project: {rollBack, remove}, layout.Credential: {rollBack, remove},
	layout.ProjectNames: {rollBack, remove}, layout.UserNames: {rollBack, remove},
	layout.Publication: {rollBack, remove}, layout.Intent: {rollBack, remove}, layout.Cursor: {rollBack, remove},
	layout.Alerts: {rollBack, remove}, layout.AlertState: {rollBack, remove},
	layout.Sources: {rollBack, remove}, layout.SourceState: {rollBack, remove},
	layout.Deliveries: {rollBack, remove}, layout.DeliveryState: {rollBack, remove},
	layout.WAL: {rollBack, remove}, layout.Plan: {rollBack, remove},
	layout.Revocation: damages, layout.Beat: damages, layout.Cosignature: damages,
}

// unmade lists the kinds that a bucket has only at times, and that nothing relies on.
var unmade = []layout.Name{layout.CopyState, layout.Probe, layout.Quarantined}

// TestCheckFindsDamage does each kind of damage to each object of a bucket with objects of every kind. The check must
// find it and name the object, unless unseen lists it.
func TestCheckFindsDamage(t *testing.T) {
	whole, keys := wholeBucket(t)
	check := verify.Check{Keys: keys, Seals: seals, Since: []verify.Checkpoint{keptCheckpoint(t, whole, keys)}}
	w, err := check.Everything(t.Context(), whole)
	if err != nil || w.Verdict != verify.Verified || len(w.Strays) > 0 || w.Logs != 1 || len(w.Notes) != 1 ||
		len(w.Intact) != 1 || w.Intact[0].Entries != 150 || w.Intact[0].Since != 150 {
		t.Fatalf("%+v, %v", w, err)
	}
	byKind := keysByKind(t, whole)
	for _, kind := range layout.Kinds {
		if len(byKind[kind.Name]) == 0 && !slices.Contains(unmade, kind.Name) {
			t.Errorf("the bucket has no %s", kind.Name)
		}
	}
	docsName(t, "| kind | what is not found |", unseen)
	damageEach(t, whole, byKind, func(kind layout.Name, key string, d damage, touched []string) {
		w, err := check.Everything(t.Context(), whole)
		if err != nil {
			t.Fatalf("%s: %s: %v", key, d, err)
		}
		if !names(w, touched) && !slices.Contains(unseen[kind], d) {
			t.Errorf("%s %s: %s, and the check says %+v", kind, key, d, w)
		}
	})
	if w, err = check.Everything(t.Context(), whole); err != nil || w.Verdict != verify.Verified {
		t.Errorf("all is as it was: %+v, %v", w, err)
	}
}

// unseenOffline lists the damage that a check of a folder with the public key and a kept checkpoint need not find, for
// the kinds that it checks: those of logs and of the write-ahead log.
var unseenOffline = map[layout.Name][]damage{
	layout.WAL: {rollBack, remove, duplicate}, layout.Plan: {rollBack, remove}, layout.Cosignature: {duplicate},
}

// TestVerifyOfAFolderFindsDamage does each kind of damage to each object of a log, and of the write-ahead log. weir
// verify FOLDER must find it and name the object.
func TestVerifyOfAFolderFindsDamage(t *testing.T) {
	whole, keys := wholeBucket(t)
	check := verify.Check{Keys: keys, Since: []verify.Checkpoint{keptCheckpoint(t, whole, keys)},
		Witnesses: []note.Verifier{wholeWitness.Verifier()}, Quorum: 1}
	verdict := func() ([]*verify.Report, verify.Verdict) {
		reports, err := check.Bucket(t.Context(), whole, nil)
		if err != nil {
			t.Fatal(err)
		}
		return reports, verify.Worst(reports)
	}
	if reports, v := verdict(); v != verify.Verified {
		t.Fatalf("whole: %s %+v %+v", v, reports[0], reports[len(reports)-1])
	}
	byKind := keysByKind(t, whole)
	for name := range byKind {
		if kind := kindOf(t, name); kind.Check != layout.AsLog && kind.Check != layout.AsWAL &&
			name != layout.Cosignature {
			delete(byKind, name)
		}
	}
	if len(byKind) < 8 {
		t.Fatalf("only these kinds are looked at: %v", byKind)
	}
	damageEach(t, whole, byKind, func(kind layout.Name, key string, d damage, touched []string) {
		reports, v := verdict()
		if !named(reports, touched) && !slices.Contains(unseenOffline[kind], d) {
			t.Errorf("%s %s: %s, and verify says %s", kind, key, d, v)
			for _, r := range reports {
				t.Logf("%+v", r)
			}
		}
	})
}

// named tells whether reports have a problem that names a touched object, or the log of one.
func named(reports []*verify.Report, touched []string) bool {
	for _, r := range reports {
		said := r.Notes
		for _, p := range r.Problems {
			said = append(said, p.Object+" "+p.What+" "+r.Subject)
		}
		for _, key := range touched {
			document := key[:strings.LastIndexByte(key, '/')]
			for _, s := range said {
				if strings.Contains(s, document) || strings.HasPrefix(key, "logs/") && strings.Contains(s, wholeLog) {
					return true
				}
			}
		}
	}
	return false
}

func kindOf(t *testing.T, name layout.Name) layout.Kind {
	t.Helper()
	i := slices.IndexFunc(layout.Kinds, func(k layout.Kind) bool { return k.Name == name })
	if i < 0 {
		t.Fatalf("there is no kind %s", name)
	}
	return layout.Kinds[i]
}

// keysByKind returns the keys of a bucket.
func keysByKind(t *testing.T, b bucket.Bucket) map[layout.Name][]string {
	t.Helper()
	byKind := map[layout.Name][]string{}
	for info := range b.List(t.Context(), "", "") {
		kind, ok := layout.Of(info.Key)
		if !ok {
			t.Fatalf("%s is of no kind", info.Key)
		}
		byKind[kind.Name] = append(byKind[kind.Name], info.Key)
	}
	return byKind
}

// docsName checks that the table in docs/proof.md whose header is begins names each kind.
func docsName(t *testing.T, begins string, kinds map[layout.Name][]damage) {
	t.Helper()
	text, err := os.ReadFile("../../docs/proof.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), begins)
	for kind := range kinds {
		if !strings.Contains(table, string(kind)) {
			t.Errorf("docs/proof.md does not say what finds damage of a %s", kind)
		}
	}
}

// damageEach does each damage to each object, calls look, and restores the bucket.
func damageEach(t *testing.T, b *bucketest.Memory, byKind map[layout.Name][]string,
	look func(kind layout.Name, key string, d damage, touched []string)) {
	before := contents(t, b)
	for kind, all := range byKind {
		for _, key := range all {
			for _, d := range damages {
				if d == remove && kind == layout.Manifest && key != all[len(all)-1] {
					continue // as nodes do
				}
				if touched := do(t, b, d, key, all); len(touched) > 0 { // the damage applies to this object
					look(kind, key, d, touched)
					restore(t, b, before)
				}
			}
		}
	}
}

// keptCheckpoint returns the checkpoint of the whole bucket's log, as an auditor would have kept it.
func keptCheckpoint(t *testing.T, b bucket.Bucket, keys *proof.Keys) verify.Checkpoint {
	t.Helper()
	d := audit.Auditor{Bucket: b, Keys: keys}
	a, err := d.Log(t.Context(), wholeLog)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Checkpoint{Origin: a.Origin, Size: a.Size, Root: a.Root}
}

// names tells whether a check has a problem that names a touched object, or the log of one.
func names(w *verify.Whole, touched []string) bool {
	var said []string
	for _, p := range w.Problems {
		said = append(said, p.Object+" "+p.What)
	}
	for _, s := range w.Strays {
		said = append(said, s.Object)
	}
	said = append(said, w.Notes...)
	if len(said) == 1 && strings.HasSuffix(said[0], "wait to be sequenced") {
		return false
	}
	for _, key := range touched {
		document := key[:strings.LastIndexByte(key, '/')]
		for _, s := range said {
			if strings.Contains(s, document) || strings.HasPrefix(key, "logs/") && strings.Contains(s, wholeLog) {
				return true
			}
		}
	}
	return false
}

// do does damage to an object, given all objects of its kind. It returns the keys of the objects that it touched.
func do(t *testing.T, b *bucketest.Memory, d damage, key string, all []string) (touched []string) {
	t.Helper()
	ctx, data := t.Context(), contents(t, b)
	put := func(key string, content []byte) error {
		touched = append(touched, key)
		return b.Put(ctx, key, content)
	}
	at := slices.Index(all, key)
	var err error
	switch d {
	case flip:
		changed := []byte(data[key])
		changed[len(changed)/2] ^= 0x01
		err = put(key, changed)
	case truncate:
		err = put(key, []byte(data[key][:len(data[key])/2]))
	case extend:
		err = put(key, []byte(data[key]+"more"))
	case remove:
		touched, err = []string{key}, b.Delete(ctx, key)
	case swap:
		if other := all[(at+1)%len(all)]; data[other] != data[key] {
			err = errors.Join(put(key, []byte(data[other])), put(other, []byte(data[key])))
		}
	case duplicate:
		next := nextName(key)
		if _, known := layout.Of(next); known && data[next] == "" {
			err = put(next, []byte(data[key]))
		}
	case rollBack:
		for _, later := range all[at:] {
			if later[:strings.LastIndexByte(later, '/')] == key[:strings.LastIndexByte(key, '/')] {
				touched = append(touched, later)
			}
		}
		err = b.Delete(ctx, touched...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return touched
}

// nextName returns the key after one, in the order of its kind: with the next number, or with another random end.
func nextName(key string) string {
	at := strings.LastIndexByte(key, '/') + 1
	name, end, versioned := strings.Cut(key[at:], ".json")
	if number, err := strconv.ParseInt(name, 10, 64); versioned && err == nil {
		return fmt.Sprintf("%s%0*d.json%s", key[:at], len(name), number+1, end)
	}
	if dash := strings.LastIndexByte(key, '-'); dash > at {
		changed := []byte(key)
		if changed[dash+1] != 'a' {
			changed[dash+1] = 'a'
		} else {
			changed[dash+1] = 'b'
		}
		return string(changed)
	}
	return ""
}

func contents(t *testing.T, b bucket.Bucket) map[string]string {
	t.Helper()
	all := map[string]string{}
	for info, err := range b.List(t.Context(), "", "") {
		data, readErr := bucket.Read(t.Context(), b, info.Key, bucket.Range{})
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		all[info.Key] = string(data)
	}
	return all
}

// restore gives a bucket its earlier contents.
func restore(t *testing.T, b *bucketest.Memory, before map[string]string) {
	t.Helper()
	now := contents(t, b)
	for key := range now {
		if _, ok := before[key]; !ok {
			if err := b.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, data := range before {
		if now[key] != data {
			if err := b.Put(t.Context(), key, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Quarantine moves the objects that nothing names, and no others, and loses no byte.
func TestQuarantineMovesOnlyUnnamedObjects(t *testing.T) {
	b, keys := wholeBucket(t)
	check := verify.Check{Keys: keys, Seals: seals}
	stray := "logs/" + wholeLog + "/segments/000000000000060-0123456789abcdef.gz"
	unknown := "somebody/else.txt"
	b.AllowAnyKeys()
	for _, key := range []string{stray, unknown} {
		if err := b.PutNew(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := check.Everything(t.Context(), b)
	if err != nil || w.Verdict != verify.Verified || len(w.Strays) != 2 {
		t.Fatalf("%+v, %v", w, err)
	}
	now := time.UnixMilli(math.MaxInt32 * 1000)
	if err := w.Quarantine(t.Context(), b, now); err != nil || len(w.Moved) != 1 || w.Moved[0] != stray {
		t.Fatalf("%v, %v", w.Moved, err)
	}
	moved, err := bucket.Read(t.Context(), b, "quarantine/"+now.UTC().Format("20060102T150405Z")+"/"+stray,
		bucket.Range{})
	if err != nil || string(moved) != stray {
		t.Errorf("%q, %v", moved, err)
	}
	if w, err = check.Everything(t.Context(), b); err != nil || w.Verdict != verify.Verified ||
		len(w.Strays) != 1 || w.Strays[0].Object != unknown {
		t.Errorf("%+v, %v", w, err)
	}
}

// Objects that a deleted later manifest named are not moved, so that the manifest can be put back.
func TestEvidenceOfADeletedManifestStays(t *testing.T) {
	b, keys := wholeBucket(t)
	var manifests []string
	for info := range b.List(t.Context(), "logs/"+wholeLog+"/manifest/", "") {
		manifests = append(manifests, info.Key)
	}
	if err := b.Delete(t.Context(), manifests[len(manifests)-1]); err != nil {
		t.Fatal(err)
	}
	w, err := verify.Check{Keys: keys, Seals: seals}.Everything(t.Context(), b)
	if err != nil || len(w.Strays) == 0 {
		t.Fatalf("%+v, %v", w, err)
	}
	if err := w.Quarantine(t.Context(), b, time.UnixMilli(0)); err != nil || len(w.Moved) > 0 {
		t.Errorf("moved are %v, %v", w.Moved, err)
	}
}
