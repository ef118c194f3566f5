package api

import (
	"errors"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// Credentials are reached through their organization or through a project that they have roles on. Through a project
// they are shown with their roles there, and its owner may change those.

// scope returns the organization and the project (nil: none) that the path names.
func (c *call) scope() (org string, p *account.Project) {
	if c.target.project != nil {
		return c.target.project.Org, c.target.project
	}
	return c.org.ID, nil
}

// credential returns the credential that the path names, if it can be reached through what the path names before it.
func (c *call) credential(kind account.Kind) (*account.Credential, error) {
	found, err := c.credentialOfOrg(kind)
	if err != nil {
		return nil, err
	}
	if _, p := c.scope(); p != nil && len(found.RolesOn("", p.ID)) == 0 {
		return nil, c.credentialNotFound(kind)
	}
	return found, nil
}

// credentialOfOrg returns the credential that the path names, if it is of the organization at hand.
func (c *call) credentialOfOrg(kind account.Kind) (*account.Credential, error) {
	org, _ := c.scope()
	var found *account.Credential
	var err error
	if kind == account.APIKey {
		found, err = c.server.accounts.CredentialOf(c.context(), org, c.r.PathValue("apiUserId"))
	} else {
		found, err = c.server.accounts.Credential(c.context(), c.r.PathValue("clientId"))
	}
	if errors.Is(err, account.ErrNotFound) || err == nil && (found.Org != org || found.Kind != kind) {
		return nil, c.credentialNotFound(kind)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

func (c *call) credentialNotFound(kind account.Kind) error {
	if kind == account.APIKey {
		return notFoundAs("API_KEY_NOT_FOUND", "No API key with ID %s exists.", c.r.PathValue("apiUserId"))
	}
	return notFoundAs("SERVICE_ACCOUNT_NOT_FOUND", "No service account with client ID %s exists.", c.r.PathValue("clientId"))
}

// mayChange tells whether the caller may change a credential itself, not only its roles on one project: an owner of its
// organization may, and an owner of the only project that it has anything to do with. Else the owner of a project could
// give himself a secret of who owns the organization.
func (c *call) mayChange(which *account.Credential) bool {
	_, p := c.scope()
	return c.caller.Credential.MayInOrg(account.OwnOrg, which.Org) || p != nil && !slices.ContainsFunc(which.Roles, func(g account.Grant) bool {
		return g.Project != p.ID && g.Role != account.OrgMember
	})
}

func (c *call) changedCredential(a event.Activity, which *account.Credential) changed {
	_, p := c.scope()
	what := changed{activity: a, kind: "Service Account", id: which.ID, name: which.Name, org: which.Org, project: p}
	if which.Kind == account.APIKey {
		what.kind, what.name = "API Key", which.Description
	}
	return what
}

// createCredential stores a new credential.
func (c *call) createCredential(which account.Credential) error {
	return c.change(c.changedCredential(event.Create, &which), func() (any, any, error) {
		return nil, audited(&which), c.server.accounts.CreateCredential(c.detached(), which)
	})
}

// updateCredential has change change a credential.
func (c *call) updateCredential(which *account.Credential, change func(*account.Credential) error) (*account.Credential, error) {
	var now *account.Credential
	err := c.change(c.changedCredential(event.Update, which), func() (before, after any, err error) {
		now, err = c.server.accounts.UpdateCredential(c.detached(), which.ID, func(which *account.Credential) error {
			before = audited(which)
			return change(which)
		})
		if err == nil {
			after = audited(now)
		}
		return before, after, keepOwner(err)
	})
	return now, err
}

// assign replaces a credential's roles on the project at hand; no roles take it off the project.
func (c *call) assign(which *account.Credential, roles []account.Role, change func(*account.Credential) error) (*account.Credential, error) {
	var now *account.Credential
	err := c.change(c.changedCredential(event.Update, which), func() (before, after any, err error) {
		now, err = c.server.accounts.Assign(c.detached(), which.ID, c.target.project.ID, roles, func(which *account.Credential) error {
			before = audited(which)
			return change(which)
		})
		if err == nil {
			after = audited(now)
		}
		return before, after, err
	})
	return now, err
}

func (c *call) deleteCredential(which *account.Credential) error {
	return c.change(c.changedCredential(event.Delete, which), func() (any, any, error) {
		return audited(which), nil, keepOwner(c.server.accounts.DeleteCredential(c.detached(), which.ID))
	})
}

// keepOwner refuses to take the last owner from an organization.
func keepOwner(err error) error {
	if !errors.Is(err, account.ErrLastOwner) {
		return err
	}
	p := forbidden()
	p.code, p.detail = "CANNOT_DEMOTE_LAST_ORG_OWNER", "Cannot demote the last owner of the organization."
	return p
}

// auditedCredential is how a credential is shown in the log: all that counts but its secrets.
type auditedCredential struct {
	ID          string                `json:"id"`
	Name        string                `json:"name,omitempty"`
	Description string                `json:"description,omitempty"`
	Roles       []account.Grant       `json:"roles"`
	Secrets     []secretView          `json:"secrets,omitempty"`
	AccessList  []account.AccessEntry `json:"accessList,omitempty"`
}

func audited(which *account.Credential) auditedCredential {
	v := auditedCredential{which.ID, which.Name, which.Description, which.Roles, nil, which.AccessList}
	for _, s := range which.Secrets {
		v.Secrets = append(v.Secrets, showSecret(s))
	}
	return v
}

// shownGrants returns the roles of a credential that the caller may know of: through a project, those there; through an
// organization, those on the projects that the caller may see; and those in organizations that the caller may see.
func (c *call) shownGrants(which *account.Credential) []account.Grant {
	org, p := c.scope()
	own := c.caller.Credential
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
	k.check(in.Desc == nil || *in.Desc != "" && utf8.RuneCountInString(*in.Desc) <= 250, prefix+"desc", "must have 1 to 250 characters")
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

func (c *call) showKey(which *account.Credential) keyView {
	org, _ := c.scope()
	return keyView{Desc: which.Description, ID: which.UserID, PrivateKey: which.HA1.Masked, PublicKey: which.ID,
		Roles: c.shownGrants(which), Links: c.self(base+"/orgs/%s/apiKeys/%s", org, which.UserID)}
}

// makeKey makes a key and shows it with its private key, this once.
func (c *call) makeKey(in newKey, roles []account.Grant) (*keyView, error) {
	org, _ := c.scope()
	key, private := account.NewAPIKey(org, *in.Desc, roles, c.now)
	if err := c.createCredential(key); err != nil {
		return nil, err
	}
	v := c.showKey(&key)
	v.PrivateKey, v.Roles = private, roles
	return &v, nil
}

func (c *call) listOrgKeys() (any, error) {
	keys, err := c.server.accounts.Credentials(c.context(), c.org.ID, account.APIKey)
	if err != nil {
		return nil, unavailable(err)
	}
	return paginate(c, keys, each(c.showKey))
}

func (c *call) listGroupKeys() (any, error) {
	keys, err := c.server.accounts.Members(c.context(), c.target.project, account.APIKey)
	if err != nil {
		return nil, unavailable(err)
	}
	return paginate(c, keys, each(c.showKey))
}

func (c *call) createOrgKey() (any, error) {
	in, err := c.decodeKey(true)
	if err != nil {
		return nil, err
	}
	return c.makeKey(in, grants(c.org.ID, "", in.Roles))
}

// createGroupKey makes a key that has roles on the project and is a member of its organization.
func (c *call) createGroupKey() (any, error) {
	in, err := c.decodeKey(false)
	if err != nil {
		return nil, err
	}
	return c.makeKey(in, c.memberGrants(in.Roles))
}

func (c *call) decodeKey(ofOrganization bool) (newKey, error) {
	in, err := decode[newKey](c)
	if err != nil {
		return in, err
	}
	var k checks
	in.check(&k, "", ofOrganization)
	return in, k.err()
}

func (c *call) getOrgKey() (any, error) {
	key, err := c.credential(account.APIKey)
	if err != nil {
		return nil, err
	}
	return c.showKey(key), nil
}

func (c *call) updateOrgKey() (any, error) {
	key, in, err := c.keyUpdate(true)
	if err != nil {
		return nil, err
	}
	key, err = c.updateCredential(key, func(key *account.Credential) error {
		if in.Desc != nil {
			key.Description = *in.Desc
		}
		if in.Roles != nil {
			key.SetRolesOn(c.org.ID, "", in.Roles)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.showKey(key), nil
}

func (c *call) keyUpdate(ofOrganization bool) (*account.Credential, newKey, error) {
	key, err := c.credentialOfOrg(account.APIKey)
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

func (c *call) deleteOrgKey() (any, error) {
	key, err := c.credential(account.APIKey)
	if err != nil {
		return nil, err
	}
	return nil, c.deleteCredential(key)
}

// addGroupKey gives a key of the organization roles on the project, in place of those that it has there.
func (c *call) addGroupKey() (any, error) {
	key, err := c.credentialOfOrg(account.APIKey)
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
	_, err = c.assign(key, roles, always)
	return nil, err
}

// updateGroupKey changes a key of the project, or gives any of the organization roles there: that is how Atlas's CLI
// assigns one.
func (c *call) updateGroupKey() (any, error) {
	key, in, err := c.keyUpdate(false)
	if err != nil {
		return nil, err
	}
	if in.Roles == nil && len(key.RolesOn("", c.target.project.ID)) == 0 {
		return nil, c.credentialNotFound(account.APIKey)
	}
	if in.Desc != nil && *in.Desc != key.Description && !c.mayChange(key) {
		return nil, forbidden()
	}
	roles := in.Roles
	if roles == nil {
		roles = key.RolesOn("", c.target.project.ID)
	}
	key, err = c.assign(key, roles, func(key *account.Credential) error {
		if in.Desc != nil {
			key.Description = *in.Desc
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.showKey(key), nil
}

func (c *call) removeGroupKey() (any, error) {
	key, err := c.credential(account.APIKey)
	if err == nil {
		_, err = c.assign(key, nil, always)
	}
	return nil, err
}

// plainText is what service accounts may be called, by the OpenAPI document.
var plainText = regexp.MustCompile(`^[\p{L}\p{N}\-_.,' ]*$`)

func (k *checks) plainText(name string, text *string, longest int) {
	k.check(text == nil || *text != "" && utf8.RuneCountInString(*text) <= longest && plainText.MatchString(*text), name,
		"must have 1 to %d letters, digits, spaces and -_.,'", longest)
}
