package api

import (
	"net/netip"
	"regexp"
	"sync"
)

// absent are the operations on users, teams, clusters and their limits, which weir does not have. Atlas's tools read
// these for each project and organization, and fail without a reply.
type absent struct{}

func (absent) list(c *call) (any, error) {
	return paginate(c, nil, func([]struct{}) ([]struct{}, error) { return nil, nil })
}

func (absent) array(*call) (any, error) { return []struct{}{}, nil }

type addressesView struct {
	Project  string `json:"groupId"`
	Services struct {
		Clusters []struct{} `json:"clusters"`
	} `json:"services"`
}

func (absent) ipAddresses(c *call) (any, error) {
	v := addressesView{Project: c.scope.project.ID}
	v.Services.Clusters = []struct{}{}
	return v, nil
}

// Parameters of lists of users.
var (
	membershipStatus   = parameter{name: "orgMembershipStatus", want: wantOneOf(membershipStatuses...)}
	membershipsStatus  = parameter{name: "orgMembershipStatuses", want: wantOneOf(membershipStatuses...), many: true}
	userName           = parameter{name: "username", want: wantEmail}
	flattenTeams       = parameter{name: "flattenTeams", want: wantFlag}
	includeOrgUsers    = parameter{name: "includeOrgUsers", want: wantFlag}
	retainedBackups    = parameter{name: "includeDeletedWithRetainedBackups", want: wantFlag}
	membershipStatuses = []string{"PENDING", "ACTIVE", "INVITATION_EXPIRED", "INVITATION_REJECTED"}
)

var email = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[^\s@]{1,64}@[^\s@]{1,255}$`) })

func wantEmail(value string) string {
	if value == "" || email().MatchString(value) {
		return ""
	}
	return "must be an e-mail address, not " + quoted(value)
}

func wantAddress(value string) string {
	if _, err := netip.ParseAddr(value); value == "" || err == nil {
		return ""
	}
	return "must be an IP address, not " + quoted(value)
}
