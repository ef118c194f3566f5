package api

import (
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
)

// ingestTokens are the operations on ingest tokens of projects.
type ingestTokens struct {
	credentials
	lists accessLists
}

// newIngestToken is the body of a creation.
type newIngestToken struct {
	Name   *string `json:"name"`
	Tenant *string `json:"tenantName"`
	Hours  *int    `json:"expiresAfterHours"`
}

// maxTokenHours is the longest lifetime of a token that expires: ten years.
const maxTokenHours = 10 * 365 * 24

func (in *newIngestToken) check(k *checks) {
	require(k, "name", in.Name)
	k.plainText("name", in.Name, 64)
	k.check(in.Hours == nil || *in.Hours >= 1 && *in.Hours <= maxTokenHours, "expiresAfterHours",
		"must be from 1 to %d; without it the token never expires", maxTokenHours)
}

type ingestTokenView struct {
	Created time.Time  `json:"createdAt"`
	Expires *time.Time `json:"expiresAt"` // null if it never expires
	ID      string     `json:"id"`
	Masked  string     `json:"maskedToken,omitempty"`
	Name    string     `json:"name"`
	Tenant  *string    `json:"tenantName"` // null for all workspaces of the project
	Token   string     `json:"token,omitempty"`
	Used    *time.Time `json:"lastUsedAt"` // null if it was never used
}

func momentOrNil(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Truncate(time.Second)
	return &at
}

// deletedTenant is shown as the workspace of a token whose workspace was deleted. Such a token cannot record any more.
const deletedTenant = "(deleted)"

func showIngestToken(c *call, which *account.Credential) ingestTokenView {
	v := ingestTokenView{Created: which.Created.UTC().Truncate(time.Second), Expires: momentOrNil(which.Token.Expires),
		ID: which.ID, Masked: which.Token.Masked, Name: which.Name, Used: momentOrNil(which.Used)}
	if which.Workspace == "" {
		return v
	}
	name := deletedTenant
	all := c.scope.project.Workspaces
	if i := slices.IndexFunc(all, func(w account.Workspace) bool { return w.ID == which.Workspace }); i >= 0 {
		name = all[i].Name
	}
	v.Tenant = &name
	return v
}

func (h ingestTokens) list(c *call) (any, error) {
	all, err := h.accounts.Members(c.context(), c.scope.project, account.IngestToken)
	if err != nil {
		return nil, err
	}
	return paginate(c, all, mapEach(c, showIngestToken))
}

// maxIngestTokens is the maximum number of ingest tokens of a project.
const maxIngestTokens = 1000

// create creates a token. Its text is shown only in this reply.
func (h ingestTokens) create(c *call) (any, error) {
	in, err := decode[newIngestToken](c)
	if err != nil {
		return nil, err
	}
	var k checks
	in.check(&k)
	if err := k.err(); err != nil {
		return nil, err
	}
	p := c.scope.project
	var w *account.Workspace
	if in.Tenant != nil {
		var ok bool
		if w, ok = p.Workspace(*in.Tenant); !ok {
			return nil, invalidAttributes(field{"tenantName", "no workspace of the project has this name"})
		}
	}
	have, err := h.accounts.Members(c.context(), p, account.IngestToken)
	if err != nil {
		return nil, err
	}
	if len(have) >= maxIngestTokens {
		return nil, &account.Full{Of: "A project", What: "ingest tokens", Most: maxIngestTokens}
	}
	var life time.Duration
	if in.Hours != nil {
		life = time.Duration(*in.Hours) * time.Hour
	}
	token, text := account.NewIngestToken(p, w, *in.Name, c.now, life)
	if err := h.store(c, token); err != nil {
		return nil, err
	}
	v := showIngestToken(c, &token)
	v.Token, v.Masked = text, ""
	return v, nil
}

func (h ingestTokens) get(c *call) (any, error) {
	token, err := h.find(c, account.IngestToken)
	if err != nil {
		return nil, err
	}
	return showIngestToken(c, token), nil
}

func (h ingestTokens) delete(c *call) (any, error) {
	token, err := h.find(c, account.IngestToken)
	if err != nil {
		return nil, err
	}
	return nil, h.discard(c, token)
}

func (h ingestTokens) listAccess(c *call) (any, error) {
	token, err := h.find(c, account.IngestToken)
	if err != nil {
		return nil, err
	}
	return paginate(c, token.AccessList, mapEach(c, showAccountAccess))
}

func (h ingestTokens) addAccess(c *call) (any, error) {
	token, err := h.find(c, account.IngestToken)
	if err == nil {
		token, err = h.lists.add(c, token)
	}
	if err != nil {
		return nil, err
	}
	return paginate(c, token.AccessList, mapEach(c, showAccountAccess))
}

func (h ingestTokens) removeAccess(c *call) (any, error) {
	token, err := h.find(c, account.IngestToken)
	if err == nil {
		err = h.lists.remove(c, token)
	}
	return nil, err
}
