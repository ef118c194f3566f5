package auth

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// The clocks of two nodes are never quite the same.
func TestTokenOfANodeAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		token, err := w.tokens.issue(w.clientID, w.secretID(), time.Now().Add(5*time.Second))
		accepted(t, err)
		accepted(t, w.try("Bearer "+token))
	})
}

// A node whose clock is ahead must not remove the revocation of a token that another node would still take.
func TestRevocationOutlivesItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{})
		token, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, w.Revoke(ctx, w.clientID, w.secret, token, here))
		ahead, later := newRevocations(w.bucket, MaxTokenLife, "").of(w.clientID), time.Now().Add(MaxTokenLife+time.Minute)
		if _, err := ahead.has(ctx, "x", later, later); err != nil {
			t.Fatal(err)
		}
		time.Sleep(MaxTokenLife - time.Second)
		other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		refused(t, on(other, "GET", "/", "Bearer "+token), false)
	})
}

// While revocations cannot be read tokens are taken for 30 seconds, then no more.
func TestUnreadableRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		var broken error
		lists := 0
		f := &bucketest.Faulty{Bucket: w.bucket, Before: func(_ context.Context, op bucketest.Op, key string) error {
			if op == bucketest.List && strings.HasPrefix(key, revocationsPrefix) {
				lists++
				return broken
			}
			return nil
		}}
		a := New(f, account.NewDirectory(f), Secret{1}, Options{})
		token, _, err := a.Issue(t.Context(), w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, on(a, "GET", "/", "Bearer "+token))
		broken = errors.New("broken")
		time.Sleep(10 * time.Second)
		lists = 0
		for range 10 {
			accepted(t, on(a, "GET", "/", "Bearer "+token))
		}
		if lists > 1 {
			t.Errorf("10 requests listed revocations %d times", lists)
		}
		time.Sleep(20 * time.Second)
		if err := on(a, "GET", "/", "Bearer "+token); !errors.Is(err, broken) {
			t.Errorf("after 30 seconds: %v, want the bucket's error", err)
		}
		fresh := New(f, account.NewDirectory(f), Secret{1}, Options{})
		if err := on(fresh, "GET", "/", "Bearer "+token); !errors.Is(err, broken) {
			t.Errorf("a node that never read them: %v, want the bucket's error", err)
		}
		broken = nil
		accepted(t, on(a, "GET", "/", "Bearer "+token))
	})
}

// A bucket that does not answer holds nobody longer than he wants to wait.
func TestHangingRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		hang := true
		f := &bucketest.Faulty{Bucket: w.bucket, Before: func(ctx context.Context, op bucketest.Op, key string) error {
			if hang && strings.HasPrefix(key, revocationsPrefix) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		r := newRevocations(f, MaxTokenLife, "").of(w.clientID)
		ask := func(patience time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			begin := time.Now()
			_, err := r.has(ctx, "x", time.Now().Add(MaxTokenLife), time.Now())
			return time.Since(begin), err
		}
		first := make(chan error)
		go func() { _, err := ask(5 * time.Second); first <- err }()
		synctest.Wait()
		if took, err := ask(time.Second); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second who asks: %v after %v", err, took)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first who asks: %v", err)
		}
		hang = false
		_, err := ask(time.Second)
		accepted(t, err)

		hang = true // what is known now is good for 30 seconds
		time.Sleep(revocationsAge)
		go func() { _, err := ask(time.Hour); first <- err }()
		synctest.Wait()
		if took, err := ask(time.Second); took != 0 || err != nil {
			t.Errorf("while another lists: %v after %v", err, took)
		}
		accepted(t, <-first)
	})
}

// A revocation that is made while the others are being listed is not lost on the way.
func TestRevokeWhileListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		token, _, err := w.Issue(t.Context(), w.clientID, w.secret, here)
		accepted(t, err)
		r := newRevocations(w.bucket, MaxTokenLife, "").of(w.clientID)
		_, err = r.has(t.Context(), "x", time.Now().Add(MaxTokenLife), time.Now())
		accepted(t, err)
		claims, _ := w.tokens.parse(token)
		slow := make(chan struct{})
		r.bucket = slowList{w.bucket, slow}
		time.Sleep(revocationsAge)
		done := make(chan error)
		go func() { _, err := r.has(t.Context(), "x", time.Now().Add(MaxTokenLife), time.Now()); done <- err }()
		synctest.Wait() // it has listed, and has not looked at what it listed
		accepted(t, r.add(t.Context(), claims.ID, claims.ExpiresAt.Time, time.Now()))
		close(slow)
		accepted(t, <-done)
		revoked, err := r.has(t.Context(), claims.ID, claims.ExpiresAt.Time, time.Now())
		if err != nil || !revoked {
			t.Errorf("revoked %t, %v", revoked, err)
		}
	})
}

// slowList lists at once and hands over what it found when it may.
type slowList struct {
	bucket.Bucket
	may chan struct{}
}

