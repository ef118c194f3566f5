package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// counted is a bucket that counts what is done to revocations.
type counted struct {
	*bucketest.Faulty
	lists, puts, deletes int
}

func count(w *world) *counted {
	c := &counted{}
	c.Faulty = &bucketest.Faulty{Bucket: w.bucket, Before: func(_ context.Context, op bucketest.Op, key string) error {
		if strings.HasPrefix(key, revocationsPrefix) {
			switch op {
			case bucketest.List:
				c.lists++
			case bucketest.PutNew:
				c.puts++
			case bucketest.Delete:
				c.deletes++
			}
		}
		return nil
	}}
	return c
}

func (w *world) revocations(t *testing.T) int {
	n := 0
	for _, err := range w.bucket.List(t.Context(), revocationsPrefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// Whatever one service account revokes, the bucket holds a bounded number of objects for it, and a node lists them at
// most every two seconds.
func TestOneCredentialCannotFillTheBucketWithRevocations(t *testing.T) {
	attempts := 21_000
	if testing.Short() {
		attempts = 3 * maxRevoked
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{})
		c := count(w)
		a := New(c, account.NewDirectory(w.bucket), Secret{1}, Options{TokensPerMinute: 1_000_000})
		begin := time.Now()
		var last string
		for range attempts {
			token, _, err := a.Issue(ctx, w.clientID, w.secret, here)
			if err != nil {
				t.Fatal(err)
			}
			accepted(t, a.Revoke(ctx, w.clientID, w.secret, token, here))
			last = token
			time.Sleep(time.Millisecond)
		}
		if n := w.revocations(t); n > maxRevoked+1 {
			t.Errorf("%d objects are left", n)
		}
		if most := int(time.Since(begin)/revocationsAge) + 1; c.lists > most {
			t.Errorf("revocations were listed %d times, want at most %d", c.lists, most)
		}
		refused(t, on(a, "GET", "/", "Bearer "+last), false)
		other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		refused(t, on(other, "GET", "/", "Bearer "+last), false)
		token, _, err := a.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, on(a, "GET", "/", "Bearer "+token))
		time.Sleep(revocationsAge)
		accepted(t, on(other, "GET", "/", "Bearer "+token))
	})
}

// When all tokens of an account are revoked at once, those made before go, and those made later stay, on all nodes.
func TestRevokingAllTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{TokensPerMinute: 1_000_000})
		other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		before, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		for range maxRevoked + 1 {
			token, _, err := w.Issue(ctx, w.clientID, w.secret, here)
			accepted(t, err)
			accepted(t, w.Revoke(ctx, w.clientID, w.secret, token, here))
		}
		if n := w.revocations(t); n != 1 {
			t.Errorf("%d objects are left, want 1", n)
		}
		after, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		for name, a := range map[string]*Authenticator{"this node": w.Authenticator, "another": other} {
			t.Log(name)
			refused(t, on(a, "GET", "/", "Bearer "+before), false)
			accepted(t, on(a, "GET", "/", "Bearer "+after))
		}
		time.Sleep(MaxTokenLife + revocationsKept + 2*time.Second)
		accepted(t, w.Sweep(ctx))
		if n := w.revocations(t); n != 0 {
			t.Errorf("%d objects are left after all tokens expired", n)
		}
	})
}

// A revocation that is not needed writes nothing.
func TestRevocationsThatCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{})
		sa, secret := account.NewServiceAccount("o", "", nil, time.Now(), 24*time.Hour)
		accepted(t, w.accounts.CreateCredential(ctx, sa))
		c := count(w)
		a := New(c, account.NewDirectory(w.bucket), Secret{1}, Options{})
		issue := func(id, secret string) string {
			token, _, err := a.Issue(ctx, id, secret, here)
			accepted(t, err)
			return token
		}
		expired := issue(w.clientID, w.secret)
		time.Sleep(MaxTokenLife + time.Second)
		foreign, twice := issue(sa.ID, secret), issue(w.clientID, w.secret)
		accepted(t, a.Revoke(ctx, w.clientID, w.secret, twice, here))
		made, _ := newTokens(w.bucket, Secret{2}, MaxTokenLife).issue(w.clientID, w.secretID(), time.Now())
		for name, token := range map[string]string{"expired": expired, "another's": foreign, "revoked": twice,
			"malformed": "nonsense", "long": strings.Repeat("x", 100_000), "signed by others": made} {
			c.lists, c.puts, c.deletes = 0, 0, 0
			for range 100 {
				accepted(t, a.Revoke(ctx, w.clientID, w.secret, token, here))
			}
			if c.lists+c.puts+c.deletes > 0 {
				t.Errorf("%s: %d lists, %d puts, %d deletes", name, c.lists, c.puts, c.deletes)
			}
		}
		accepted(t, on(a, "GET", "/", "Bearer "+foreign))
	})
}

// The revocations of one credential are not read when another is used.
func TestRevocationsOfOthersAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{})
		sa, secret := account.NewServiceAccount("o", "", nil, time.Now(), 24*time.Hour)
		accepted(t, w.accounts.CreateCredential(ctx, sa))
		for range 100 {
			token, _, err := w.Issue(ctx, w.clientID, w.secret, here)
			accepted(t, err)
			accepted(t, w.Revoke(ctx, w.clientID, w.secret, token, here))
		}
		f := &bucketest.Faulty{Bucket: w.bucket, Before: func(_ context.Context, op bucketest.Op, key string) error {
			if op == bucketest.List && strings.HasPrefix(revocationsPrefix+w.clientID, key) {
				return errors.New("the revocations of another credential are listed: " + key)
			}
			return nil
		}}
		a := New(f, account.NewDirectory(f), Secret{1}, Options{})
		token, _, err := a.Issue(ctx, sa.ID, secret, here)
		accepted(t, err)
		accepted(t, on(a, "GET", "/", "Bearer "+token))
	})
}

// A service account gets a bounded number of tokens a minute.
func TestTokensAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{TokensPerMinute: 10})
		for range 10 {
			_, _, err := w.Issue(ctx, w.clientID, w.secret, here)
			accepted(t, err)
		}
		_, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		var many *TooManyTokens
		if !errors.As(err, &many) || many.RetryAfter <= 0 || many.RetryAfter > 6*time.Second {
			t.Fatalf("got %v", err)
		}
		time.Sleep(many.RetryAfter)
		_, _, err = w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
	})
}

func TestNamesOfRevocations(t *testing.T) {
	for _, v := range []revocation{{"abc", time.Unix(1e9, 0)}, {"", time.Unix(1e9, 0)}, {"a-b", time.Unix(1, 0)}} {
		if got, ok := parseRevocation(v.name()); !ok || got != v {
			t.Errorf("%s reads as %v, %t", v.name(), got, ok)
		}
	}
	for _, name := range []string{"", "all", "all-", "all-x", "1-abc", "x-abc", "000000000001", "000000000001-"} {
		if v, ok := parseRevocation(name); ok && v.name() != name {
			t.Errorf("%q reads as %v", name, v)
		}
	}
}
