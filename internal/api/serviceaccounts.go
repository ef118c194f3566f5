package api

import (
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
)

// serviceAccounts are the operations on service accounts.
type serviceAccounts struct{ credentials }

// newServiceAccount is the body of a creation or an update.
type newServiceAccount struct {
	Name        *string        `json:"name"`
	Description *string        `json:"description"`
	Roles       []account.Role `json:"roles"`
	Hours       *int           `json:"secretExpiresAfterHours"`
}

// maxSecretHours is the longest lifetime of a secret.
const maxSecretHours = 365 * 24

func (in *newServiceAccount) check(k *checks, prefix string, ofOrganization bool) {
	require(k, prefix+"name", in.Name)
	require(k, prefix+"description", in.Description)
	if len(in.Roles) == 0 {
		require[string](k, prefix+"roles", nil)
	}
	k.hours(prefix, in.Hours)
	in.checkUpdate(k, prefix, ofOrganization)
}

func (in *newServiceAccount) checkUpdate(k *checks, prefix string, ofOrganization bool) {
	k.plainText(prefix+"name", in.Name, 64)
	k.plainText(prefix+"description", in.Description, 250)
	k.roles(prefix+"roles", in.Roles, ofOrganization)
}

func (k *checks) hours(prefix string, hours *int) {
	n := require(k, prefix+"secretExpiresAfterHours", hours)
	k.check(hours == nil || n >= 1 && n <= maxSecretHours, prefix+"secretExpiresAfterHours", "must be from 1 to %d",
		maxSecretHours)
}

func life(hours int) time.Duration { return time.Duration(hours) * time.Hour }

type serviceAccountView struct {
	ClientID    string         `json:"clientId"`
	Created     time.Time      `json:"createdAt"`
	Description string         `json:"description"`
	Name        string         `json:"name"`
	Roles       []account.Role `json:"roles"`
	Secrets     []secretView   `json:"secrets"`
}

type secretView struct {
	Created time.Time `json:"createdAt"`
	Expires time.Time `json:"expiresAt"`
	ID      string    `json:"id"`
	Masked  string    `json:"maskedSecretValue,omitempty"`
	Secret  string    `json:"secret,omitempty"`
}

func showSecret(s account.Secret) secretView {
	return secretView{Created: s.Created.UTC().Truncate(time.Second), Expires: s.Expires.UTC().Truncate(time.Second),
		ID: s.ID, Masked: s.Masked}
}

// idAsAsked returns the id of a service account as it is written in the path, if the path names it.
func idAsAsked(c *call, id string) string {
	if asked := c.path("clientId"); clientIDOf(asked) == id {
		return asked
	}
	return id
}

// showServiceAccount returns the view of a service account with its roles on the organization or the project of the
// path.
func showServiceAccount(c *call, which *account.Credential) serviceAccountView {
	org, p := c.scope.within()
	v := serviceAccountView{ClientID: idAsAsked(c, which.ID), Created: which.Created.UTC().Truncate(time.Second),
		Description: which.Description,
		Name:        which.Name, Secrets: []secretView{}}
	if p != nil {
		v.Roles = which.RolesOn("", p.ID)
	} else {
		v.Roles = which.RolesOn(org, "")
	}
	for _, s := range which.Secrets {
		v.Secrets = append(v.Secrets, showSecret(s))
	}
	return v
}

// make creates a service account and returns it with its secret, which is never shown again.
func (h serviceAccounts) make(c *call, in newServiceAccount, roles []account.Grant) (*serviceAccountView, error) {
	org, _ := c.scope.within()
	if err := h.checkLife(c, *in.Hours); err != nil {
		return nil, err
	}
	sa, secret := account.NewServiceAccount(org, *in.Name, roles, c.now, life(*in.Hours))
	sa.Description = *in.Description
	if err := h.store(c, sa); err != nil {
		return nil, err
	}
	v := showServiceAccount(c, &sa)
	v.Secrets[0].Secret, v.Secrets[0].Masked = secret, ""
	return &v, nil
}

