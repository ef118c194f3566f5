package api

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// entityName is the form of names of organizations and projects in the OpenAPI document.
var entityName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[\p{L}\p{N}\-_.(),:&@+']{1,64}$`)
})

func (k *checks) name(name *string) {
	k.check(name == nil || entityName().MatchString(*name), "name", "must have 1 to 64 letters, digits and -_.(),:&@+'")
}

type orgView struct {
	ID        string `json:"id"`
	IsDeleted bool   `json:"isDeleted"`
	Links     []link `json:"links,omitempty"`
	Name      string `json:"name"`
	SkipAlert bool   `json:"skipDefaultAlertsSettings"`
}

func showOrg(c *call, o *account.Organization) orgView {
	return orgView{ID: o.ID, IsDeleted: !o.Deleted.IsZero(), Name: o.Name, SkipAlert: o.SkipAlerts,
		Links: c.self(base+"/orgs/%s", o.ID)}
}

// orgs are the operations on organizations.
type orgs struct {
	credentials
	keys            keys
	serviceAccounts serviceAccounts
}

// list returns the organizations in which the caller has a role.
func (h orgs) list(c *call) (any, error) {
	prefix := c.query.Get("name")
	var orgs []*account.Organization
	for _, id := range c.caller.Organizations() {
		o, err := h.accounts.Organization(c.context(), id)
		if errors.Is(err, account.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(strings.ToLower(o.Name), strings.ToLower(prefix)) {
			orgs = append(orgs, o)
		}
	}
	return paginate(c, orgs, mapEach(c, showOrg))
}

func (h orgs) get(c *call) (any, error) { return showOrg(c, c.scope.org), nil }

type newOrg struct {
	Name           *string            `json:"name"`
	APIKey         *newKey            `json:"apiKey"`
	ServiceAccount *newServiceAccount `json:"serviceAccount"`
	OwnerID        string             `json:"orgOwnerId"`
	FederationID   string             `json:"federationSettingsId"`
	SkipAlerts     bool               `json:"skipDefaultAlertsSettings"`
}

type newOrgView struct {
	APIKey         *keyView            `json:"apiKey,omitempty"`
	FederationID   string              `json:"federationSettingsId,omitempty"`
	OwnerID        string              `json:"orgOwnerId,omitempty"`
	Organization   orgView             `json:"organization"`
	ServiceAccount *serviceAccountView `json:"serviceAccount,omitempty"`
	SkipAlerts     bool                `json:"skipDefaultAlertsSettings"`
}

// makesOwner tells whether the organization will have an owner: one of the credentials to create, or if there are none,
// the caller.
func (in *newOrg) makesOwner() bool {
	owns := func(roles []account.Role) bool { return slices.Contains(roles, account.OrgOwner) }
	return in.APIKey == nil && in.ServiceAccount == nil || in.APIKey != nil && owns(in.APIKey.Roles) ||
		in.ServiceAccount != nil && owns(in.ServiceAccount.Roles)
}

// create creates an organization with a credential that owns it. If none is asked for, the caller owns it.
func (h orgs) create(c *call) (any, error) {
	within := c.caller.Organizations()
	own := slices.IndexFunc(within, func(id string) bool { return c.caller.MayInOrg(account.OwnOrg, id) })
	if own < 0 {
		return nil, forbidden(account.OwnOrg)
	}
	in, err := decode[newOrg](c)
	if err != nil {
		return nil, err
	}
	var k checks
	name := require(&k, "name", in.Name)
	k.name(in.Name)
	k.check(in.OwnerID == "" || account.ValidID(in.OwnerID), "orgOwnerId", "must be 24 hexadecimal digits")
	k.check(in.FederationID == "" || account.ValidID(in.FederationID), "federationSettingsId",
		"must be 24 hexadecimal digits")
	if in.APIKey != nil {
		in.APIKey.check(&k, "apiKey.", true)
	}
	if in.ServiceAccount != nil {
		in.ServiceAccount.check(&k, "serviceAccount.", true)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	if c.caller.Kind == account.Person && in.APIKey == nil && in.ServiceAccount == nil {
		return nil, invalid("A person's roles are set by rules: give apiKey or serviceAccount the role ORG_OWNER.")
	}
	if !in.makesOwner() {
		return nil, invalid("An organization needs an owner: give apiKey or serviceAccount the role ORG_OWNER.")
	}
	org := account.Organization{ID: account.NewID(c.now), Name: name, Log: account.NewID(c.now), Created: c.now.UTC(),
		SkipAlerts: in.SkipAlerts}
	view := newOrgView{OwnerID: in.OwnerID, FederationID: in.FederationID, SkipAlerts: in.SkipAlerts}
	c.scope.org = &org
	err = h.change(c, changed{activity: event.Create, kind: "Organization", id: org.ID, name: org.Name},
		func() (_, _ any, err error) {
			if err := h.accounts.MakeOrganization(c.detached(), within[own], org); err != nil {
				return nil, nil, err
			}
			view.Organization = showOrg(c, &org)
			if in.APIKey != nil {
				if view.APIKey, err = h.keys.make(c, *in.APIKey, grants(org.ID, "", in.APIKey.Roles)); err != nil {
					return nil, nil, err
				}
			}
			if in.ServiceAccount != nil {
				if view.ServiceAccount, err = h.serviceAccounts.make(c, *in.ServiceAccount,
					grants(org.ID, "", in.ServiceAccount.Roles)); err != nil {
					return nil, nil, err
				}
			}
			if in.APIKey == nil && in.ServiceAccount == nil {
				_, err = h.modify(c, c.caller, func(own *account.Credential) error {
					own.SetRolesOn(org.ID, "", []account.Role{account.OrgOwner})
					return nil
				})
			}
			return nil, view.Organization, err
		})
	return view, err
}

func (h orgs) update(c *call) (any, error) {
	in, err := decode[struct {
		Name       *string `json:"name"`
		SkipAlerts *bool   `json:"skipDefaultAlertsSettings"`
	}](c)
	if err != nil {
		return nil, err
	}
	var k checks
	name := require(&k, "name", in.Name)
	k.name(in.Name)
	if err := k.err(); err != nil {
		return nil, err
	}
	var view orgView
	err = h.change(c, changed{activity: event.Update, kind: "Organization", id: c.scope.org.ID, name: name},
		func() (before, after any, err error) {
			o, err := h.accounts.UpdateOrganization(c.detached(), c.scope.org.ID, func(o *account.Organization) error {
				before = showOrg(c, o)
				o.Name = name
				if in.SkipAlerts != nil {
					o.SkipAlerts = *in.SkipAlerts
				}
				return nil
			})
			if err == nil {
				view = showOrg(c, o)
			}
			return before, view, err
		})
	return view, err
}

// delete deletes an organization without projects. Its log is kept for its time.
func (h orgs) delete(c *call) (any, error) {
	return nil, h.change(c, changed{activity: event.Delete, kind: "Organization", id: c.scope.org.ID,
		name: c.scope.org.Name}, func() (before, after any, err error) {
		err = h.accounts.DeleteOrganization(c.detached(), c.scope.org.ID)
		if errors.Is(err, account.ErrNotEmpty) {
			err = conflict("ORG_NOT_EMPTY", "Organization cannot be deleted because it still contains active groups.")
		}
		return showOrg(c, c.scope.org), nil, keepOwner(err)
	})
}
