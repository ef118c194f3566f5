package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// counts has the number of refusals that each event in a test's log stands for.
type counts struct {
	mu  sync.Mutex
	all []int
}

func (c *counts) refusals() *refusals {
	return &refusals{record: func(_ context.Context, _ []string, events ...[]byte) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		var n int
		err := json.Unmarshal(events[0], &n)
		c.all = append(c.all, max(n, 1))
		return err
	}}
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.all)
}

func countLine(r event.Repeats) []byte { return fmt.Append(nil, r.Count) }

// TestRefusalsAreSummed: the first is recorded at once, those of the next minute by one event, the next one at once
// again. Those of another kind are others.
func TestRefusalsAreSummed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counts
		r := c.refusals()
		refuse := func(caller string, times int) {
			t.Helper()
			for range times {
				err := r.refused(t.Context(), repeat{caller: caller}, time.Now(), []string{"log"}, countLine)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		check := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := c.String(); got != want {
				t.Errorf("events of %s refusals, want %s", got, want)
			}
		}
		refuse("a", 1)
		check("[1]")
		refuse("a", 999)
		refuse("b", 1)
		check("[1 1]")
		time.Sleep(sumFor)
		check("[1 1 999]") // one that was not repeated is not told again
		refuse("a", 3)
		check("[1 1 999 1]")
		r.flush()
		check("[1 1 999 1 2]")
	})
}

// TestManyDifferentRefusalsAreBounded: neither many addresses nor many kinds make weir hold, or record, more and more.
func TestManyDifferentRefusalsAreBounded(t *testing.T) {
	var c counts
	r := c.refusals()
	var full int
	for i := range 3 * maxSums {
		address := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if err := r.refused(t.Context(), repeat{caller: "a", address: address}, now, nil, countLine); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * maxSums {
		err := r.refused(t.Context(), repeat{caller: fmt.Sprint(i)}, now, nil, countLine)
		if p := new(problem); errors.As(err, &p) && p.status == http.StatusServiceUnavailable {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.sums); n > maxSums || full == 0 {
		t.Errorf("%d are held, %d were refused an event", n, full)
	}
	r.flush()
	if n := len(c.all); n > maxSums+1 {
		t.Errorf("%d events", n)
	}
}

// TestRepeatedRefusalsAreOneEvent: so it is for reads of a log and for wrong credentials, in the logs that have them.
func TestRepeatedRefusalsAreOneEvent(t *testing.T) {
	w := newWorld(t, Options{})
	const times = 50
	w.bearer(account.GroupOwner)
	for range times {
		w.get(resource+"?startDate=1", account.GroupOwner) // 400
		w.do("POST", "/api/oauth/token", "grant_type=client_credentials&client_secret=wrong&client_id="+
			w.callers[account.GroupOwner].ID, "Content-Type: application/x-www-form-urlencoded")
	}
	w.server.Wait()
	for where, lines := range map[string][]string{
		"in the workspace's log":    w.lines(w.get(resource, account.GroupOwner)),
		"in the organization's log": w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner)),
	} {
		if len(lines) != 2 || strings.Contains(lines[0], `"count"`) ||
			!strings.Contains(lines[1], fmt.Sprintf(`"count":%d,"start_time":%d,"end_time":%d`, times-1,
				now.UnixMilli(),
				now.UnixMilli())) {
			t.Errorf("%s: %q", where, lines)
		}
	}
}

// Somebody who fails to be a credential that exists is recorded in its organization's log.
func TestFailedSignInsAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.GroupOwner)
	form := []string{"Content-Type: application/x-www-form-urlencoded"}
	sa := w.callers[account.GroupOwner].ID
	if rec := w.do("POST", "/api/oauth/token", "grant_type=client_credentials&client_id="+sa+
		"&client_secret=wrong", form...); rec.Code != 401 {
		t.Fatal(rec.Code)
	}
	if rec := w.do("POST", "/api/oauth/token",
		"grant_type=client_credentials&client_id=mdb_sa_id_6a793f48c0eb9e7a17712c00&client_secret=wrong",
		form...); rec.Code != 401 {
		t.Fatal(rec.Code)
	}
	w.server.Wait()
	lines := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	if len(lines) != 1 || !strings.Contains(lines[0], `"type_uid":300201`) || !strings.Contains(lines[0], sa) ||
		!strings.Contains(lines[0], "wrong secret") {
		t.Errorf("got %q", lines)
	}
}

// A refusal names just the roles by which the same request is not refused.
func TestRefusalNamesTheRolesThatWouldDo(t *testing.T) {
	w := newWorld(t, Options{})
	home := nowhere.with(place{"orgId": orgID, "groupId": projectID, "tenantName": "absent"}, "orgId", "groupId",
		"tenantName")
	refused := 0
	for _, op := range w.server.served() {
		named, allowed := map[account.Role][]string{}, []string{}
		for _, role := range allRoles() {
			rec := w.do(op[0], home.fill(op[1]), "", latest+","+download, "Authorization: "+w.bearer(role))
			switch code := rec.Header().Get("X-Error-Code"); code {
			case "USER_UNAUTHORIZED":
				_, roles, ok := strings.Cut(want[body](t, 403, rec).Detail, "one of these roles: ")
				if !ok {
					t.Errorf("%s %s by %s: %s", op[0], op[1], role, rec.Body)
				}
				named[role] = strings.Split(strings.TrimSuffix(roles, "."), ", ")
			case "GROUP_NOT_FOUND", "ORG_NOT_FOUND":
			default:
				allowed = append(allowed, string(role))
			}
		}
		slices.Sort(allowed)
		for role, roles := range named {
			refused++
			if d := cmp.Diff(allowed, roles); d != "" {
				t.Errorf("%s %s by %s (-roles that are not refused +roles that are named):\n%s", op[0], op[1], role, d)
			}
		}
	}
	if refused < 400 {
		t.Errorf("only %d refusals", refused)
	}
}
