package api

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// workspaces are the operations on stream workspaces.
type workspaces struct{ control }

type regionView struct {
	CloudProvider string `json:"cloudProvider"`
	Region        string `json:"region"`
}

type streamConfig struct {
	MaxTier *string `json:"maxTierSize,omitempty"`
	Tier    *string `json:"tier,omitempty"`
}

type workspaceView struct {
	ID           string        `json:"_id"`
	Connections  *[]any        `json:"connections,omitempty"`
	Region       regionView    `json:"dataProcessRegion"`
	Failover     []regionView  `json:"failoverRegions"`
	Project      string        `json:"groupId"`
	Hostnames    []string      `json:"hostnames"`
	Links        []link        `json:"links,omitempty"`
	Name         string        `json:"name"`
	RequireOCSF  bool          `json:"requireOCSF,omitempty"` // weir's own
	StreamConfig *streamConfig `json:"streamConfig,omitempty"`
}

// showWorkspace returns the view of a workspace of the project in the path. It has no hostnames, since there is nothing
// to connect to.
func showWorkspace(c *call, w *account.Workspace) workspaceView {
	project, tier, maxTier := c.scope.project.ID, w.Tier, w.MaxTier // copies, since the workspace may change
	v := workspaceView{ID: w.ID, Region: regionView{w.CloudProvider, w.Region}, Project: project, Name: w.Name,
		Failover: []regionView{}, Hostnames: []string{}, RequireOCSF: w.RequireOCSF,
		StreamConfig: &streamConfig{Tier: &tier},
		Links:        c.self(base+"/groups/%s/streams/%s", project, w.Name)}
	if maxTier != "" {
		v.StreamConfig.MaxTier = &maxTier
	}
	for _, r := range w.Failover {
		v.Failover = append(v.Failover, regionView(r))
	}
	return v
}

func (h workspaces) list(c *call) (any, error) {
	all := slices.Clone(c.scope.project.Workspaces)
	return paginate(c, all, mapEach(c, func(c *call,
		w account.Workspace) workspaceView {
		return showWorkspace(c, &w)
	}))
}

func (h workspaces) get(c *call) (any, error) {
	v := showWorkspace(c, c.scope.workspace)
	if c.flag("includeConnections") {
		v.Connections = &[]any{}
	}
	return v, nil
}

// newWorkspace is the body of a creation and, without the first two attributes, of an update.
type newWorkspace struct {
	Name          *string       `json:"name"`
	DataRegion    *newRegion    `json:"dataProcessRegion"`
	Config        *streamConfig `json:"streamConfig"`
	Failover      *[]newRegion  `json:"failoverRegions"`
	CloudProvider *string       `json:"cloudProvider"` // only in an update
	Region        *string       `json:"region"`        // only in an update
	Processors    *struct{}     `json:"processorStatus"`
	RequireOCSF   *bool         `json:"requireOCSF"` // weir's own
}

type newRegion struct {
	CloudProvider *string `json:"cloudProvider"`
	Region        *string `json:"region"`
}

// regions are the regions of stream workspaces in the OpenAPI document.
var regions = map[string][]string{
	"AWS": {"SYDNEY_AUS", "MUMBAI_IND", "FRANKFURT_DEU", "DUBLIN_IRL", "LONDON_GBR", "VIRGINIA_USA", "OHIO_USA",
		"OREGON_USA",
		"SAOPAULO_BRA", "MONTREAL_CAN", "TOKYO_JPN", "SINGAPORE_SGP", "PARIS_FRA", "SEOUL_KOR"},
	"AZURE": {"eastus", "westus", "eastus2", "westeurope", "brazilsouth", "australiaeast"},
	"GCP":   {"US_CENTRAL1", "EUROPE_WEST1", "US_EAST4"},
}

var tiers = []string{"SP50", "SP30", "SP10", "SP5", "SP2"}

func (k *checks) region(name string, r newRegion) {
	provider, region := require(k, name+"cloudProvider", r.CloudProvider), require(k, name+"region", r.Region)
	if r.CloudProvider == nil || r.Region == nil {
		return
	}
	known, ok := regions[provider]
	k.check(ok, name+"cloudProvider", "must be AWS, AZURE or GCP")
	k.check(!ok || slices.Contains(known, region), name+"region", "must be one of %s", strings.Join(known, ", "))
}

const maxFailover = 2

