package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
)

// An owner of an organization can make a node forget the failed sign-ins of an address. This is recorded in the
// organization's log.
func TestFailedSignInsAreForgottenOnRequest(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.OrgOwner)
	limited := func() *Server {
		return w.node(w.store, auth.New(w.faulty, w.store, auth.Secret{1}, auth.Options{FailuresPerMinute: 3}))
	}
	one, other := limited(), limited()
	status := func(node *Server) int {
		w.server = node
		return w.do("GET", orgV2, "", latest, "Authorization: Bearer wrong").Code
	}
	for _, node := range []*Server{one, other} {
		for range 10 {
			status(node)
		}
		if got := status(node); got != 429 {
			t.Fatalf("after 10 failures: %d", got)
		}
	}
	w.server = one
	path := place{"orgId": orgID}.fill(ownOrg + "/failedSignIns:forget")
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.OrgReadOnly, "POST", path, `{"ipAddress":"203.0.113.24"}`))
	for _, body := range []string{`{"ipAddress":"203.0.113.0/24"}`, `{"ipAddress":"fe80::1%eth0"}`, `{"ipAddress":""}`} {
		refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.OrgOwner, "POST", path, body))
	}
	refusedAs(t, 400, "MISSING_ATTRIBUTE", w.as(account.OrgOwner, "POST", path, `{}`))
	if got := status(one); got != 429 {
		t.Errorf("nothing was forgotten yet: %d", got)
	}
	got := want[forgottenView](t, 200, w.as(account.OrgOwner, "POST", path, `{"ipAddress":"::ffff:203.0.113.24"}`))
	if got.Network != "203.0.113.24/32" || !strings.Contains(got.Note, "other node") {
		t.Errorf("got %+v", got)
	}
	if a, b := status(one), status(other); a != 401 || b != 429 {
		t.Errorf("the node that was asked answers %d, the other one %d", a, b)
	}
	w.server = one
	lines := w.lines(w.get(place{"orgId": orgID}.fill(ownOrg+"/logs/")+orgLog, account.OrgOwner))
	if !slices.ContainsFunc(lines, func(l string) bool {
		return strings.Contains(l, `"forgetFailedSignIns"`) && strings.Contains(l, "203.0.113.24/32")
	}) {
		t.Errorf("no event in %q", lines)
	}
}
