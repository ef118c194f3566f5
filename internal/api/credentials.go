package api

import (
	"errors"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// Credentials are reached through their organization, or through a project on which they have roles. Through a project
// they are shown with their roles on it, and the owner of the project may change these roles.

// credentials is the state of handlers that change credentials.
type credentials struct{ control }

// keys are the operations on API keys.
type keys struct{ credentials }

// find returns the credential in the path, if it can be reached through the organization or project in the path.
func (h credentials) find(c *call, kind account.Kind) (*account.Credential, error) {
	found, err := h.findInOrg(c, kind)
	if err != nil {
		return nil, err
	}
	if _, p := c.scope.within(); p != nil && len(found.RolesOn("", p.ID)) == 0 {
		return nil, credentialNotFound(c, kind)
	}
	return found, nil
}

// findInOrg returns the credential in the path, if it belongs to the organization.
func (h credentials) findInOrg(c *call, kind account.Kind) (*account.Credential, error) {
	org, _ := c.scope.within()
	var found *account.Credential
	var err error
	switch kind {
	case account.APIKey:
		found, err = h.accounts.CredentialOf(c.context(), org, c.path("apiUserId"))
	case account.IngestToken:
		found, err = h.accounts.Credential(c.context(), c.path("tokenId"))
	default:
		found, err = h.accounts.Credential(c.context(), clientIDOf(c.path("clientId")))
	}
	if errors.Is(err, account.ErrNotFound) || err == nil && (found.Org != org || found.Kind != kind) {
		return nil, credentialNotFound(c, kind)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func credentialNotFound(c *call, kind account.Kind) error {
	switch kind {
	case account.APIKey:
		return keyNotFound(c.path("apiUserId"))
	case account.IngestToken:
		return ingestTokenNotFound(c.path("tokenId"))
	}
	return serviceAccountNotFound(c.path("clientId"))
}

// mayChange tells whether the caller may change a credential itself, not only its roles on one project. An owner of its
// organization may, and so may an owner of the only project on which it has roles. Without this check, a project owner
// could create a secret for an organization owner.
func mayChange(c *call, which *account.Credential) bool {
	_, p := c.scope.within()
	return c.caller.MayInOrg(account.OwnOrg, which.Org) || p != nil &&
		!slices.ContainsFunc(which.Roles, func(g account.Grant) bool {
			return g.Project != p.ID && g.Role != account.OrgMember
		})
}

func changedCredential(c *call, a event.Activity, which *account.Credential) changed {
	_, p := c.scope.within()
	what := changed{activity: a, kind: "Service Account", id: which.ID, name: which.Name, org: which.Org, project: p}
	switch which.Kind {
	case account.APIKey:
		what.kind, what.name = "API Key", which.Description
	case account.IngestToken:
		what.kind = "Ingest Token"
	}
	return what
}

// store stores a new credential.
func (h credentials) store(c *call, which account.Credential) error {
	if err := h.accounts.Room(c.context(), which.Org, account.ListedCredentials); err != nil {
		return err
	}
	return h.change(c, changedCredential(c, event.Create, &which), func() (any, any, error) {
		return nil, withoutSecrets(&which), h.accounts.CreateCredential(c.detached(), which)
	})
}

// modify calls change with a credential, and stores and records the result.
func (h credentials) modify(c *call, which *account.Credential,
	change func(*account.Credential) error) (*account.Credential, error) {
	var now *account.Credential
	err := h.change(c, changedCredential(c, event.Update, which), func() (before, after any, err error) {
		now, err = h.accounts.ChangedFrom(c.address.Addr()).UpdateCredential(c.detached(), which.ID,
			func(which *account.Credential) error {
				before = withoutSecrets(which)
				return change(which)
			})
		if err == nil {
			after = withoutSecrets(now)
		}
		return before, after, keepOwner(err)
	})
	return now, err
}

// assign replaces a credential's roles on the project of the path. Without roles, it removes the credential from the
// project.
func (h credentials) assign(c *call, which *account.Credential, roles []account.Role,
	change func(*account.Credential) error) (*account.Credential, error) {
	var now *account.Credential
	err := h.change(c, changedCredential(c, event.Update, which), func() (before, after any, err error) {
		now, err = h.accounts.ChangedFrom(c.address.Addr()).Assign(c.detached(), which.ID, c.scope.project.ID, roles,
			func(which *account.Credential) error {
				before = withoutSecrets(which)
				return change(which)
			})
		if err == nil {
			after = withoutSecrets(now)
		}
		return before, after, err
	})
	return now, err
}

func (h credentials) discard(c *call, which *account.Credential) error {
	return h.change(c, changedCredential(c, event.Delete, which), func() (any, any, error) {
		return withoutSecrets(which), nil, keepOwner(
			h.accounts.ChangedFrom(c.address.Addr()).DeleteCredential(c.detached(), which.ID))
	})
}

// keepOwner turns ErrLastOwner into a refusal.
func keepOwner(err error) error {
	if !errors.Is(err, account.ErrLastOwner) {
		return err
	}
	return &problem{status: 403, code: "CANNOT_DEMOTE_LAST_ORG_OWNER", parameters: []any{},
		detail: "Cannot demote the last owner of the organization."}
}

// auditedCredential is a credential as the log shows it: everything that matters except its secrets.
type auditedCredential struct {
	ID          string                `json:"id"`
	Name        string                `json:"name,omitempty"`
	Description string                `json:"description,omitempty"`
	Roles       []account.Grant       `json:"roles"`
	Secrets     []secretView          `json:"secrets,omitempty"`
	AccessList  []account.AccessEntry `json:"accessList,omitempty"`
	Workspace   string                `json:"workspaceId,omitempty"` // of an ingest token
	Expires     *time.Time            `json:"expiresAt,omitempty"`   // of an ingest token
}

func withoutSecrets(which *account.Credential) auditedCredential {
	v := auditedCredential{ID: which.ID, Name: which.Name, Description: which.Description, Roles: which.Roles,
		AccessList: which.AccessList, Workspace: which.Workspace, Expires: momentOrNil(which.Token.Expires)}
	for _, s := range which.Secrets {
		v.Secrets = append(v.Secrets, showSecret(s))
	}
	return v
}

// shownGrants returns the roles of a credential that the caller may see. Through a project, these are the roles on it.
// Through an organization, they are the roles on organizations and projects that the caller may see.
func shownGrants(c *call, which *account.Credential) []account.Grant {
	org, p := c.scope.within()
	own := c.caller
	shown := []account.Grant{}
	for _, g := range which.Roles {
		switch {
		case p != nil && g.Project == p.ID,
			g.Project == "" && own.MayInOrg(account.SeeOrg, g.Org),
			p == nil && g.Project != "" && own.May(account.See, &account.Project{ID: g.Project, Org: org}):
			shown = append(shown, g)
		}
	}
	return shown
}

// newKey is the body of a creation or an update.
type newKey struct {
	Desc  *string        `json:"desc"`
	Roles []account.Role `json:"roles"`
}

func (in *newKey) check(k *checks, prefix string, ofOrganization bool) {
	require(k, prefix+"desc", in.Desc)
	if len(in.Roles) == 0 {
		require[string](k, prefix+"roles", nil)
	}
	in.checkUpdate(k, prefix, ofOrganization)
}

func (in *newKey) checkUpdate(k *checks, prefix string, ofOrganization bool) {
	k.check(in.Desc == nil || *in.Desc != "" && utf8.RuneCountInString(*in.Desc) <= 250, prefix+"desc",
		"must have 1 to 250 characters")
	k.roles(prefix+"roles", in.Roles, ofOrganization)
}

type keyView struct {
	Desc       string          `json:"desc"`
	ID         string          `json:"id"`
	Links      []link          `json:"links"`
	PrivateKey string          `json:"privateKey"`
	PublicKey  string          `json:"publicKey"`
	Roles      []account.Grant `json:"roles"`
}

func showKey(c *call, which *account.Credential) keyView {
	org, _ := c.scope.within()
	return keyView{Desc: which.Description, ID: which.UserID, PrivateKey: which.HA1.Masked, PublicKey: which.ID,
		Roles: shownGrants(c, which), Links: c.self(base+"/orgs/%s/apiKeys/%s", org, which.UserID)}
}

// make creates a key and returns it with its private key, which is never shown again.
func (h keys) make(c *call, in newKey, roles []account.Grant) (*keyView, error) {
	org, _ := c.scope.within()
	key, private := account.NewAPIKey(org, *in.Desc, roles, c.now)
	if err := h.store(c, key); err != nil {
		return nil, err
	}
	v := showKey(c, &key)
	v.PrivateKey, v.Roles = private, roles
	return &v, nil
}

func (h keys) listOfOrg(c *call) (any, error) {
	keys, err := h.accounts.Credentials(c.context(), c.scope.org.ID, account.APIKey)
	if err != nil {
		return nil, err
	}
	return paginate(c, keys, mapEach(c, showKey))
}

func (h keys) listOfProject(c *call) (any, error) {
	keys, err := h.accounts.Members(c.context(), c.scope.project, account.APIKey)
	if err != nil {
		return nil, err
	}
	return paginate(c, keys, mapEach(c, showKey))
}

func (h keys) createInOrg(c *call) (any, error) {
	in, err := decodeKey(c, true)
	if err != nil {
		return nil, err
	}
	return h.make(c, in, grants(c.scope.org.ID, "", in.Roles))
}

// createInProject creates a key that has roles on the project and is a member of its organization.
func (h keys) createInProject(c *call) (any, error) {
	in, err := decodeKey(c, false)
	if err != nil {
		return nil, err
	}
	return h.make(c, in, memberGrants(c, in.Roles))
}

func decodeKey(c *call, ofOrganization bool) (newKey, error) {
	in, err := decode[newKey](c)
	if err != nil {
		return in, err
	}
	var k checks
	in.check(&k, "", ofOrganization)
	return in, k.err()
}

func (h keys) get(c *call) (any, error) {
	key, err := h.find(c, account.APIKey)
	if err != nil {
		return nil, err
	}
	return showKey(c, key), nil
}

func (h keys) update(c *call) (any, error) {
	key, in, err := h.decodeUpdate(c, true)
	if err != nil {
		return nil, err
	}
	key, err = h.modify(c, key, func(key *account.Credential) error {
		if in.Desc != nil {
			key.Description = *in.Desc
		}
		if in.Roles != nil {
			key.SetRolesOn(c.scope.org.ID, "", in.Roles)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showKey(c, key), nil
}

func (h keys) decodeUpdate(c *call, ofOrganization bool) (*account.Credential, newKey, error) {
	key, err := h.findInOrg(c, account.APIKey)
	if err != nil {
		return nil, newKey{}, err
	}
	in, err := decode[newKey](c)
	if err != nil {
		return nil, in, err
	}
	var k checks
	in.checkUpdate(&k, "", ofOrganization)
	k.check(in.Roles == nil || len(in.Roles) > 0, "roles", "must not be empty")
	return key, in, k.err()
}

func (h keys) deleteFromOrg(c *call) (any, error) {
	key, err := h.find(c, account.APIKey)
	if err != nil {
		return nil, err
	}
	return nil, h.discard(c, key)
}

// addToProject gives a key of the organization roles on the project. They replace its roles there.
func (h keys) addToProject(c *call) (any, error) {
	key, err := h.findInOrg(c, account.APIKey)
	if err != nil {
		return nil, err
	}
	in, err := decode[[]struct {
		Roles []account.Role `json:"roles"`
	}](c)
	if err != nil {
		return nil, err
	}
	var k checks
	var roles []account.Role
	for _, assignment := range in {
		k.roles("roles", assignment.Roles, false)
		roles = append(roles, assignment.Roles...)
	}
	k.check(len(roles) > 0, "roles", "must not be empty")
	if err := k.err(); err != nil {
		return nil, err
	}
	_, err = h.assign(c, key, roles, noChange)
	return nil, err
}

// updateInProject changes a key of the project, or gives any key of the organization roles on the project. Atlas's CLI
// assigns keys in this way.
func (h keys) updateInProject(c *call) (any, error) {
	key, in, err := h.decodeUpdate(c, false)
	if err != nil {
		return nil, err
	}
	if in.Roles == nil && len(key.RolesOn("", c.scope.project.ID)) == 0 {
		return nil, credentialNotFound(c, account.APIKey)
	}
	if in.Desc != nil && *in.Desc != key.Description && !mayChange(c, key) {
		return nil, forbidden(account.OwnOrg)
	}
	roles := in.Roles
	if roles == nil {
		roles = key.RolesOn("", c.scope.project.ID)
	}
	key, err = h.assign(c, key, roles, func(key *account.Credential) error {
		if in.Desc != nil {
			key.Description = *in.Desc
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showKey(c, key), nil
}

func (h keys) removeFromProject(c *call) (any, error) {
	key, err := h.find(c, account.APIKey)
	if err == nil {
		_, err = h.assign(c, key, nil, noChange)
	}
	return nil, err
}

// plainText is the form of the name of a service account, by the OpenAPI document.
var plainText = regexp.MustCompile(`^[\p{L}\p{N}\-_.,' ]*$`)

func (k *checks) plainText(name string, text *string, longest int) {
	k.check(text == nil || *text != "" && utf8.RuneCountInString(*text) <= longest &&
		plainText.MatchString(*text), name,
		"must have 1 to %d letters, digits, spaces and -_.,'", longest)
}
