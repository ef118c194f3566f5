package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// on tries a header on a node, as GET of target.
func on(a *Authenticator, method, target, header string) error {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Authorization", header)
	_, err := a.Authenticate(r, here)
	return err
}

// right returns the parameters of a right header for GET /a?b=c, but for the response.
func (w *world) right(nonce string) map[string]string {
	return map[string]string{"username": w.public, "realm": account.Realm, "nonce": nonce, "uri": "/a?b=c",
		"nc": "00000001", "cnonce": "abc", "qop": "auth", "algorithm": "MD5"}
}

// Whatever a client answers, an answer to something that was not offered is wrong. This does not lean on what net/http
// lets pass in a header.
func TestOnlyWhatWasOffered(t *testing.T) {
	w := newWorld(t, Options{})
	for name, value := range map[string]string{"algorithm": "MD5-sess", "qop": "auth-int", "realm": "another"} {
		for _, response := range []string{"", "\x00", "0", "\xff"} {
			p := w.right(w.digests.nonce(time.Now()))
			p[name] = value
			header := strings.Replace(`Digest username="U", realm="R", nonce="N", uri="/a?b=c", nc=00000001, `+
				`cnonce="c", qop=Q, algorithm=A, response="S"`, "U", p["username"], 1)
			header = strings.NewReplacer(`"R"`, `"`+p["realm"]+`"`, `"N"`, `"`+p["nonce"]+`"`, "=Q", "="+p["qop"], "=A",
				"="+p["algorithm"], `"S"`, `"`+response+`"`).Replace(header)
			refused(t, w.try(header), false)
		}
	}
	p := w.right(w.digests.nonce(time.Now()))
	p["nc"] = "00000000" // counts begin at 1 (RFC 7616, 3.4)
	refused(t, w.try(w.encode(p)), false)
}

func TestHeadIsNotGet(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.right(w.digests.nonce(time.Now()))
	refused(t, on(w.Authenticator, http.MethodHead, "/a?b=c", w.encode(p)), false) // encode answers for a GET
	p["response"], _ = expected(p, http.MethodHead, account.NewHA1(w.public, w.private))
	accepted(t, on(w.Authenticator, http.MethodHead, "/a?b=c", format(p)))
}

// Proxies may turn one form of a request's target into the other.
func TestFormsOfTheTarget(t *testing.T) {
	w := newWorld(t, Options{})
	for _, tt := range []struct {
		uri, target string
		same        bool
	}{
		{"/a?b=c", "/a?b=c", true},
		{"/a?b=c", "http://example.com/a?b=c", true},
		{"http://example.com/a?b=c", "/a?b=c", true},
		{"http://example.com/a?b=c", "http://example.com/a?b=c", true},
		{"/a?b=c", "/a", false},
		{"/a", "/a?b=c", false},
		{"/a?b=c", "http://example.com/a", false},
		{"/a%2Fb", "/a/b", false},
		{"", "/a", false},
	} {
		p := w.right(w.digests.nonce(time.Now()))
		p["uri"] = tt.uri
		r := httptest.NewRequest("GET", tt.target, nil)
		r.RequestURI = tt.target
		r.Header.Set("Authorization", w.encode(p))
		_, err := w.Authenticate(r, here)
		if (err == nil) != tt.same {
			t.Errorf("uri %q for %q: %v", tt.uri, tt.target, err)
		}
	}
}

// Nodes that share a secret take each other's nonces, and each refuses what it has seen.
func TestNoncesOfAnotherNode(t *testing.T) {
	w := newWorld(t, Options{})
	other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
	header := w.header("/a?b=c", 1)
	for _, node := range []*Authenticator{other, w.Authenticator} {
		accepted(t, on(node, "GET", "/a?b=c", header))
		refused(t, on(node, "GET", "/a?b=c", header), false)
	}
}

// A node that was started again has forgotten what it saw, so it takes no nonce from before.
func TestNoReplayAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		header := w.header("/a?b=c", 1)
		accepted(t, w.try(header))
		time.Sleep(time.Second)
		again := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		refused(t, on(again, "GET", "/a?b=c", header), true)
		accepted(t, on(again, "GET", "/a?b=c", w.header("/a?b=c", 1)))
	})
}

// The same with a nonce of a node whose clock is ahead: forgetting must not make it usable again.
func TestForgottenNonceFromAhead(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.right(w.digests.nonce(time.Now().Add(5 * time.Second)))
	header := w.encode(p)
	accepted(t, w.try(header))
	for range maxNonces + 1 {
		if !take(w, w.digests.nonce(time.Now()), 1) {
			t.Fatal("a fresh nonce was refused")
		}
	}
	if err := w.try(header); err == nil {
		t.Error("a nonce that was forgotten was taken again")
	}
}

// take takes a nonce count as of now.
func take(w *world, nonce string, count uint64) bool {
	sent, _ := w.digests.parse(nonce)
	return w.digests.take(sent, time.Now(), count) == nil
}