func (h serviceAccounts) listOfOrg(c *call) (any, error) {
	all, err := h.accounts.Credentials(c.context(), c.scope.org.ID, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return paginate(c, all, mapEach(c, showServiceAccount))
}

func (h serviceAccounts) listOfProject(c *call) (any, error) {
	all, err := h.accounts.Members(c.context(), c.scope.project, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return paginate(c, all, mapEach(c, showServiceAccount))
}

func (h serviceAccounts) createInOrg(c *call) (any, error) {
	in, err := decodeServiceAccount(c, true)
	if err != nil {
		return nil, err
	}
	return h.make(c, in, grants(c.scope.org.ID, "", in.Roles))
}

// createInProject creates a service account that has roles on the project and is a member of its organization.
func (h serviceAccounts) createInProject(c *call) (any, error) {
	in, err := decodeServiceAccount(c, false)
	if err != nil {
		return nil, err
	}
	return h.make(c, in, memberGrants(c, in.Roles))
}

func decodeServiceAccount(c *call, ofOrganization bool) (newServiceAccount, error) {
	in, err := decode[newServiceAccount](c)
	if err != nil {
		return in, err
	}
	var k checks
	in.check(&k, "", ofOrganization)
	return in, k.err()
}

func (h serviceAccounts) get(c *call) (any, error) {
	sa, err := h.find(c, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return showServiceAccount(c, sa), nil
}

// update changes a service account, and its roles on the organization or the project of the path.
func (h serviceAccounts) update(c *call) (any, error) {
	org, p := c.scope.within()
	sa, err := h.find(c, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	in, err := decode[newServiceAccount](c)
	if err != nil {
		return nil, err
	}
	var k checks
	in.checkUpdate(&k, "", p == nil)
	k.check(in.Roles == nil || len(in.Roles) > 0, "roles", "must not be empty")
	if err := k.err(); err != nil {
		return nil, err
	}
	if (in.Name != nil || in.Description != nil) && !mayChange(c, sa) {
		return nil, forbidden(account.OwnOrg)
	}
	apply := func(sa *account.Credential) error {
		if in.Name != nil {
			sa.Name = *in.Name
		}
		if in.Description != nil {
			sa.Description = *in.Description
		}
		if p == nil && in.Roles != nil {
			sa.SetRolesOn(org, "", in.Roles)
		}
		return nil
	}
	if p != nil && in.Roles != nil {
		sa, err = h.assign(c, sa, in.Roles, apply)
	} else {
		sa, err = h.modify(c, sa, apply)
	}
	if err != nil {
		return nil, err
	}
	return showServiceAccount(c, sa), nil
}

func (h serviceAccounts) deleteFromOrg(c *call) (any, error) {
	sa, err := h.find(c, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return nil, h.discard(c, sa)
}

// removeFromProject removes a service account from the project. It stays in its organization.
func (h serviceAccounts) removeFromProject(c *call) (any, error) {
	sa, err := h.find(c, account.ServiceAccount)
	if err == nil {
		_, err = h.assign(c, sa, nil, noChange)
	}
	return nil, err
}

// invite gives a service account of the organization roles on the project.
func (h serviceAccounts) invite(c *call) (any, error) {
	sa, err := h.findInOrg(c, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	in, err := decode[struct {
		Roles []account.Role `json:"roles"`
	}](c)
	if err != nil {
		return nil, err
	}
	var k checks
	if len(in.Roles) == 0 {
		require[string](&k, "roles", nil)
	}
	k.roles("roles", in.Roles, false)
	if err := k.err(); err != nil {
		return nil, err
	}
	if sa, err = h.assign(c, sa, in.Roles, noChange); err != nil {
		return nil, err
	}
	return showServiceAccount(c, sa), nil
}

type serviceAccountGroup struct {
	Project string         `json:"groupId"`
	Roles   []account.Role `json:"roles"`
}

func (h serviceAccounts) listProjects(c *call) (any, error) {
	sa, err := h.find(c, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	return paginate(c, sa.Projects(), mapEach(c, func(_ *call, project string) serviceAccountGroup {
		return serviceAccountGroup{project, sa.RolesOn("", project)}
	}))
}

// maxSecrets is the maximum number of secrets of a service account that have not expired.
const maxSecrets = 2

// createSecret creates another secret and shows it only in this reply. It removes expired secrets.
func (h serviceAccounts) createSecret(c *call) (any, error) {
	sa, err := h.changeable(c)
	if err != nil {
		return nil, err
	}
	in, err := decode[newServiceAccount](c)
	if err != nil {
		return nil, err
	}
	var k checks
	k.hours("", in.Hours)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := h.checkLife(c, *in.Hours); err != nil {
		return nil, err
	}
	secret, text := account.NewSecret(c.now, life(*in.Hours))
	_, err = h.modify(c, sa, func(sa *account.Credential) error {
		sa.Secrets = slices.DeleteFunc(sa.Secrets, func(s account.Secret) bool { return !s.Expires.After(c.now) })
		if len(sa.Secrets) >= maxSecrets {
			return invalidAttributes(field{"secrets", "A service account has at most two secrets. Delete one first."})
		}
		sa.Secrets = append(sa.Secrets, secret)
		return nil
	})
	v := showSecret(secret)
	v.Secret, v.Masked = text, ""
	return v, err
}

func (h serviceAccounts) deleteSecret(c *call) (any, error) {
	sa, err := h.changeable(c)
	if err != nil {
		return nil, err
	}
	id := c.path("secretId")
	_, err = h.modify(c, sa, func(sa *account.Credential) error {
		i := slices.IndexFunc(sa.Secrets, func(s account.Secret) bool { return s.ID == id })
		if i < 0 {
			return secretNotFound(id)
		}
		sa.Secrets = slices.Delete(sa.Secrets, i, i+1)
		return nil
	})
	return nil, err
}

// changeable returns the service account in the path, if the caller may change the account itself.
func (h credentials) changeable(c *call) (*account.Credential, error) {
	sa, err := h.find(c, account.ServiceAccount)
	if err == nil && !mayChange(c, sa) {
		err = forbidden(account.OwnOrg)
	}
	return sa, err
}
