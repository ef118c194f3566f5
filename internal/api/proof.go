package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/tlog"
)

// What is proven of a log: checkpoint and tiles (https://c2sp.org/tlog-tiles), proofs, and the document that says where they
// come from. All of it holds digests only, so reading it is no event in the log.

// addProofs adds the handlers.
func (s *Server) addProofs(add func(method, path string, h handler)) {
	for path, find := range map[string]finder{
		ownGroup + "/logs/{logId}": (*call).projectWithLogs,
		ownOrg + "/logs/{logId}":   (*call).orgLogs,
	} {
		add("GET", path+"/checkpoint", s.reading(ofLog(find, true, (*call).checkpoint)))
		add("GET", path+"/tile/{tile...}", s.reading(ofLog(find, true, (*call).tile)))
		add("GET", path+"/proof", s.reading(ofLog(find, false, (*call).proof)))
	}
}

// finder returns the logs of what the path names that the caller may read.
type finder func(*call) ([]keptLog, error)

func (c *call) orgLogs() ([]keptLog, error) {
	if err := c.enterOrg(c.r.PathValue("orgId"), account.OwnOrg); err != nil {
		return nil, err
	}
	return []keptLog{{id: c.org.Log, kind: "organization"}}, nil
}

// ofLog wraps a handler for one of these logs. If open is set everybody may ask it of a public one.
func ofLog(find finder, open bool, run func(c *call, log string) error) handler {
	return func(c *call) error {
		id := c.r.PathValue("logId")
		if open {
			p, err := c.server.accounts.Publication(c.context(), id)
			if err != nil {
				return unavailable(err)
			}
			if p.Public && (p.Owner == c.r.PathValue("groupId") || p.Owner == c.r.PathValue("orgId")) {
				c.w.Header().Set("Access-Control-Allow-Origin", "*")
				return run(c, id)
			}
		}
		if err := c.authenticate(); err != nil {
			return err
		}
		log, err := c.findLog(find)
		if err != nil {
			return err
		}
		return run(c, log.id)
	}
}

// findLog returns the log that the path names, if the caller may read it.
func (c *call) findLog(find finder) (keptLog, error) {
	found, err := find(c)
	if err != nil {
		return keptLog{}, err
	}
	id := c.r.PathValue("logId")
	i := slices.IndexFunc(found, func(l keptLog) bool { return l.id == id })
	if i < 0 {
		return keptLog{}, logNotFound(id)
	}
	return found[i], nil
}

func logNotFound(id string) *problem {
	return notFoundAs("LOG_NOT_FOUND", "No log with ID %s exists.", id)
}

func (c *call) checkpoint(log string) error {
	h, err := c.server.logs.Head(c.context(), log)
	if err != nil {
		return c.proofError(err)
	}
	c.sendText("text/plain; charset=utf-8", "no-cache", []byte(h.Signed()))
	return nil
}

// tile answers with a tile, full or partial. What it holds never changes.
func (c *call) tile(log string) error {
	path := "tile/" + c.r.PathValue("tile")
	t, err := torchwood.ParseTilePath(path)
	if err != nil {
		return resourceNotFound(c.r.URL.Path)
	}
	data, err := c.server.logs.Tile(c.context(), log, t)
	if err != nil {
		return c.proofError(err)
	}
	who := "private"
	if c.caller == nil {
		who = "public"
	}
	c.sendText("application/octet-stream", who+", max-age=31536000, immutable", data)
	return nil
}

func (c *call) sendText(mediaType, caching string, data []byte) {
	h := c.w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", caching)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		c.w.Write(data) // an error means that the client has gone
	}
}

// proofError makes a 404 of what the tree does not have.
func (c *call) proofError(err error) error {
	if errors.Is(err, tlog.ErrBeyond) {
		return resourceNotFound(c.r.URL.Path)
	}
	return unavailable(err)
}

// proof answers with the proof that an entry is in the log (index), that a tree goes on from an older one (from, to), or of
// which entries a download holds (its parameters, and the size that came with it).
func (c *call) proof(log string) error {
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalidQuery(field{"query", err.Error()})
	}
	switch {
	case query.Has("index"):
		return c.proveEntry(log, query)
	case query.Has("from") || query.Has("to"):
		return c.proveSince(log, query)
	case query.Has("size"):
		return c.proveFile(log, query)
	}
	return invalidQuery(field{"index", `want "index", or "from" and "to", or "size" with the parameters of a download`})
}

// number reads a number of the query.
func number(query url.Values, name string, least int64) (int64, error) {
	n, err := strconv.ParseInt(query.Get(name), 10, 64)
	if err != nil || n < least {
		return 0, invalidQuery(field{name, "must be an integer, at least " + strconv.FormatInt(least, 10)})
	}
	return n, nil
}

// entryProof is the proof that an entry is in the tree.
type entryProof struct {
	Index      int64        `json:"index"`
	Entry      proof.Hash   `json:"entry"` // SHA-256 of the line
	Hashes     []proof.Hash `json:"hashes"`
	Checkpoint string       `json:"checkpoint"`
}

// proveEntry answers as C2SP tlog-proof says if text is asked for, else in JSON.
func (c *call) proveEntry(log string, query url.Values) error {
	index, err := number(query, "index", 0)
	if err != nil {
		return err
	}
	p, h, digest, err := c.server.logs.ProveEntry(c.context(), log, index)
	if err != nil {
		return c.proofError(err)
	}
	if !strings.Contains(strings.Join(c.r.Header.Values("Accept"), ","), "text/plain") {
		c.writeOwn(entryProof{index, digest, nonNil(p), h.Signed()})
		return nil
	}
	c.sendText("text/plain; charset=utf-8", "no-cache", torchwood.FormatProof(index, p, []byte(h.Signed())))
	return nil
}

