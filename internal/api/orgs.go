package api

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// entityName is what organizations and projects may be called, by the OpenAPI document.
var entityName = regexp.MustCompile(`^[\p{L}\p{N}\-_.(),:&@+']{1,64}$`)

func (k *checks) name(name *string) {
	k.check(name == nil || entityName.MatchString(*name), "name", "must have 1 to 64 letters, digits and -_.(),:&@+'")
}

type orgView struct {
	ID        string `json:"id"`
	IsDeleted bool   `json:"isDeleted"`
	Links     []link `json:"links,omitempty"`
	Name      string `json:"name"`
	SkipAlert bool   `json:"skipDefaultAlertsSettings"`
}

func (c *call) showOrg(o *account.Organization) orgView {
	return orgView{ID: o.ID, IsDeleted: !o.Deleted.IsZero(), Name: o.Name, Links: c.self(base+"/orgs/%s", o.ID)}
}

// listOrgs lists the organizations that the caller has a role in.
func (c *call) listOrgs() (any, error) {
	prefix := c.r.URL.Query().Get("name")
	var orgs []*account.Organization
	for _, id := range c.caller.Credential.Organizations() {
		o, err := c.server.accounts.Organization(c.context(), id)
		if errors.Is(err, account.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, unavailable(err)
		}
		if strings.HasPrefix(strings.ToLower(o.Name), strings.ToLower(prefix)) {
			orgs = append(orgs, o)
		}
	}
	return paginate(c, orgs, each(c.showOrg))
}

func (c *call) getOrg() (any, error) { return c.showOrg(c.org), nil }

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
	OwnerID        string              `json:"orgOwnerId,omitempty"`
	Organization   orgView             `json:"organization"`
	ServiceAccount *serviceAccountView `json:"serviceAccount,omitempty"`
	SkipAlerts     bool                `json:"skipDefaultAlertsSettings"`
}

// createOrg makes an organization, with a credential that owns it. If none is asked for, the caller owns it.
func (c *call) createOrg() (any, error) {
	if !slices.ContainsFunc(c.caller.Credential.Organizations(), func(id string) bool { return c.caller.Credential.MayInOrg(account.OwnOrg, id) }) {
		return nil, forbidden()
	}
	in, err := decode[newOrg](c)
	if err != nil {
		return nil, err
	}
	var k checks
	name := require(&k, "name", in.Name)
	k.name(in.Name)
	k.check(in.OwnerID == "" || account.ValidID(in.OwnerID), "orgOwnerId", "must be 24 hexadecimal digits")
	if in.APIKey != nil {
		in.APIKey.check(&k, "apiKey.", true)
	}
	if in.ServiceAccount != nil {
		in.ServiceAccount.check(&k, "serviceAccount.", true)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	org := account.Organization{ID: account.NewID(c.now), Name: name, Log: account.NewID(c.now), Created: c.now.UTC()}
	view := newOrgView{OwnerID: in.OwnerID, SkipAlerts: in.SkipAlerts}
	c.org = &org
	err = c.change(changed{activity: event.Create, kind: "Organization", id: org.ID, name: org.Name}, func() (_, _ any, err error) {
		if err := c.server.accounts.CreateOrganization(c.detached(), org); err != nil {
			return nil, nil, err
		}
		view.Organization = c.showOrg(&org)
		if in.APIKey != nil {
			if view.APIKey, err = c.makeKey(*in.APIKey, grants(org.ID, "", in.APIKey.Roles)); err != nil {
				return nil, nil, err
			}
		}
		if in.ServiceAccount != nil {
			if view.ServiceAccount, err = c.makeServiceAccount(*in.ServiceAccount, grants(org.ID, "", in.ServiceAccount.Roles)); err != nil {
				return nil, nil, err
			}
		}
		if in.APIKey == nil && in.ServiceAccount == nil {
			_, err = c.updateCredential(c.caller.Credential, func(own *account.Credential) error {
				own.SetRolesOn(org.ID, "", []account.Role{account.OrgOwner})
				return nil
			})
		}
		return nil, view.Organization, err
	})
	return view, err
}

func (c *call) updateOrg() (any, error) {
	in, err := decode[struct {
		Name *string `json:"name"`
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
	err = c.change(changed{activity: event.Update, kind: "Organization", id: c.org.ID, name: name}, func() (before, after any, err error) {
		o, err := c.server.accounts.UpdateOrganization(c.detached(), c.org.ID, func(o *account.Organization) error {
			before = c.showOrg(o)
			o.Name = name
			return nil
		})
		if err == nil {
			view = c.showOrg(o)
		}
		return before, view, err
	})
	return view, err
}

// deleteOrg deletes an organization that has no projects. Its log stays for its time.
func (c *call) deleteOrg() (any, error) {
	return nil, c.change(changed{activity: event.Delete, kind: "Organization", id: c.org.ID, name: c.org.Name}, func() (before, after any, err error) {
		err = c.server.accounts.DeleteOrganization(c.detached(), c.org.ID)
		if errors.Is(err, account.ErrNotEmpty) {
			err = conflict("ORG_NOT_EMPTY", "Organization cannot be deleted because it still contains active groups.")
		}
		return c.showOrg(c.org), nil, keepOwner(err)
	})
}
