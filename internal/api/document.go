package api

import (
	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
)

// logDocument describes a log and the keys of its proofs.
type logDocument struct {
	ID        string      `json:"logId"`
	Kind      string      `json:"kind"`
	Workspace string      `json:"workspaceName,omitempty"`
	Origin    string      `json:"origin"`
	Size      int64       `json:"size"`
	Root      proof.Hash  `json:"root"`
	Keys      []signedBy  `json:"keys"` // keys that have signed its checkpoints, oldest first
	Public    bool        `json:"public"`
	Removed   *removedRun `json:"removed,omitempty"` // removed by retention
}

// signedBy is a key and the sizes of the trees that it has signed, a half-open range.
type signedBy struct {
	Key  string `json:"key"` // in the form of golang.org/x/mod/sumdb/note
	From int64  `json:"from"`
	To   *int64 `json:"to,omitempty"`
}

type removedRun struct {
	First   int64 `json:"first"` // index of the first entry
	Entries int64 `json:"entries"`
}

func (h logs) document(c *call, l keptLog) (logDocument, error) {
	head, err := h.logs.Head(c.context(), l.id)
	if err != nil {
		return logDocument{}, err
	}
	p, err := h.accounts.Publication(c.context(), l.id)
	if err != nil {
		return logDocument{}, err
	}
	d := logDocument{ID: l.id, Kind: l.kind, Origin: h.logs.Origin(l.id), Size: head.Size, Root: head.Root,
		Keys: []signedBy{}, Public: p.Public}
	if l.workspace != nil {
		d.Workspace = l.workspace.Name
	}
	if head.Pruned.Entries > 0 {
		d.Removed = &removedRun{head.Pruned.First, head.Pruned.Entries}
	}
	for _, k := range head.Keys {
		key, err := proof.VerifierKey(d.Origin, k.Public)
		if err != nil {
			return d, err
		}
		by := signedBy{Key: key, From: k.From}
		if k.To > 0 {
			by.To = &k.To
		}
		d.Keys = append(d.Keys, by)
	}
	return d, nil
}

func (h logs) get(c *call) (any, error) { return h.document(c, c.scope.log) }

// update makes a log public or private. Only its owners may do so.
func (h logs) update(c *call) (any, error) {
	l, owner := c.scope.log, c.path("orgId")
	what := changed{activity: event.Update, kind: "Log", id: l.id, name: l.kind, workspace: l.workspace,
		project: c.scope.project}
	if what.project != nil {
		if !c.caller.May(account.Own, what.project) {
			return nil, forbidden(account.Own)
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
	return &after, h.change(c, what, func() (any, any, error) {
		before, err := h.document(c, l)
		if err == nil {
			err = h.accounts.Publish(c.detached(), l.id, account.Publication{Public: public, Owner: owner})
		}
		if err == nil {
			after, err = h.document(c, l)
		}
		return before, after, err
	})
}
