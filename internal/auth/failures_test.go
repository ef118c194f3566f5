package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// caller is one way to authenticate.
type caller struct {
	name string
	try  func(a *Authenticator, from netip.Addr) error
}

// signsIn is an authentication by an Authorization header.
func signsIn(name string, header func() string) caller {
	return caller{name, func(a *Authenticator, from netip.Addr) error {
		r := httptest.NewRequest("GET", "/a?b=c", nil)
		r.Header.Set("Authorization", header())
		_, err := a.Authenticate(r, from)
		return err
	}}
}

// asksForToken is an authentication by a secret.
func asksForToken(name, id, secret string) caller {
	return caller{name, func(a *Authenticator, from netip.Addr) error {
		_, _, err := a.Issue(context.Background(), id, secret, from)
		return err
	}}
}

// digestAs returns a Digest header of a key.
func (w *world) digestAs(public, private string) string {
	p := map[string]string{"username": public, "realm": account.Realm, "nonce": w.digests.nonce(time.Now()),
		"uri": "/a?b=c",
		"nc":  "00000001", "cnonce": "abc", "qop": "auth", "algorithm": "MD5"}
	p["response"], _ = expected(p, "GET", account.NewHA1(public, private))
	return format(p)
}

// However often anybody sends wrong credentials, right ones are taken, from the same address and from others; and the
// wrong ones are answered as too many.
func TestWrongCredentialsLockNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{FailuresPerMinute: 6})
		token, _, err := w.Issue(t.Context(), w.clientID, w.secret, here)
		accepted(t, err)
		right := []caller{
			signsIn("right token", func() string { return "Bearer " + token }),
			signsIn("right key", func() string { return w.digestAs(w.public, w.private) }),
			asksForToken("right secret", w.clientID, w.secret),
		}
		n := 0
		wrong := []caller{
			signsIn("malformed token", func() string { return "Bearer wrong" }),
			signsIn("token of others", func() string {
				made, _ := newTokens(w.bucket, Secret{2}, MaxTokenLife).issue(w.clientID, w.secretID(), time.Now())
				return "Bearer " + made
			}),
			signsIn("malformed digest", func() string { return "Digest nonsense" }),
			signsIn("other scheme", func() string { return "Basic YTpi" }),
			signsIn("wrong private key of the same key", func() string { return w.digestAs(w.public, "wrong") }),
			signsIn("made-up key", func() string { return w.digestAs("aaaaaaaa", "wrong") }),
			signsIn("many made-up keys", func() string {
				n++
				return w.digestAs(fmt.Sprintf("aaaa%c%c%c%c", 'a'+n%26, 'a'+n/26%26, 'a'+n/676%26, 'b'), "wrong")
			}),
			asksForToken("wrong secret of the same account", w.clientID, "wrong"),
			asksForToken("malformed account", "mdb_sa_id_none", w.secret),
			asksForToken("made-up account", "mdb_sa_id_"+account.NewID(time.Now()), w.secret),
		}
		elsewhere := netip.MustParseAddr("198.51.100.7")
		lookedUp := 0
		counted := &bucketest.Faulty{Bucket: w.bucket, Before: func(_ context.Context, op bucketest.Op, _ string) error {
			if op == bucketest.Get {
				lookedUp++
			}
			return nil
		}}
		for i, attack := range wrong {
			// The node has just started, and has seen none of them yet.
			fresh := New(counted, account.NewDirectory(counted), Secret{1}, Options{FailuresPerMinute: 6})
			w.Authenticator = fresh
			attacker := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			var many *TooManyFailures
			for range 100 {
				if err := attack.try(w.Authenticator, attacker); err == nil {
					t.Fatalf("%s: accepted", attack.name)
				} else if !errors.As(err, &many) {
					refused(t, err, false)
				}
			}
			if many == nil || many.RetryAfter <= 0 || many.RetryAfter > 10*time.Second {
				t.Errorf("%s: 100 in no time are answered with %v", attack.name, many)
			}
			lookedUp = 0
			for range 1000 {
				_ = attack.try(w.Authenticator, attacker)
			}
			if lookedUp > 2 {
				t.Errorf("%s: 1,000 more look into the bucket %d times", attack.name, lookedUp)
			}
			for _, victim := range right {
				for _, from := range []netip.Addr{attacker, elsewhere} {
					if err := victim.try(w.Authenticator, from); err != nil {
						t.Errorf("%s, after %s, from %v: %v", victim.name, attack.name, from, err)
					}
				}
			}
			if err := attack.try(w.Authenticator, elsewhere); errors.As(err, &many) {
				t.Errorf("%s limits another address", attack.name)
			}
			time.Sleep(time.Minute) // elsewhere forgets
		}
	})
}