func TestConcurrentReplays(t *testing.T) {
	w := newWorld(t, Options{})
	header := w.header("/a?b=c", 1)
	var wg sync.WaitGroup
	var taken atomic.Int32
	for range 16 {
		wg.Go(func() {
			if w.try(header) == nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("one request was accepted %d times", taken.Load())
	}
}

// The window of nonce counts against its definition: each count once, none 64 or more behind the highest.
func TestNonceCountsModel(t *testing.T) {
	w := newWorld(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		nonce, seen, highest := w.digests.nonce(time.Now()), map[uint64]bool{}, uint64(0)
		near := rapid.Uint64Range(1, 200)
		for range rapid.IntRange(1, 100).Draw(rt, "requests") {
			count := near.Draw(rt, "count")
			want := !seen[count] && (count > highest || highest-count < 64)
			if got := take(w, nonce, count); got != want {
				rt.Fatalf("count %d with highest %d: %t, want %t", count, highest, got, want)
			}
			if want {
				seen[count], highest = true, max(highest, count)
			}
		}
	})
}

// A caller without a nonce of this node causes no request to the bucket.
func TestNoiseDoesNotReachTheBucket(t *testing.T) {
	w := newWorld(t, Options{})
	counted := &bucketest.Faulty{Bucket: w.bucket, Before: func(_ context.Context, op bucketest.Op, key string) error {
		return fmt.Errorf("unexpected")
	}}
	a := New(counted, account.NewDirectory(counted), Secret{1}, Options{})
	p := w.right(w.digests.nonce(time.Now()))
	p["nc"] = "00000000"
	refused(t, on(a, "GET", "/a?b=c", w.encode(p)), false)
	p = w.right(w.digests.nonce(time.Now()))
	p["username"] = "nobody"
	refused(t, on(a, "GET", "/a?b=c", w.encode(p)), false)
	refused(t, on(a, "GET", "/a?b=c", "Bearer "+strings.Repeat("a", 1000)), false)
}

// A client that has the right password, and a nonce that is malformed or of another bucket, may try again without
// asking its user, and has not failed. One that has the wrong password is told nothing of nonces.
func TestMadeUpNonceIsStaleIfTheDigestIsRight(t *testing.T) {
	good := newWorld(t, Options{}).digests.nonce(time.Now())
	for name, nonce := range map[string]string{
		"made up":           "abc",
		"empty":             "",
		"of another secret": newDigests(Secret{2}, time.Hour).nonce(time.Now()),
		"cut":               good[:len(good)-1],
		"of zeros":          strings.Repeat("A", len(good)),
	} {
		w := newWorld(t, Options{FailuresPerMinute: 1})
		for range 5 {
			refused(t, w.try(w.encode(w.right(nonce))), true)
		}
		accepted(t, w.try(w.header("/a?b=c", 1)))
		wrong := w.right(nonce)
		w.encode(wrong)
		wrong["response"] = strings.Repeat("0", 32)
		var u *Unauthorized
		if err := w.try(format(wrong)); !errors.As(err, &u) || u.Stale || u.Known == nil {
			t.Errorf("%s, with a wrong password: %v", name, err)
		}
		if err := w.try(format(wrong)); !errors.As(err, new(*TooManyFailures)) {
			t.Errorf("%s, with a wrong password again: %v", name, err)
		}
		for _, challenge := range w.Challenges(&Unauthorized{Stale: true}) {
			if !strings.Contains(challenge, ", stale=true") {
				t.Errorf("challenge %s", challenge)
			}
		}
	}
}

// A request that cannot be checked, because the bucket cannot be read, is neither success nor failure.
func TestUnreadableCredential(t *testing.T) {
	w := newWorld(t, Options{FailuresPerMinute: 1})
	broken := errors.New("broken")
	f := &bucketest.Faulty{Bucket: w.bucket, Before: func(context.Context, bucketest.Op,
		string) error {
		return broken
	}}
	a := New(f, account.NewDirectory(f), Secret{1}, Options{FailuresPerMinute: 1})
	for range 3 {
		if err := on(a, "GET", "/a?b=c", w.header("/a?b=c", 1)); !errors.Is(err, broken) {
			t.Errorf("got %v, want the bucket's error", err)
		}
	}
}

// Requests may be repeated as docs/access.md says: the node that took one refuses it, and each other node takes it once
// more, within a minute of the challenge.
func TestReplayAtAnotherNode(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {foreignLife - time.Second, true}, {foreignLife, false}, {4 * time.Minute, false}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{})
			other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
			header := w.header("/a?b=c", 1)
			accepted(t, w.try(header))
			time.Sleep(tt.after)
			refused(t, w.try(header), false)
			err := on(other, "GET", "/a?b=c", header)
			if tt.ok {
				accepted(t, err)
				refused(t, on(other, "GET", "/a?b=c", header), false)
			} else {
				refused(t, err, true)
			}
		})
	}
}

// A client that keeps its challenge, and tries once more if that is stale, gets in behind a balancer that sends each
// request to the next node.
func TestDigestBehindABalancer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		nodes := []*Authenticator{w.Authenticator, New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})}
		turn, challenge, nc := 0, w.digests.nonce(time.Now()), 0
		send := func() error {
			a := nodes[turn%2]
			turn++
			nc++
			err := on(a, "GET", "/a?b=c", w.encode(map[string]string{"username": w.public, "realm": account.Realm,
				"nonce": challenge,
				"uri":   "/a?b=c", "nc": fmt.Sprintf("%08x", nc), "cnonce": "c", "qop": "auth", "algorithm": "MD5"}))
			if u := new(Unauthorized); errors.As(err, &u) && u.Stale {
				challenge, nc = a.digests.nonce(time.Now()), 0
			}
			return err
		}
		for range 500 {
			if err := send(); err != nil {
				refused(t, err, true)
				accepted(t, send())
			}
			time.Sleep(7 * time.Second)
		}
	})
}
