package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
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

// session returns the header of a session of a caller with one role. It is always the same one.
func (w *world) session(role account.Role) string {
	w.t.Helper()
	if _, ok := w.sessions[role]; !ok {
		w.sessions[role], _ = w.beginSession(role)
	}
	return w.sessions[role]
}

// A session may do what its credential may, under the credential's name, but record no events.
func TestSessionsDoWhatTheirCredentialMay(t *testing.T) {
	w := newWorld(t, Options{})
	for _, op := range w.server.table {
		if op.caller == byClientSecret || op.session {
			continue
		}
		w := newWorld(t, Options{}) // nothing was deleted there
		home := w.filled()
		session, _ := w.beginSession(account.OrgOwner)
		rec := w.do(op.method, op.target(home), op.goodBody(), latest+","+download, session, "Content-Type: application/json")
		switch {
		case op.body == eventsBody:
			if rec.Code != 403 || !strings.Contains(rec.Body.String(), "A session records no events") {
				t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
			}
		case op.id == "deleteOrg" || op.id == "deleteGroup": // it is not empty
			if rec.Code != 409 {
				t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
			}
		case rec.Code != op.status:
			t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
		}
	}
}

func TestSessionsSayWhoIsSignedIn(t *testing.T) {
	w := newWorld(t, Options{})
	session, view := w.beginSession(account.OrgOwner)
	if view.Began == nil || view.Expires == nil || view.IdleSeconds != 3600 || view.Kind != "Service Account" ||
		view.Changes == nil || view.Changes.Sub(*view.Began) != auth.ChangesFor {
		t.Errorf("got %+v", view)
	}
	again := want[sessionView](t, 200, w.do(get, sessionPath, "", session))
	if again.Session != "" || again.CredentialID != w.callers[account.OrgOwner].ID || len(again.Roles) == 0 {
		t.Errorf("got %+v", again)
	}
}

// older returns the header of a session that began at an earlier time and was used until now.
func (w *world) older(session string, age time.Duration) string {
	w.t.Helper()
	const scheme, purpose = "Authorization: Session ", "session"
	data, ok := w.auth.Referred(purpose, strings.TrimPrefix(session, scheme))
	var said map[string]any
	if !ok || json.Unmarshal(data, &said) != nil {
		w.t.Fatal("the session cannot be read")
	}
	said["b"] = time.Now().Add(-age).Unix()
	data, err := json.Marshal(said)
	if err != nil {
		w.t.Fatal(err)
	}
	return scheme + w.auth.Refer(purpose, data)
}

// A quarter of an hour after the sign-in a session may not change anything, even if it is in use, but may still read.
func TestOldSessionsReadOnly(t *testing.T) {
	w := newWorld(t, Options{})
	home := w.filled()
	session, _ := w.beginSession(account.OrgOwner)
	old := w.older(session, auth.ChangesFor)
	for _, op := range w.server.table {
		if op.caller == byClientSecret || op.session || op.body == eventsBody {
			continue
		}
		rec := w.do(op.method, op.target(home), op.goodBody(), latest+","+download, old, "Content-Type: application/json")
		if op.method != get {
			refusedAs(t, 403, "SESSION_TOO_OLD", rec)
		} else if rec.Code != op.status {
			t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
		}
	}
	for _, one := range []string{session, w.older(session, auth.ChangesFor-time.Minute)} {
		want[any](t, 200, w.do(patch, "/api/weir/v1/groups/"+projectID+"/settings", `{"legalHold":true}`, one,
			"Content-Type: application/json"))
	}
}

// Changes by a person are recorded with the person as their actor, if a rule allows them.
func TestPeopleChangeWhatTheirRulesAllow(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.OrgOwner)
	settings := "/api/weir/v1/groups/" + projectID + "/settings"
	reader, _ := w.personSession(jane)
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.do(patch, settings, `{"legalHold":true}`, reader,
		"Content-Type: application/json"))
	owner, view := w.personSession(boss)
	if rec := w.do(patch, settings, `{"legalHold":true}`, owner, "Content-Type: application/json"); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	made := want[serviceAccountView](t, 201, w.do(post, groupV2+"/serviceAccounts",
		goodBodies[[2]string{post, group + "/serviceAccounts"}], owner, latest, "Content-Type: application/json"))
	// A person cannot be given a role.
	refusedAs(t, 400, "VALIDATION_ERROR", w.do(post, "/api/atlas/v2/orgs", `{"name":"x"}`, owner, latest,
		"Content-Type: application/json"))
	for what, line := range map[string]string{
		"settings": lineWith(w.lines(w.get("/api/weir/v1/groups/"+projectID+"/logs/"+projectID, account.OrgOwner)),
			`"updateGroupLogSettings"`),
		"a credential": lineWith(w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner)),
			`"createGroupServiceAccount"`)} {
		for _, part := range []string{`"uid":"subject of ` + boss + `"`, `"type":"User"`, view.CredentialID,
			`"issuer":"https://login.example.com"`} {
			if !strings.Contains(line, part) {
				t.Errorf("%s: no %s in %s", what, part, line)
			}
		}
		if strings.Contains(line, made.Secrets[0].Secret) {
			t.Errorf("%s: a secret is in the log", what)
		}
		if wrong, err := event.Conform([]byte(line)); err != nil || len(wrong) > 0 {
			t.Errorf("%s does not conform to its class: %v %v", what, wrong, err)
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
