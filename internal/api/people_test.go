package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/oidc"
)

// voucher is an OpenID provider that authenticates the user whose e-mail address is in its answer.
type voucher struct{}

func (voucher) Issuer() string { return "https://login.example.com" }

func (voucher) Begin(_ context.Context, redirect string) (string, oidc.Flow, error) {
	return "https://login.example.com/authorize", oidc.Flow{State: "state", Redirect: redirect}, nil
}

func (v voucher) Finish(_ context.Context, f oidc.Flow, answer url.Values) (*oidc.Person, error) {
	p := &oidc.Person{Issuer: v.Issuer(), Subject: "subject of " + answer.Get("who"), Email: answer.Get("who")}
	switch {
	case answer.Get("down") != "":
		return nil, &oidc.Unavailable{Err: http.ErrServerClosed}
	case answer.Get("state") != f.State:
		return nil, &oidc.Refused{Why: "another browser began it"}
	case answer.Get("nonce") != "":
		return nil, &oidc.Refused{Why: "the ID token is of another sign-in", Person: p}
	}
	return p, nil
}

const jane, boss = "jane@example.com", "boss@example.com"

var people = &auth.People{Provider: voucher{}, Rules: []auth.Rule{
	{Claim: "email", Value: jane, Grant: account.Grant{Project: projectID, Role: account.GroupDataAccessReadOnly}},
	{Claim: "email", Value: boss, Grant: account.Grant{Org: orgID, Role: account.OrgOwner}},
}}

// flow begins the sign-in of a person.
func (w *world) flow() string {
	w.t.Helper()
	v := want[authorization](w.t, 200, w.do(post, sessionPath+":authorize",
		"redirect_uri=https%3A%2F%2Faudit.example.com%2F", "Content-Type: application/x-www-form-urlencoded"))
	if v.URL != "https://login.example.com/authorize" || v.Flow == "" {
		w.t.Fatalf("got %+v", v)
	}
	return v.Flow
}

// arrive ends the sign-in of a person with the answer of a provider.
func (w *world) arrive(answer url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	form := url.Values{"flow": {w.flow()}, "answer": {answer.Encode()}}
	return w.do(post, sessionPath, form.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

// personSession signs a person in.
func (w *world) personSession(email string) (string, sessionView) {
	w.t.Helper()
	v := want[sessionView](w.t, 201, w.arrive(url.Values{"state": {"state"}, "who": {email}}))
	return "Authorization: Session " + v.Session, v
}

// A person may do what the rules allow, and each event of its actions has its id and the provider.
func TestPeopleActUnderTheirOwnNames(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.OrgOwner)
	session, view := w.personSession(jane)
	if view.Kind != "User" || view.Name != jane || view.Issuer != "https://login.example.com" ||
		view.Subject != "subject of "+jane || view.OrgID != orgID || len(view.Roles) != 1 {
		t.Errorf("got %+v", view)
	}
	const audits = "/api/atlas/v2/groups/" + projectID + "/streams/demo/auditLogs"
	if rec := w.do(get, audits, "", session, latest+","+download); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	refusedAs(t, 404, "ORG_NOT_FOUND", w.do(get, "/api/weir/v1/orgs/"+orgID+"/logs", "", session))
	if rec := w.do("DELETE", sessionPath, "", session); rec.Code != 204 {
		t.Fatalf("sign-out: %d", rec.Code)
	}
	refusedAs(t, 401, "UNEXPECTED_ERROR", w.do(get, sessionPath, "", session))
	audit := w.lines(w.get(audits, account.OrgOwner))
	said := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	for what, line := range map[string]string{"read": lineWith(audit, `"auditLogAccessed"`, jane),
		"sign-in": lineWith(said, `"beginSession"`, jane), "sign-out": lineWith(said, `"endSession"`, jane)} {
		var e struct {
			Actor struct {
				User struct {
					Name, Type, UID string
					Email           string `json:"email_addr"`
					Credential      string `json:"credential_uid"`
				}
				IDP struct{ Issuer string }
			}
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v in %q", what, err, line)
		}
		if u := e.Actor.User; u.Name != jane || u.Type != "User" || u.UID != "subject of "+jane || u.Email != jane ||
			u.Credential != view.CredentialID || e.Actor.IDP.Issuer != "https://login.example.com" {
			t.Errorf("%s: %s", what, line)
		}
		if wrong, err := event.Conform([]byte(line)); err != nil || len(wrong) > 0 {
			t.Errorf("%s does not conform to its class: %v %v", what, wrong, err)
		}
	}
}

// lineWith returns the first line that has all parts.
func lineWith(lines []string, parts ...string) string {
next:
	for _, l := range lines {
		for _, p := range parts {
			if !strings.Contains(l, p) {
				continue next
			}
		}
		return l
	}
	return ""
}

// A failed sign-in is recorded if the provider authenticates the user. A stranger cannot fill a log.
func TestFailedSignInsOfPeopleAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.OrgOwner)
	for _, answer := range []url.Values{{}, {"state": {"x"}, "who": {jane}},
		{"state": {"state"}, "who": {"joe@example.com"}}, {"state": {"state"}, "who": {jane}, "nonce": {"x"}}} {
		if rec := w.arrive(answer); rec.Code != 401 || strings.Contains(rec.Body.String(), "role") {
			t.Errorf("%v: %d %s", answer, rec.Code, rec.Body)
		}
	}
	rec := w.arrive(url.Values{"state": {"state"}, "down": {"x"}})
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "closed") {
		t.Errorf("a provider that is down: %d %s", rec.Code, rec.Body)
	}
	for _, flow := range []string{"x", "", strings.Repeat("A", 5000)} {
		form := url.Values{"flow": {flow}, "answer": {"state=state&who=" + jane}}
		if rec := w.do(post, sessionPath, form.Encode(), "Content-Type: application/x-www-form-urlencoded"); rec.Code != 401 {
			t.Errorf("a flow of nobody's: %d %s", rec.Code, rec.Body)
		}
	}
	w.server.Wait()
	lines := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	none := lineWith(lines, "joe@example.com", "no role for this person", `"auth_protocol":"OpenID Connect"`)
	if len(lines) != 2 || none == "" ||
		lineWith(lines, jane, "the ID token is of another sign-in") == "" {
		t.Errorf("got %q", lines)
	}
	for _, line := range lines {
		if wrong, err := event.Conform([]byte(line)); err != nil || len(wrong) > 0 {
			t.Errorf("%s does not conform: %v %v", line, wrong, err)
		}
	}
}

func TestRedirectsMustBeURLs(t *testing.T) {
	w := newWorld(t, Options{})
	for _, to := range []string{"", "x", "javascript:alert(1)", "//evil.example",
		"https://a/" + strings.Repeat("x", 1100)} {
		rec := w.do(post, sessionPath+":authorize", url.Values{"redirect_uri": {to}}.Encode(),
			"Content-Type: application/x-www-form-urlencoded")
		if rec.Code != 400 {
			t.Errorf("%.50q: %d %s", to, rec.Code, rec.Body)
		}
	}
}
