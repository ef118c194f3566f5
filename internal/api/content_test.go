package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// sums are the operations whose replies depend on the lines of a log only through digests of the tree, or through the
// total size. docs/proof.md says what digests reveal.
var sums = []string{"getGroupLogCheckpoint", "getOrgLogCheckpoint", "getGroupLogTile", "getOrgLogTile",
	"proveGroupLogGrowth", "proveOrgLogGrowth", "getGroupLog", "getOrgLog", "listGroupLogs", "listOrgLogs"}

// If a reply would differ with other events, as many and at the same times, its operation is an audited read.
func TestRepliesThatFollowFromContentAreAudited(t *testing.T) {
	alpha, beta := askAll(t, "alpha"), askAll(t, "bravo-charlie-delta-echo")
	var follow []string
	for question, reply := range alpha {
		id, _, _ := strings.Cut(question, " ")
		if beta[question] != reply && !slices.Contains(follow, id) {
			follow = append(follow, id)
		}
	}
	for _, op := range new(Server).operations() {
		if slices.Contains(follow, op.id) && !op.audit.needed() && !slices.Contains(sums, op.id) {
			t.Errorf("%s: its reply follows from what was recorded, and it is not audited", op.id)
		}
	}
	for _, id := range append(sums, "searchGroupEvents", "summarizeGroupEvents", "listGroupEventFields",
		"proveGroupLogEntry", "proveGroupLogDownload", "downloadGroupStreamAuditLogs", "downloadGroupLog", "downloadOrgLog") {
		if !slices.Contains(follow, id) {
			t.Errorf("%s: its reply does not follow from what was recorded, so this test finds nothing", id)
		}
	}
}

// made matches the differences between two worlds with the same records: random texts, and times of creation, which
// come from the clock of the machine.
var made = regexp.MustCompile(
	`[0-9a-f]{24}|"(publicKey|privateKey|maskedSecretValue|maskedToken|createdAt|expiresAt)":"[^"]*"`)

// askAll calls every reading operation, with every kind of query that contains a value, where the events have this
// value. It returns the replies by operation and query.
func askAll(t *testing.T, value string) map[string]string {
	w := newWorld(t, Options{})
	home := w.home()
	var lines strings.Builder
	for i := range 8 {
		who := value
		if i%2 == 0 {
			who = "other"
		}
		fmt.Fprintf(&lines, `{"time":%d,"entity":{"type":"Stream Processor","name":%q},"actor":{"user":{"name":%q}},`+
			`"metadata":{"uid":"%d"}}`+"\n", now.UnixMilli()-int64(i)*1000, who, who, i)
	}
	for _, target := range []string{resource, strings.Replace(resource, "/auditLogs", ":recordOperationalLogs", 1)} {
		if rec := w.as(account.OrgOwner, post, target, "["+strings.ReplaceAll(strings.TrimSpace(lines.String()), "\n", ",")+
			"]"); rec.Code != 200 {
			t.Fatalf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
	want[orgView](t, 200, w.as(account.OrgOwner, patch, orgV2, fmt.Sprintf(`{"name":%q}`, value)))
	want[orgView](t, 200, w.as(account.OrgOwner, patch, orgV2, `{"name":"o"}`))
	w.sequence()
	asks := map[string]string{processorName.name: "alpha", "q": "alpha", "facets": "who"}
	replies := map[string]string{}
	for _, op := range w.server.table {
		if op.method != get {
			continue
		}
		queries := []string{""}
		for _, p := range slices.Concat(op.query, op.form.parameters) {
			if value, ok := asks[p.name]; ok {
				queries = append(queries, p.name+"="+value)
			}
		}
		for _, query := range queries {
			target := strings.Replace(op.target(home), "from=0&to=0", "from=1&to=2", 1)
			if query != "" {
				target = addQuery(target, query)
			}
			rec := w.call(op, target)
			if rec.Code != op.status {
				t.Fatalf("%s %s: %d %s", op.id, query, rec.Code, rec.Body)
			}
			replies[op.id+" "+query] = made.ReplaceAllString(fmt.Sprint(rec.Header(), rec.Body), "…")
		}
	}
	return replies
}
