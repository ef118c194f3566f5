package api

import (
	"net/url"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

const sessionPath = "/api/weir/v1/session"

// beginSession signs in with a credential's secret.
func (w *world) beginSession(role account.Role) (text string, view sessionView) {
	w.t.Helper()
	w.bearer(role)
	form := url.Values{"client_id": {w.callers[role].ID}, "client_secret": {w.secrets[role]}}
	view = want[sessionView](w.t, 201, w.do(post, sessionPath, form.Encode(),
		"Content-Type: application/x-www-form-urlencoded"))
	return "Authorization: Session " + view.Session, view
}

// A session reads what its credential may read, under the credential's name, and changes nothing.
func TestSessionsReadAndChangeNothing(t *testing.T) {
	w := newWorld(t, Options{})
	home := w.filled()
	session, view := w.beginSession(account.OrgOwner)
	if view.Began == nil || view.Expires == nil || view.IdleSeconds != 3600 || view.Kind != "Service Account" {
		t.Errorf("got %+v", view)
	}
	again := want[sessionView](t, 200, w.do(get, sessionPath, "", session))
	if again.Session != "" || again.CredentialID != w.callers[account.OrgOwner].ID || len(again.Roles) == 0 {
		t.Errorf("got %+v", again)
	}
	for _, op := range w.server.table {
		if op.caller == byClientSecret || op.session {
			continue
		}
		rec := w.do(op.method, op.target(home), op.goodBody(), latest+","+download, session)
		if op.method == get && rec.Code != op.status {
			t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
		}
		if op.method != get && (rec.Code != 403 || !strings.Contains(rec.Body.String(), "A session reads and changes")) {
			t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
		}
	}
}

func TestSignInAndSignOutAreEvents(t *testing.T) {
	w := newWorld(t, Options{})
	session, _ := w.beginSession(account.GroupReadOnly)
	other, _ := w.beginSession(account.GroupReadOnly)
	if rec := w.do("DELETE", sessionPath, "", session); rec.Code != 204 {
		t.Fatalf("sign-out: %d %s", rec.Code, rec.Body)
	}
	rec := w.do(get, sessionPath, "", session)
	if rec.Code != 401 || !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Session ") ||
		len(rec.Header().Values("WWW-Authenticate")) != 1 {
		t.Errorf("after the sign-out: %d %v", rec.Code, rec.Header())
	}
	want[sessionView](t, 200, w.do(get, sessionPath, "", other))
	if rec := w.do("DELETE", sessionPath+"?everywhere=true", "", other); rec.Code != 204 {
		t.Fatalf("sign-out everywhere: %d %s", rec.Code, rec.Body)
	}
	refusedAs(t, 401, "UNEXPECTED_ERROR", w.do(get, sessionPath, "", other))
	third, _ := w.beginSession(account.GroupReadOnly)
	want[sessionView](t, 200, w.do(get, sessionPath, "", third))
	if rec := w.do("DELETE", sessionPath, "", "Authorization: "+w.bearer(account.GroupReadOnly)); rec.Code != 204 {
		t.Fatalf("sign-out by a token: %d %s", rec.Code, rec.Body)
	}
	refusedAs(t, 401, "UNEXPECTED_ERROR", w.do(get, sessionPath, "", third))
	lines := strings.Join(w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner)), "\n")
	for text, n := range map[string]int{`"type_uid":300201`: 3, `"type_uid":300202`: 3, `"session":{"uid":`: 4,
		`"atype":"beginSession"`: 3, `"atype":"endSession"`: 3} {
		if got := strings.Count(lines, text); got != n {
			t.Errorf("%s: %d times, want %d, in %s", text, got, n, lines)
		}
	}
	if text := strings.TrimPrefix(session, "Authorization: Session "); strings.Contains(lines, text) {
		t.Error("the events have a session's text")
	}
}

func TestFailedSessionsAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.GroupOwner)
	id := w.callers[account.GroupOwner].ID
	for _, form := range []string{"client_id=" + id + "&client_secret=wrong",
		"client_id=mdb_sa_id_6a793f48c0eb9e7a17712c00&client_secret=wrong", "code=wrong", ""} {
		if rec := w.do(post, sessionPath, form, "Content-Type: application/x-www-form-urlencoded"); rec.Code != 401 {
			t.Errorf("%s: %d %s", form, rec.Code, rec.Body)
		}
	}
	w.server.Wait()
	lines := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	if len(lines) != 1 || !strings.Contains(lines[0], id) || !strings.Contains(lines[0], "wrong secret") {
		t.Errorf("got %q", lines)
	}
}
