package api

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

type projectView struct {
	ClusterCount int64         `json:"clusterCount"`
	Created      time.Time     `json:"created"`
	ID           string        `json:"id"`
	Links        []link        `json:"links,omitempty"`
	Name         string        `json:"name"`
	Org          string        `json:"orgId"`
	Regions      string        `json:"regionUsageRestrictions,omitempty"`
	Tags         []account.Tag `json:"tags"`
	Alerts       bool          `json:"withDefaultAlertsSettings"`
}

func showProject(c *call, p *account.Project) projectView {
	v := projectView{Created: p.Created.UTC().Truncate(time.Second), ID: p.ID, Name: p.Name, Org: p.Org, Tags: p.Tags,
		Regions: p.Regions, Alerts: !p.NoAlerts,
		Links: c.self(base+"/groups/%s", p.ID)}
	if v.Tags == nil {
		v.Tags = []account.Tag{}
	}
	return v
}

// show returns the views of the existing projects with these ids.
func (h projects) show(c *call, ids []string) ([]projectView, error) {
	projects, err := h.accounts.Projects(c.context(), ids)
	if err != nil {
		return nil, err
	}
	return mapEach(c, showProject)(projects)
}

// projects are the operations on projects.
type projects struct{ credentials }

// list returns the projects that the caller may see: those of organizations that it may read, and those on which it has
// a role.
func (h projects) list(c *call) (any, error) {
	var ids []string
	for _, org := range c.caller.Organizations() {
		visible, err := h.visible(c, org, "")
		if err != nil {
			return nil, err
		}
		ids = append(ids, visible...)
	}
	named, err := h.accounts.Projects(c.context(), c.caller.Projects())
	if err != nil {
		return nil, err
	}
	for _, p := range named {
		if c.caller.May(account.Read, p) {
			ids = append(ids, p.ID)
		}
	}
	slices.Sort(ids)
	return paginate(c, slices.Compact(ids), func(page []string) ([]projectView, error) { return h.show(c, page) })
}

// listOfOrg returns the projects of an organization that the caller may see.
func (h projects) listOfOrg(c *call) (any, error) {
	ids, err := h.visible(c, c.scope.org.ID, c.query.Get("name"))
	if err != nil {
		return nil, err
	}
	return paginate(c, ids, func(page []string) ([]projectView, error) { return h.show(c, page) })
}

// visible returns the ids of the projects of an organization that the caller may read and whose name begins with named.
func (h projects) visible(c *call, org, named string) ([]string, error) {
	own := c.caller
	ids, err := h.accounts.ProjectIDs(c.context(), org, named)
	if err != nil {
		return nil, err
	}
	if own.May(account.Read, &account.Project{Org: org}) {
		return ids, nil
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		return !own.May(account.Read,
			&account.Project{ID: id, Org: org})
	}), nil
}

func (h projects) get(c *call) (any, error) { return showProject(c, c.scope.project), nil }

// getByName returns a project by its name, among those that the caller may see. A project of the caller's organization
// comes first. Otherwise the name must be unique.
func (h projects) getByName(c *call) (any, error) {
	name := c.path("groupName")
	found, err := h.accounts.Projects(c.context(), c.caller.Projects())
	if err != nil {
		return nil, err
	}
	for _, org := range c.caller.Organizations() {
		if !c.caller.May(account.See, &account.Project{Org: org}) {
			continue // no look-up is allowed there, not even one that finds nothing
		}
		p, err := h.accounts.ProjectNamed(c.context(), org, name)
		if err == nil {
			found = append(found, p)
		} else if !errors.Is(err, account.ErrNotFound) {
			return nil, err
		}
	}
	var own, others []*account.Project
	seen := map[string]bool{}
	for _, p := range found {
		switch {
		case p.Name != name || seen[p.ID] || !c.caller.May(account.See, p):
		case p.Org == c.caller.Org:
			own = append(own, p)
		default:
			others = append(others, p)
		}
		seen[p.ID] = true
	}
	found = append(own, others...)
	switch {
	case len(found) == 0:
		return nil, groupNameNotFound(name)
	case len(own) == 0 && len(others) > 1:
		return nil, conflict("GROUP_NAME_NOT_UNIQUE",
			"Groups of several organizations are named %s; please ask for one by its ID.", name)
	case !c.caller.May(account.Read, found[0]):
		return nil, forbidden(account.Read)
	}
	return showProject(c, found[0]), nil
}

