package api

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
)

const (
	latest  = "Accept: application/vnd.atlas.2025-03-12+json"
	orgID   = "6a793f48c0eb9e7a17712c00"
	orgLog  = "6a793f48c0eb9e7a17712d00"
	demoLog = "6a793f48c0eb9e7a17712f00"
	groupV2 = "/api/atlas/v2/groups/" + projectID
	orgV2   = "/api/atlas/v2/orgs/" + orgID
)

// as sends a request of a caller with one role.
func (w *world) as(role account.Role, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return w.by(w.bearer(role), method, path, body, headers...)
}

func (w *world) by(authorization, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	headers = append([]string{latest, "Authorization: " + authorization}, headers...)
	if body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	return w.do(method, path, body, headers...)
}

// want checks the status of a reply and decodes it.
func want[T any](t testing.TB, status int, rec *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if rec.Code != status {
		t.Fatalf("%d %s, want %d", rec.Code, rec.Body, status)
	}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", rec.Body, err)
		}
	}
	return v
}

// refusedAs checks that a reply is an error with a status and a code.
func refusedAs(t testing.TB, status int, code string, rec *httptest.ResponseRecorder) {
	t.Helper()
	if got := rec.Header().Get("X-Error-Code"); rec.Code != status || got != code {
		t.Errorf("%d %s, want %d %s: %s", rec.Code, got, status, code, rec.Body)
	}
}

type page[T any] struct {
	Links   []link
	Results []T
	Total   *int `json:"totalCount"`
}

func (p page[T]) rels() string {
	var rels []string
	for _, l := range p.Links {
		rels = append(rels, l.Rel+" "+l.Href[strings.Index(l.Href, "/api"):])
	}
	return strings.Join(rels, "; ")
}

// signIn returns the Authorization header of a service account.
func (w *world) signIn(id, secret string) string {
	w.t.Helper()
	// it was made at the server's now, which is long ago
	_, err := w.store.UpdateCredential(w.t.Context(), id, func(c *account.Credential) error {
		for i := range c.Secrets {
			c.Secrets[i].Expires = time.Now().Add(time.Hour)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	token, _, err := w.auth.Issue(w.t.Context(), id, secret, netip.MustParseAddr("203.0.113.24"))
	if err != nil {
		w.t.Fatal(err)
	}
	return "Bearer " + token
}
