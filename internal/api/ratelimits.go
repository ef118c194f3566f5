package api

import (
	"slices"
	"strings"
)

// rateLimits are the operations that show rate limits.
type rateLimits struct {
	perMinute int                // for each credential; 0 if there is no limit
	table     func() []operation // all operations
}

type endpointSetView struct {
	ID        string          `json:"endpointSetId"`
	Name      string          `json:"endpointSetName"`
	Scope     string          `json:"scope"`
	Capacity  limitValue      `json:"capacity"`
	Refill    limitValue      `json:"refillRate"`
	Seconds   limitValue      `json:"refillDurationSeconds"`
	Endpoints []endpointsView `json:"endpoints"`
}

type endpointsView struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

type limitValue struct {
	Default int `json:"defaultValue"`
	Value   int `json:"value"`
}

// Parameters of the list of limits. Those that name somebody are ignored, since all have the same limits.
var (
	limitsOfGroup   = parameter{name: "groupId", want: wantID}
	limitsOfOrg     = parameter{name: "orgId", want: wantID}
	limitsOfUser    = parameter{name: "userId", want: wantText(maxName)}
	limitsOfAddress = parameter{name: "ipAddress", want: wantAddress}
	endpointPath    = parameter{name: "endpointPath", want: wantText(maxName)}
)

// list returns the sets of operations with a limit. There is one set, since all reads of logs are counted together.
func (h rateLimits) list(c *call) (any, error) {
	var sets []endpointSetView
	if set := h.reads(); h.perMinute > 0 && set.matches(c.query.Get("name"), c.query.Get("endpointPath")) {
		sets = append(sets, set)
	}
	return paginate(c, sets, func(page []endpointSetView) ([]endpointSetView, error) { return page, nil })
}

func (h rateLimits) reads() endpointSetView {
	same := func(n int) limitValue { return limitValue{n, n} }
	set := endpointSetView{ID: "log-reads", Name: "Reads of logs", Scope: "USER", Capacity: same(h.perMinute),
		Refill: same(h.perMinute), Seconds: same(60)}
	for _, op := range h.table() {
		endpoint := endpointsView{op.method, op.path}
		if op.limit != "" && !slices.Contains(set.Endpoints, endpoint) {
			set.Endpoints = append(set.Endpoints, endpoint)
		}
	}
	return set
}

// matches tells whether a set contains a part of a name, and a part of a path.
func (v endpointSetView) matches(name, path string) bool {
	return strings.Contains(strings.ToLower(v.Name), strings.ToLower(name)) &&
		slices.ContainsFunc(v.Endpoints, func(e endpointsView) bool { return strings.Contains(e.Path, path) })
}
