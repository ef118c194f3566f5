package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/proof"
)

// Somebody who has a checkpoint or a hash of a log, and knows everything that was sent, by whom and when, cannot
// confirm that it was recorded: the same events, sent by the same sender in the same millisecond, have other hashes in
// another log, from its first entry on.
func TestHashesConfirmNoGuessOfALine(t *testing.T) {
	w := newWorld(t, Options{})
	event := `{"time":1786331578000,"metadata":{"uid":"u","log_name":"x","tenant_uid":"t","logged_time":1}}`
	roots, leaves, lines := map[string]string{}, map[proof.Hash]string{}, map[string]string{}
	operational := strings.Replace(resource, "/auditLogs", ":recordOperationalLogs", 1)
	// Downloads are recorded in the audit log, so it comes first.
	for _, at := range [][2]string{{demoLog, resource}, {"6a793f48c0eb9e7a17712f01", operational}} {
		log, path := at[0], at[1]
		if rec := w.do("POST", path, event, "Content-Type: application/x-ndjson",
			"Authorization: "+w.bearer(account.GroupOwner)); rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		w.sequence()
		h, err := w.logs.Head(t.Context(), log)
		if err != nil || h.Size != 1 {
			t.Fatalf("%+v, %v", h, err)
		}
		roots[h.Root.String()] = log
		_, _, leaf, err := w.logs.ProveEntry(t.Context(), log, 0)
		if err != nil {
			t.Fatal(err)
		}
		leaves[leaf] = log
		line := w.lines(w.get("/api/weir/v1/groups/"+projectID+"/logs/"+log+"?"+everRange, account.GroupOwner))[0]
		salt := saltOf(t, line)
		lines[strings.Replace(line, salt, "", 1)] = salt
	}
	if len(lines) != 1 {
		t.Fatalf("the lines differ in more than the salt, so this shows nothing: %v", lines)
	}
	if len(roots) != 2 || len(leaves) != 2 {
		t.Errorf("roots %v, leaves %v: the hashes of two logs with the same event are the same", roots, leaves)
	}
}

// saltOf returns the salt of a line.
func saltOf(t *testing.T, line string) string {
	t.Helper()
	var v struct {
		Unmapped struct{ Weir struct{ Salt string } }
	}
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatal(err)
	}
	return v.Unmapped.Weir.Salt
}

// Every line has a salt, from any source: senders, reads, changes, refusals and failed sign-ins.
func TestEveryLineIsSalted(t *testing.T) {
	w := newWorld(t, Options{})
	home := w.filled()
	for _, op := range w.server.table {
		if (op.method == get || op.method == post) && op.caller != byClientSecret {
			w.call(op, op.target(home))
			w.do(op.method, op.target(home), "", latest, "Authorization: "+w.bearer(account.OrgMember))
		}
	}
	w.do("POST", "/api/oauth/token", "grant_type=client_credentials&client_id="+w.callers[account.OrgOwner].ID+
		"&client_secret=x", "Content-Type: application/x-www-form-urlencoded")
	w.server.Wait() // for the event of the failure
	kinds := map[string]int{}
	p, err := w.store.Project(t.Context(), projectID)
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{demoLog, p.Workspaces[0].OperationalLog, orgLog, projectID} {
		path := fmt.Sprintf("/api/weir/v1/groups/%s/logs/%s?%s", projectID, log, everRange)
		if log == orgLog {
			path = strings.Replace(path, "groups/"+projectID, "orgs/"+orgID, 1)
		}
		for _, line := range w.lines(w.get(path, account.OrgOwner)) {
			if len(saltOf(t, line)) != 17 {
				t.Errorf("no salt: %s", line)
			}
			var v struct {
				Class int `json:"class_uid"`
			}
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatal(err)
			}
			kinds[fmt.Sprint(v.Class)]++
		}
	}
	for _, class := range []string{"0", "3002", "3004", "6003"} {
		if kinds[class] == 0 {
			t.Errorf("no line of class %s is there: %v", class, kinds)
		}
	}
}
