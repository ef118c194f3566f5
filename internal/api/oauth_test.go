package api

import (
	"strconv"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
)

// A service account that asks for too many tokens is told when to retry, in the form of RFC 6749. Others still get
// tokens, and a wrong secret gets the usual reply.
func TestTooManyTokensOfOneAccount(t *testing.T) {
	w := newWorld(t, Options{})
	greedy, other := account.GroupOwner, account.OrgOwner
	w.bearer(greedy)
	w.bearer(other)
	tokens := auth.New(w.faulty, w.store, auth.Secret{1}, auth.Options{TokensPerMinute: 2})
	w.server = w.node(w.store, tokens)
	ask := func(role account.Role, secret string) (status int, code string, wait int) {
		rec := w.do("POST", "/api/oauth/token", "grant_type=client_credentials&client_id="+w.callers[role].ID+
			"&client_secret="+secret, "Content-Type: application/x-www-form-urlencoded")
		wait, err := strconv.Atoi(rec.Header().Get("Retry-After"))
		if err != nil && rec.Code == 429 {
			t.Errorf("Retry-After: %v", err)
		}
		return rec.Code, want[struct {
			Error string `json:"error"`
		}](t, rec.Code, rec).Error, wait
	}
	for range 2 {
		if status, code, _ := ask(greedy, w.secrets[greedy]); status != 200 {
			t.Fatalf("within the limit: %d %s", status, code)
		}
	}
	for range 3 {
		if status, code, wait := ask(greedy, w.secrets[greedy]); status != 429 || code != "too_many_requests" ||
			wait < 1 || wait > 60 {
			t.Errorf("past the limit: %d %s, again in %d", status, code, wait)
		}
	}
	if status, code, _ := ask(greedy, "mdb_sa_sk_wrong"); status != 401 || code != "invalid_client" {
		t.Errorf("with a wrong secret: %d %s", status, code)
	}
	if status, code, _ := ask(other, w.secrets[other]); status != 200 {
		t.Errorf("another account: %d %s", status, code)
	}
}