type newProject struct {
	Name   *string       `json:"name"`
	Org    *string       `json:"orgId"`
	Tags   []account.Tag `json:"tags"`
	Alerts *bool         `json:"withDefaultAlertsSettings"`
	Region *string       `json:"regionUsageRestrictions"` // only in a creation
}

const maxTags = 50

var regionRestrictions = []string{"COMMERCIAL_FEDRAMP_REGIONS_ONLY", "GOV_REGIONS_ONLY"}

func (k *checks) tags(tags []account.Tag) {
	k.check(len(tags) <= maxTags, "tags", "may have at most %d elements", maxTags)
	for _, t := range tags {
		k.check(isTag(t.Key) && isTag(t.Value), "tags", "must have keys and values of 1 to 255 characters")
	}
}

func isTag(text string) bool { return text != "" && utf8.RuneCountInString(text) <= 255 }

// create creates a project. A caller that may only create projects becomes its owner.
func (h projects) create(c *call) (any, error) {
	in, err := decode[newProject](c)
	if err != nil {
		return nil, err
	}
	var k checks
	name, org := require(&k, "name", in.Name), require(&k, "orgId", in.Org)
	k.name(in.Name)
	k.check(in.Org == nil || account.ValidID(org), "orgId", "must be 24 hexadecimal digits")
	k.tags(in.Tags)
	regions := ""
	if in.Region != nil {
		regions = *in.Region
		k.check(slices.Contains(regionRestrictions, regions), "regionUsageRestrictions", "must be one of %s",
			strings.Join(regionRestrictions, ", "))
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	if _, err := enterOrg(c, h.accounts, org, account.CreateProjects); err != nil {
		return nil, err
	}
	if c.caller.Kind == account.Person && !c.caller.May(account.Own, &account.Project{Org: org}) {
		return nil, forbidden(account.OwnOrg) // a person's roles are set by rules, so it cannot get one on the project
	}
	if err := h.accounts.Room(c.context(), org, account.ListedProjects); err != nil {
		return nil, err
	}
	p := account.Project{ID: account.NewID(c.now), Org: org, Name: name, Tags: in.Tags, Created: c.now.UTC(),
		NoAlerts: in.Alerts != nil && !*in.Alerts, Regions: regions}
	view := showProject(c, &p)
	return view, h.change(c, changed{activity: event.Create, kind: "Project", id: p.ID, name: name, project: &p},
		func() (any, any, error) {
			err := h.accounts.CreateProject(c.detached(), p)
			if errors.Is(err, account.ErrExists) {
				err = groupExists(name)
			}
			if err == nil && !c.caller.May(account.Own, &p) {
				c.scope.project = &p
				_, err = h.assign(c, c.caller, []account.Role{account.GroupOwner}, noChange)
			}
			return nil, view, err
		})
}

// noChange does not change a credential.
func noChange(*account.Credential) error { return nil }

func groupExists(name string) error {
	return conflict("GROUP_ALREADY_EXISTS", "A group with name %q already exists.", name)
}

func (h projects) update(c *call) (any, error) {
	in, err := decode[newProject](c)
	if err != nil {
		return nil, err
	}
	var k checks
	k.name(in.Name)
	k.tags(in.Tags)
	if err := k.err(); err != nil {
		return nil, err
	}
	var view projectView
	p := c.scope.project
	err = h.change(c, changed{activity: event.Update, kind: "Project", id: p.ID, name: p.Name, project: p},
		func() (before, after any, err error) {
			change := func(p *account.Project) error {
				if before == nil { // a renamed project comes with its new name
					before = showProject(c, c.scope.project)
				}
				if in.Tags != nil {
					p.Tags = in.Tags
				}
				if in.Alerts != nil {
					p.NoAlerts = !*in.Alerts
				}
				return nil
			}
			if in.Name != nil {
				p, err = h.accounts.RenameProject(c.detached(), p.ID, *in.Name, change)
			} else {
				p, err = h.accounts.UpdateProject(c.detached(), p.ID, change)
			}
			if errors.Is(err, account.ErrExists) {
				err = groupExists(*in.Name)
			}
			if err == nil {
				view = showProject(c, p)
			}
			return before, view, err
		})
	return view, err
}

// delete deletes a project without workspaces. Its logs are kept for their time.
func (h projects) delete(c *call) (any, error) {
	p := c.scope.project
	return nil, h.change(c, changed{activity: event.Delete, kind: "Project", id: p.ID, name: p.Name, project: p},
		func() (any, any, error) {
			_, err := h.accounts.DeleteProject(c.detached(), p.ID, func(p *account.Project) error {
				if len(p.Workspaces) > 0 {
					return conflict("CANNOT_CLOSE_GROUP_ACTIVE_STREAM_WORKSPACES",
						"Cannot close group while it has active stream workspaces; please delete all stream "+
							"workspaces.")
				}
				if p.Retention.Hold {
					return conflict("CANNOT_CLOSE_GROUP_LEGAL_HOLD",
						"Cannot close group while its logs are under legal hold; please end the legal hold.")
				}
				return nil
			})
			return showProject(c, p), nil, err
		})
}

// settings are the operations on weir's own settings of a project.
type settings struct{ control }

// settingsView is weir's own settings of a project.
type settingsView struct {
	DeletedDays int  `json:"deletedLogRetentionDays"`
	Days        *int `json:"retentionDays"` // null if events are kept for ever
	Hold        bool `json:"legalHold"`
}

func showSettings(p *account.Project) settingsView {
	v := settingsView{DeletedDays: p.Retention.Kept(), Hold: p.Retention.Hold}
	if days := p.Retention.Days; days > 0 {
		v.Days = &days
	}
	return v
}

func (h settings) get(c *call) (any, error) { return showSettings(c.scope.project), nil }

// maxRetentionDays is a hundred years.
const maxRetentionDays = 36500

// update changes the settings in the body. If retentionDays is null, events are kept for ever.
func (h settings) update(c *call) (any, error) {
	in, err := decode[map[string]*any](c)
	if err != nil {
		return nil, err
	}
	var k checks
	p := c.scope.project
	days := func(name string, set func(int)) {
		value, given := in[name]
		if !given {
			return
		}
		if value == nil {
			set(0)
			return
		}
		n, ok := (*value).(float64)
		whole := ok && n == float64(int(n))
		k.check(whole && n >= account.MinRetentionDays && n <= maxRetentionDays, name,
			"must be an integer from %d to %d, or null for the default", account.MinRetentionDays, maxRetentionDays)
		set(int(n))
	}
	apply := func(r *account.Retention) {
		days("deletedLogRetentionDays", func(n int) { r.DeletedDays = n })
		days("retentionDays", func(n int) { r.Days = n })
		if value, given := in["legalHold"]; given {
			hold, ok := false, value != nil
			if ok {
				hold, ok = (*value).(bool)
			}
			k.check(ok, "legalHold", "must be true or false")
			r.Hold = hold
		}
	}
	apply(new(account.Retention))
	if err := k.err(); err != nil {
		return nil, err
	}
	var view settingsView
	err = h.change(c, changed{activity: event.Update, kind: "Project Settings", id: p.ID, name: p.Name, project: p},
		func() (before, after any, err error) {
			p, err := h.accounts.UpdateProject(c.detached(), p.ID, func(p *account.Project) error {
				before = showSettings(p)
				apply(&p.Retention)
				return nil
			})
			if err == nil {
				view = showSettings(p)
			}
			return before, view, err
		})
	return view, err
}