// treeProof is the proof that a tree goes on from an older one.
type treeProof struct {
	From   int64        `json:"from"`
	To     int64        `json:"to"`
	Hashes []proof.Hash `json:"hashes"`
}

func (c *call) proveSince(log string, query url.Values) error {
	from, err := number(query, "from", 0)
	if err != nil {
		return err
	}
	to, err := number(query, "to", from)
	if err != nil {
		return err
	}
	var p modtlog.TreeProof
	if from > 0 { // every tree goes on from the empty one
		if p, err = c.server.logs.ProveSince(c.context(), log, from, to); err != nil {
			return c.proofError(err)
		}
	}
	c.writeOwn(treeProof{from, to, nonNil(p)})
	return nil
}

func nonNil(hashes []proof.Hash) []proof.Hash {
	if hashes == nil {
		return []proof.Hash{}
	}
	return hashes
}

// proveFile streams the proof of a download.
func (c *call) proveFile(log string, query url.Values) error {
	size, err := number(query, "size", 0)
	if err != nil {
		return err
	}
	if err := c.server.limits.take(c.w.Header(), c.caller.Credential.ID, "api/weir/v1/logs/proof", c.now); err != nil {
		return err
	}
	q, err := parseRange(c.r.URL.RawQuery, c.now)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.Header().Set("Cache-Control", "no-cache")
	err = c.server.logs.ProveFile(c.context(), log, strings.TrimSuffix(c.r.URL.Path, "/proof"), q, size, c.w)
	switch {
	case err == nil:
		return nil
	case c.w.status == 0:
		return c.proofError(err)
	case c.context().Err() == nil:
		c.server.options.Logger.Error("proof broken off", "err", err, "request", c.id)
	}
	panic(http.ErrAbortHandler)
}

// writeOwn replies with JSON of weir's own.
func (c *call) writeOwn(content any) {
	c.w.Header().Set("Content-Type", own.mediaType(""))
	c.write(http.StatusOK, content)
}

// logDocument says where what is proven of a log comes from.
type logDocument struct {
	ID        string      `json:"logId"`
	Kind      string      `json:"kind"`
	Workspace string      `json:"workspaceName,omitempty"`
	Origin    string      `json:"origin"`
	Size      int64       `json:"size"`
	Root      proof.Hash  `json:"root"`
	Keys      []signedBy  `json:"keys"` // that signed its checkpoints, oldest first
	Public    bool        `json:"public"`
	Removed   *removedRun `json:"removed,omitempty"` // by retention
}

// signedBy is a key and the sizes of the tree that it signed: from on, up to to, which it did not sign any more.
type signedBy struct {
	Key  string `json:"key"` // as golang.org/x/mod/sumdb/note has it
	From int64  `json:"from"`
	To   *int64 `json:"to,omitempty"`
}

type removedRun struct {
	First   int64 `json:"first"` // index of the first entry
	Entries int64 `json:"entries"`
}

func (c *call) showLog(l keptLog) (logDocument, error) {
	h, err := c.server.logs.Head(c.context(), l.id)
	if err != nil {
		return logDocument{}, c.proofError(err)
	}
	p, err := c.server.accounts.Publication(c.context(), l.id)
	if err != nil {
		return logDocument{}, unavailable(err)
	}
	d := logDocument{ID: l.id, Kind: l.kind, Origin: c.server.logs.Origin(l.id), Size: h.Size, Root: h.Root, Keys: []signedBy{}, Public: p.Public}
	if l.workspace != nil {
		d.Workspace = l.workspace.Name
	}
	if h.Pruned.Entries > 0 {
		d.Removed = &removedRun{h.Pruned.First, h.Pruned.Entries}
	}
	for _, k := range h.Keys {
		key, err := proof.VerifierKey(d.Origin, k.Public)
		if err != nil {
			return d, unavailable(err)
		}
		by := signedBy{Key: key, From: k.From}
		if k.To > 0 {
			by.To = &k.To
		}
		d.Keys = append(d.Keys, by)
	}
	return d, nil
}

func (c *call) getGroupLog() (any, error) { return c.getLog((*call).projectWithLogs) }
func (c *call) getOrgLog() (any, error)   { return c.getLog((*call).orgLogs) }

func (c *call) getLog(find finder) (any, error) {
	l, err := c.findLog(find)
	if err != nil {
		return nil, err
	}
	return c.showLog(l)
}

func (c *call) updateGroupLog() (any, error) { return c.updateLog((*call).projectWithLogs) }
func (c *call) updateOrgLog() (any, error)   { return c.updateLog((*call).orgLogs) }

// updateLog makes a log public, or not. That is its owners' to say.
func (c *call) updateLog(find finder) (any, error) {
	l, err := c.findLog(find)
	if err != nil {
		return nil, err
	}
	owner := c.r.PathValue("orgId")
	what := changed{activity: event.Update, kind: "Log", id: l.id, name: l.kind, workspace: l.workspace, project: c.target.project}
	if what.project != nil {
		if !c.caller.Credential.May(account.Own, what.project) {
			return nil, forbidden()
		}
		owner = what.project.ID
	}
	in, err := decode[struct {
		Public *bool `json:"public"`
	}](c)
	if err != nil {
		return nil, err
	}
	var k checks
	public := require(&k, "public", in.Public)
	if err := k.err(); err != nil {
		return nil, err
	}
	var after logDocument
	return &after, c.change(what, func() (any, any, error) {
		before, err := c.showLog(l)
		if err == nil {
			err = c.server.accounts.Publish(c.detached(), l.id, account.Publication{Public: public, Owner: owner})
		}
		if err == nil {
			after, err = c.showLog(l)
		}
		return before, after, err
	})
}