func (s slowList) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	var infos []bucket.Info
	for info, err := range s.Bucket.List(ctx, prefix, after) {
		if err != nil {
			return func(yield func(bucket.Info, error) bool) { yield(info, err) }
		}
		infos = append(infos, info)
	}
	return func(yield func(bucket.Info, error) bool) {
		<-s.may
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// A token that was found good once is still refused when it has expired, was revoked, or its client is gone; and none
// that was refused is remembered.
func TestRememberedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{})
		expiring, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, w.try("Bearer "+expiring))
		time.Sleep(MaxTokenLife - time.Second)
		accepted(t, w.try("Bearer "+expiring))
		time.Sleep(2 * time.Second)
		refused(t, w.try("Bearer "+expiring), false)

		revoked, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, w.try("Bearer "+revoked))
		accepted(t, w.Revoke(ctx, w.clientID, w.secret, revoked, here))
		refused(t, w.try("Bearer "+revoked), false)

		orphaned, _, err := w.Issue(ctx, w.clientID, w.secret, here)
		accepted(t, err)
		accepted(t, w.try("Bearer "+orphaned))
		known := w.tokens.verified.EstimatedSize()
		for _, bad := range []string{orphaned + "x", strings.Replace(orphaned, ".", "..", 1), "",
			strings.Repeat("x", 1000)} {
			refused(t, w.try("Bearer "+bad), false)
		}
		if n := w.tokens.verified.EstimatedSize(); n != known {
			t.Errorf("%d tokens are remembered, were %d", n, known)
		}
		accepted(t, account.NewDirectory(w.bucket).DeleteCredential(ctx, w.clientID))
		time.Sleep(5 * time.Second) // documents are believed for a while
		refused(t, w.try("Bearer "+orphaned), false)
	})
}

// A token ends with the secret that it was issued for, whatever other secrets the account has.
func TestTokensEndWithTheirSecret(t *testing.T) {
	for name, end := range map[string]func(*account.Credential){
		"deleted": func(c *account.Credential) { c.Secrets = c.Secrets[1:] },
		"expired": func(c *account.Credential) { c.Secrets[0].Expires = time.Now().Add(-time.Second) },
		"expires": func(c *account.Credential) { c.Secrets[0].Expires = time.Now().Add(time.Second) },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, w := t.Context(), newWorld(t, Options{})
			second, text := account.NewSecret(time.Now(), 24*time.Hour)
			_, err := w.accounts.UpdateCredential(ctx, w.clientID, func(c *account.Credential) error {
				c.Secrets = append(c.Secrets, second)
				return nil
			})
			accepted(t, err)
			ended, _, err := w.Issue(ctx, w.clientID, w.secret, here)
			accepted(t, err)
			stays, _, err := w.Issue(ctx, w.clientID, text, here)
			accepted(t, err)
			other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
			for _, a := range []*Authenticator{w.Authenticator, other} {
				accepted(t, on(a, "GET", "/", "Bearer "+ended))
			}
			_, err = w.accounts.UpdateCredential(ctx, w.clientID,
				func(c *account.Credential) error { end(c); return nil })
			accepted(t, err)
			time.Sleep(5 * time.Second) // documents are believed for a while
			for _, a := range []*Authenticator{w.Authenticator, other} {
				if err := on(a, "GET", "/", "Bearer "+ended); err == nil {
					t.Errorf("%s: the token is taken", name)
				}
				accepted(t, on(a, "GET", "/", "Bearer "+stays))
			}
		})
	}
}

// inProcess has a handler answer requests, so that they take no time.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// A client that works on while its tokens expire is never refused, however long they live: the library that official
// clients use asks for another in time.
func TestTokensAreRenewedInTheMidstOfWork(t *testing.T) {
	const requests = 10 // that take less than the day for which the secret is good
	for _, life := range []time.Duration{time.Second, 2500 * time.Millisecond, 11 * time.Second, time.Minute, time.Hour} {
		for _, pause := range []time.Duration{life / 7, life - time.Millisecond, life, 2*life + 300*time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{TokenLife: life, TokensPerMinute: 10_000})
				issued := 0
				server := w.clientServer(func() { issued++ })
				ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: inProcess{server}})
				c := (&clientcredentials.Config{ClientID: w.clientID, ClientSecret: w.secret,
					TokenURL: "http://weir/api/oauth/token"}).Client(ctx)
				time.Sleep(900 * time.Millisecond) // so that no token is issued at a whole second
				began := time.Now()
				for i := range requests {
					resp, err := c.Get("http://weir/some/path")
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Fatalf("life %v, request %d after %v: %s", life, i, time.Since(began), resp.Status)
					}
					time.Sleep(pause)
				}
				// One for each life that was begun, unless there were fewer requests.
				if least := min(requests, int((requests-1)*pause/(life+time.Second))); issued < least {
					t.Errorf("life %v: %d tokens in %v, want at least %d", life, issued, (requests-1)*pause, least)
				}
			})
		}
	}
}

// A token is good for as long as it was promised, and no longer than a second more.
func TestTokensLiveAsLongAsTheyAreToLive(t *testing.T) {
	for _, life := range []time.Duration{time.Second, time.Minute, 0, MaxTokenLife, 2 * MaxTokenLife} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{TokenLife: life})
			time.Sleep(900 * time.Millisecond)
			token, promised, err := w.Issue(t.Context(), w.clientID, w.secret, here)
			accepted(t, err)
			if want := min(cmp.Or(life, MaxTokenLife), MaxTokenLife); promised != want {
				t.Errorf("life %v: promised %v, want %v", life, promised, want)
			}
			time.Sleep(promised - time.Millisecond)
			accepted(t, w.try("Bearer "+token))
			time.Sleep(time.Second + time.Millisecond)
			refused(t, w.try("Bearer "+token), false)
			other := New(w.bucket, w.accounts, Secret{1}, Options{}) // It remembers no token as good.
			refused(t, on(other, "GET", "/", "Bearer "+token), false)
		})
	}
}