func (in *newWorkspace) check(k *checks) {
	if in.DataRegion != nil {
		k.region("dataProcessRegion.", *in.DataRegion)
	}
	if in.CloudProvider != nil || in.Region != nil {
		k.region("", newRegion{in.CloudProvider, in.Region})
	}
	if in.Config != nil {
		for name, tier := range map[string]*string{"streamConfig.tier": in.Config.Tier,
			"streamConfig.maxTierSize": in.Config.MaxTier} {
			k.check(tier == nil || slices.Contains(tiers, *tier), name, "must be one of %s", strings.Join(tiers, ", "))
		}
	}
	if in.Failover != nil {
		k.check(len(*in.Failover) <= maxFailover, "failoverRegions", "may have at most %d elements", maxFailover)
		for i, r := range *in.Failover {
			k.region(fmt.Sprintf("failoverRegions[%d].", i), r)
		}
	}
	k.check(in.Processors == nil, "processorStatus", "cannot be set: weir runs no stream processors")
}

// apply changes a workspace as a checked body says.
func (in *newWorkspace) apply(w *account.Workspace) {
	for _, r := range []*newRegion{in.DataRegion, {in.CloudProvider, in.Region}} {
		if r != nil && r.Region != nil {
			w.CloudProvider, w.Region = *r.CloudProvider, *r.Region
		}
	}
	if in.Config != nil && in.Config.Tier != nil {
		w.Tier = *in.Config.Tier
	}
	if in.Config != nil && in.Config.MaxTier != nil {
		w.MaxTier = *in.Config.MaxTier
	}
	if in.Failover != nil {
		w.Failover = nil
		for _, r := range *in.Failover {
			w.Failover = append(w.Failover, account.Region{CloudProvider: *r.CloudProvider, Region: *r.Region})
		}
	}
	if in.RequireOCSF != nil {
		w.RequireOCSF = *in.RequireOCSF
	}
}

func (h workspaces) create(c *call) (any, error) {
	in, err := decode[newWorkspace](c)
	if err != nil {
		return nil, err
	}
	var k checks
	name := require(&k, "name", in.Name)
	w, err := account.NewWorkspace(name, c.now)
	k.check(in.Name == nil || err == nil, "name", "must have 1 to 64 letters, digits, '-' and '_'")
	in.check(&k)
	if err := k.err(); err != nil {
		return nil, err
	}
	in.apply(&w)
	p, view := c.scope.project, showWorkspace(c, &w)
	return view, h.change(c, changed{activity: event.Create, kind: "Stream Workspace", id: w.ID, name: name, project: p,
		workspace: &w}, func() (any, any, error) {
		_, err := h.accounts.UpdateProject(c.detached(), p.ID, func(p *account.Project) error {
			err := p.AddWorkspace(w)
			if errors.Is(err, account.ErrExists) {
				err = conflict("STREAM_TENANT_ALREADY_EXISTS_FOR_NAME",
					"A stream workspace named %s already exists in group %s.", name, p.ID)
			}
			return err
		})
		return nil, view, err
	})
}

func (h workspaces) update(c *call) (any, error) {
	in, err := decode[newWorkspace](c)
	if err != nil {
		return nil, err
	}
	p, w := c.scope.project, c.scope.workspace
	in.DataRegion = nil // an update has other attributes for the region, and may have only one of the two
	if in.CloudProvider != nil || in.Region != nil {
		in.CloudProvider, in.Region = cmp.Or(in.CloudProvider, &w.CloudProvider), cmp.Or(in.Region, &w.Region)
	}
	var k checks
	in.check(&k)
	if err := k.err(); err != nil {
		return nil, err
	}
	var view workspaceView
	err = h.change(c, changed{activity: event.Update, kind: "Stream Workspace", id: w.ID, name: w.Name, project: p,
		workspace: w}, func() (before, after any, err error) {
		_, err = h.accounts.UpdateProject(c.detached(), p.ID, func(p *account.Project) error {
			now, ok := p.Workspace(w.Name)
			if !ok || now.ID != w.ID {
				return tenantNotFound(w.Name, p.ID)
			}
			before = showWorkspace(c, now)
			in.apply(now)
			view = showWorkspace(c, now)
			return nil
		})
		return before, view, err
	})
	return view, err
}

// delete deletes a workspace, and frees its name. Its logs are kept for their time.
func (h workspaces) delete(c *call) (any, error) {
	p, w := c.scope.project, c.scope.workspace
	return struct{}{}, h.change(c, changed{activity: event.Delete, kind: "Stream Workspace", id: w.ID, name: w.Name,
		project: p, workspace: w}, func() (any, any, error) {
		_, err := h.accounts.UpdateProject(c.detached(), p.ID, func(p *account.Project) error {
			i := slices.IndexFunc(p.Workspaces, func(now account.Workspace) bool { return now.ID == w.ID })
			if i < 0 {
				return tenantNotFound(w.Name, p.ID)
			}
			p.Gone = append(p.Gone, account.DeletedWorkspace{Workspace: p.Workspaces[i], Deleted: c.now.UTC()})
			p.Workspaces = slices.Delete(p.Workspaces, i, i+1)
			return nil
		})
		return showWorkspace(c, w), nil, err
	})
}