// Wrong secrets of one do not keep those from signing in behind the same address that this node has not seen yet.
func TestOneWrongIdentityDoesNotLimitItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		a := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{FailuresPerMinute: 6})
		for range 1000 {
			_ = asksForToken("", "mdb_sa_id_"+account.NewID(time.Unix(0, 0))[:8]+"0000000000000000",
				"wrong").try(a, here)
		}
		accepted(t, asksForToken("", w.clientID, w.secret).try(a, here))
	})
}

// Whether a credential exists makes no difference to how wrong secrets are answered.
func TestLimitsDoNotTellWhoExists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := func(id string) (all []string) {
			w := newWorld(t, Options{FailuresPerMinute: 6})
			if id == "" {
				id = w.clientID
			}
			for range 20 {
				all = append(all, fmt.Sprint(asksForToken("", id, "wrong").try(w.Authenticator, here)))
			}
			return all
		}
		if there, none := answers(""), answers("mdb_sa_id_"+
			account.NewID(time.Now())); fmt.Sprint(there) != fmt.Sprint(none) {
			t.Errorf("existing: %v\nmade up: %v", there, none)
		}
	})
}

// Past its limit, an address does not make weir look into the bucket for credentials.
func TestLimitedAddressesCostNoLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		lookups := 0
		f := &bucketest.Faulty{Bucket: w.bucket, Before: func(context.Context, bucketest.Op,
			string) error {
			lookups++
			return nil
		}}
		a := New(f, account.NewDirectory(f), Secret{1}, Options{FailuresPerMinute: 6})
		for range 1000 {
			_ = asksForToken("", "mdb_sa_id_"+account.NewID(time.Now()), "wrong").try(a, here)
		}
		if most := 6*addressShare + 1; lookups > most {
			t.Errorf("%d operations on the bucket, want at most %d, with one listing", lookups, most)
		}
		lookups = 0
		for range 100 {
			_ = asksForToken("", "../../weir", "wrong").try(a, netip.MustParseAddr("192.0.2.2"))
			_ = asksForToken("", "mdb_sa_id_none", "wrong").try(a, netip.MustParseAddr("192.0.2.3"))
		}
		if lookups > 0 {
			t.Errorf("%d operations on the bucket for malformed ids", lookups)
		}
	})
}

func TestFailuresAreForgottenWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{FailuresPerMinute: 6})
		for range 20 {
			refused(t, w.try(""), false) // asking for a challenge is no failure
		}
		for range 6 {
			refused(t, w.try("Bearer wrong"), false)
		}
		var many *TooManyFailures
		if err := w.try("Bearer wrong"); !errors.As(err, &many) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(many.RetryAfter)
		refused(t, w.try("Bearer wrong"), false)
	})
	if Network(netip.MustParseAddr("2001:db8::1")) != Network(netip.MustParseAddr("2001:db8::2")) {
		t.Error("addresses of one IPv6 network must count as one")
	}
}

// The failures of an address, or of the /64 of an IPv6 address, are forgotten on request. Those of others are not.
func TestFailuresAreForgottenOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{FailuresPerMinute: 2})
		from := func(text string) netip.Addr { return netip.MustParseAddr(text) }
		callers := []netip.Addr{from("192.0.2.1"), from("192.0.2.2"), from("2001:db8::1"), from("2001:db8:0:1::1")}
		limited := func() (which []bool) {
			for _, c := range callers {
				var many *TooManyFailures
				err := asksForToken("", w.clientID, "wrong").try(w.Authenticator, c)
				which = append(which, errors.As(err, &many))
			}
			return which
		}
		fail := func() {
			for _, c := range callers {
				for i := range 50 { // under many names, so that the address is limited as a whole
					asksForToken("", fmt.Sprintf("mdb_sa_id_%024x", i), "wrong").try(w.Authenticator, c)
				}
				asksForToken("", w.clientID, "wrong").try(w.Authenticator, c)
			}
		}
		for _, tt := range []struct {
			forget string
			want   []bool
		}{
			{"198.51.100.1", []bool{true, true, true, true}},
			{"192.0.2.1", []bool{false, true, true, true}},
			{"::ffff:192.0.2.2", []bool{true, false, true, true}},
			{"2001:db8::ffff", []bool{true, true, false, true}},
		} {
			fail()
			w.Forget(from(tt.forget))
			if got := limited(); !slices.Equal(got, tt.want) {
				t.Errorf("%s is forgotten: limited are %v, want %v", tt.forget, got, tt.want)
			}
		}
	})
}
