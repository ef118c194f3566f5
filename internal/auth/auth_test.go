package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mongodb-forks/digest"
	"golang.org/x/oauth2/clientcredentials"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

var here = netip.MustParseAddr("192.0.2.1")

// world is a bucket with one API key and one service account, and an Authenticator on it.
type world struct {
	*Authenticator
	bucket           *bucketest.Memory
	accounts         *account.Directory
	public, private  string
	clientID, secret string
}

func newWorld(t testing.TB, o Options) *world {
	w := &world{bucket: bucketest.NewMemory()}
	w.accounts = account.NewDirectory(w.bucket)
	key, private := account.NewAPIKey("o", "", nil, time.Now())
	sa, secret := account.NewServiceAccount("o", "", nil, time.Now(), 24*time.Hour)
	w.public, w.private, w.clientID, w.secret = key.ID, private, sa.ID, secret
	for _, c := range []account.Credential{key, sa} {
		if err := w.accounts.CreateCredential(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	w.Authenticator = New(w.bucket, w.accounts, Secret{1}, o)
	return w
}

// header makes the Authorization header of a GET as a client would, from the challenge.
func (w *world) header(uri string, nc int) string {
	p := map[string]string{"username": w.public, "realm": account.Realm,
		"nonce": w.digests.nonce(time.Now()), "uri": uri,
		"nc": fmt.Sprintf("%08x", nc), "cnonce": "abc", "qop": "auth", "algorithm": "MD5"}
	return w.encode(p)
}

func (w *world) encode(p map[string]string) string {
	p["response"], _ = expected(p, "GET", account.NewHA1(w.public, w.private))
	return format(p)
}

func format(p map[string]string) string {
	return fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q, nc=%s, cnonce=%q, qop=%s, algorithm=%s, `+
		`response=%q`,
		p["username"], p["realm"], p["nonce"], p["uri"], p["nc"], p["cnonce"], p["qop"], p["algorithm"], p["response"])
}

// secretID returns the id of the service account's first secret.
func (w *world) secretID() string {
	c, err := w.accounts.Credential(context.Background(), w.clientID)
	if err != nil {
		return ""
	}
	return c.Secrets[0].ID
}

func (w *world) try(header string) error {
	r := httptest.NewRequest("GET", "/a?b=c", nil)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	_, err := w.Authenticate(r, here)
	return err
}

func refused(t *testing.T, err error, stale bool) {
	t.Helper()
	var u *Unauthorized
	if !errors.As(err, &u) || u.Stale != stale {
		t.Errorf("got %v, want Unauthorized with stale=%t", err, stale)
	}
}

func accepted(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("got %v, want success", err)
	}
}

// clientServer answers requests for tokens, of which it tells issued, and any others with the id of the caller.
func (w *world) clientServer(issued func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/oauth/token", func(rw http.ResponseWriter, r *http.Request) {
		issued()
		id, secret, _ := r.BasicAuth()
		token, life, err := w.Issue(r.Context(), id, secret, here)
		if err != nil {
			http.Error(rw, "{}", http.StatusUnauthorized)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(map[string]any{"access_token": token, "expires_in": int(life.Seconds()),
			"token_type": "Bearer"})
	})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		p, err := w.Authenticate(r, here)
		if err != nil {
			for _, c := range w.Challenges(&Unauthorized{}) {
				rw.Header().Add("WWW-Authenticate", c)
			}
			http.Error(rw, "", http.StatusUnauthorized)
			return
		}
		io.WriteString(rw, p.Credential.ID)
	})
	return mux
}

func TestOfficialClients(t *testing.T) {
	w := newWorld(t, Options{})
	server := httptest.NewServer(w.clientServer(func() {}))
	defer server.Close()
	get := func(c *http.Client) string {
		resp, err := c.Get(server.URL + "/some/path?with=query&x=%20y")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(body)))
	}
	key := &http.Client{Transport: digest.NewTransport(w.public, w.private)}
	oauth := (&clientcredentials.Config{ClientID: w.clientID, ClientSecret: w.secret,
		TokenURL: server.URL + "/api/oauth/token"}).Client(t.Context())
	for range 3 {
		if got, want := get(key), "200 "+w.public; got != want {
			t.Errorf("digest: %q, want %q", got, want)
		}
		if got, want := get(oauth), "200 "+w.clientID; got != want {
			t.Errorf("OAuth: %q, want %q", got, want)
		}
	}
	if got := get(&http.Client{Transport: digest.NewTransport(w.public, "wrong")}); got != "401 " {
		t.Errorf("wrong private key: %q", got)
	}
}

func TestDigest(t *testing.T) {
	w := newWorld(t, Options{})
	once := w.header("/a?b=c", 1)
	accepted(t, w.try(once))
	refused(t, w.try(once), false) // a replay
	refused(t, w.try(""), false)
	refused(t, w.try("Digest"), false)
	refused(t, w.try("Basic abc"), false)
	refused(t, w.try(w.header("/other", 1)), false)
	accepted(t, w.try(w.header("http://example.com/a?b=c", 1)))
	p := map[string]string{"username": w.public, "realm": account.Realm, "uri": "/a?b=c", "nc": "00000001",
		"cnonce": "x", "qop": "auth", "algorithm": "SHA-256"}
	p["nonce"] = w.digests.nonce(time.Now())
	accepted(t, w.try(w.encode(p)))
	p["nonce"] = newDigests(Secret{2}, time.Hour).nonce(time.Now())
	refused(t, w.try(w.encode(p)), true) // another's nonce
	p["nonce"], p["username"] = w.digests.nonce(time.Now()), "nobodyxx"
	refused(t, w.try(w.encode(p)), false)
}

func TestNonceCounts(t *testing.T) {
	w := newWorld(t, Options{})
	nonce := w.digests.nonce(time.Now())
	for _, tt := range []struct {
		nc string
		ok bool
	}{{"00000001", true}, {"00000003", true}, {"00000002", true}, {"00000002", false}, {"00000003", false},
		{"00000100", true}, {"00000004", false}, {"000000ff", true}, {"000000ff", false}, {"1", false},
		{"zzzzzzzz", false}} {
		err := w.try(w.encode(map[string]string{"username": w.public, "realm": account.Realm, "nonce": nonce,
			"uri": "/a?b=c",
			"nc":  tt.nc, "cnonce": "c", "qop": "auth", "algorithm": "MD5"}))
		if (err == nil) != tt.ok {
			t.Errorf("nc %s: %v", tt.nc, err)
		}
	}
}

func TestStaleNonce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{NonceLife: time.Minute, FailuresPerMinute: 1})
		header := w.header("/a?b=c", 1)
		time.Sleep(2 * time.Minute)
		for range 5 { // does not count as a failure
			refused(t, w.try(header), true)
		}
		// stale tells nothing to a caller without the key
		refused(t, w.try(strings.Replace(header, `cnonce="abc"`, `cnonce="abd"`, 1)), false)
	})
}

// No change to a right header authenticates.
func TestMutatedDigest(t *testing.T) {
	w := newWorld(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		right := w.header("/a?b=c", 1)
		mutated := []byte(right)
		at := rapid.IntRange(len("Digest "), len(mutated)-1).Draw(rt, "at")
		mutated[at] = rapid.Byte().Draw(rt, "byte")
		r := httptest.NewRequest("GET", "/a?b=c", nil)
		r.Header.Set("Authorization", string(mutated))
		if _, err := w.Authenticate(r, here); err == nil && !harmless(right, string(mutated)) {
			rt.Fatalf("authenticated:\n%s\n%s", right, mutated)
		}
	})
}

// harmless tells whether two headers say the same.
func harmless(a, b string) bool {
	p, _ := parseDigest(strings.TrimPrefix(a, "Digest "))
	q, err := parseDigest(strings.TrimPrefix(b, "Digest "))
	for _, k := range []string{"username", "realm", "nonce", "uri", "nc", "cnonce", "qop", "response"} {
		if err != nil || p[k] != q[k] {
			return false
		}
	}
	return q["algorithm"] == "" || strings.EqualFold(q["algorithm"], "MD5")
}

func TestForgottenNoncesAreStale(t *testing.T) {
	w := newWorld(t, Options{})
	header := w.header("/a?b=c", 1)
	accepted(t, w.try(header))
	for i := range maxNonces {
		w.digests.take(nonce{fmt.Sprint(i), time.Now(), time.Hour}, time.Now(), 1)
	}
	refused(t, w.try(header), true)
	if len(w.digests.used) > maxNonces {
		t.Errorf("%d nonces are remembered", len(w.digests.used))
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, w := t.Context(), newWorld(t, Options{})
		issue := func(id, secret string) (string, error) {
			token, _, err := w.Issue(ctx, id, secret, here)
			return token, err
		}
		token, err := issue(w.clientID, w.secret)
		accepted(t, err)
		_, err = issue(w.clientID, w.secret+"x")
		refused(t, err, false)
		_, err = issue("mdb_sa_id_none", w.secret)
		refused(t, err, false)
		_, err = issue(w.public, w.private)
		refused(t, err, false)
		accepted(t, w.try("Bearer "+token))
		accepted(t, w.try("bearer "+token))
		refused(t, w.try("Bearer "+token[:len(token)-2]), false)
		refused(t, w.try("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."), false)

		// another node with the same secret
		other := New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{})
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		_, err = other.Authenticate(r, here)
		accepted(t, err)
		stranger := New(w.bucket, w.accounts, Secret{2}, Options{})
		_, err = stranger.Authenticate(r, here)
		refused(t, err, false)

		if err := w.Revoke(ctx, w.clientID, w.secret, "nonsense", here); err != nil {
			t.Error(err)
		}
		if err := w.Revoke(ctx, w.clientID, w.secret, token, here); err != nil {
			t.Error(err)
		}
		refused(t, w.try("Bearer "+token), false)
		time.Sleep(revocationsAge)
		_, err = other.Authenticate(r, here)
		refused(t, err, false)

		token, err = issue(w.clientID, w.secret)
		accepted(t, err)
		time.Sleep(MaxTokenLife - time.Second)
		accepted(t, w.try("Bearer "+token))
		time.Sleep(2 * time.Second)
		refused(t, w.try("Bearer "+token), false)
		time.Sleep(revocationsKept)
		token, err = issue(w.clientID, w.secret)
		accepted(t, err)
		accepted(t, w.try("Bearer "+token))
		for info := range w.bucket.List(ctx, revocationsPrefix, "") {
			t.Errorf("%s is of an expired token and still there", info.Key)
		}

		token, err = issue(w.clientID, w.secret)
		accepted(t, err)
		_, err = w.accounts.UpdateCredential(ctx, w.clientID,
			func(c *account.Credential) error { c.Deleted = true; return nil })
		accepted(t, err)
		refused(t, w.try("Bearer "+token), false)
	})
}

func TestSecretsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		time.Sleep(25 * time.Hour)
		_, _, err := w.Issue(t.Context(), w.clientID, w.secret, here)
		refused(t, err, false)
	})
}

func TestAccessList(t *testing.T) {
	for _, tt := range []struct {
		list []string
		addr string
		want bool
	}{
		{nil, "192.0.2.1", true},
		{[]string{"192.0.2.1"}, "192.0.2.1", true},
		{[]string{"192.0.2.1"}, "192.0.2.2", false},
		{[]string{"198.51.100.0/24", "192.0.2.0/25"}, "192.0.2.127", true},
		{[]string{"192.0.2.0/25"}, "192.0.2.128", false},
		{[]string{"2001:db8::/32"}, "2001:db8::1", true},
		{[]string{"::ffff:192.0.2.1"}, "192.0.2.1", true},
		{[]string{"::ffff:192.0.2.0/120"}, "192.0.2.9", true},
		{[]string{"::ffff:192.0.2.0/120"}, "192.0.3.9", false},
		{[]string{"::/0"}, "192.0.2.1", false},
	} {
		var list []account.AccessEntry
		for _, text := range tt.list {
			block, err := account.ParseBlock(text)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, account.AccessEntry{Block: block})
		}
		c := account.Credential{AccessList: list}
		if got := c.Admits(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%v, %s: %t", tt.list, tt.addr, got)
		}
	}
	w := newWorld(t, Options{})
	if _, err := w.accounts.UpdateCredential(t.Context(), w.public, func(c *account.Credential) error {
		c.AccessList = []account.AccessEntry{{Block: netip.MustParsePrefix("203.0.113.0/24")}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.try(w.header("/a?b=c", 1)); !errors.As(err, new(*NotOnAccessList)) {
		t.Errorf("got %v", err)
	}
	refused(t, w.try(w.header("/b", 1)), false) // a caller without a right digest is told nothing
}

func TestSecretFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "weir.key")
	if _, err := LoadSecret(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	s, err := LoadOrCreateSecret(name)
	if err != nil || s == (Secret{}) {
		t.Fatalf("%v, %v", s, err)
	}
	if again, err := LoadOrCreateSecret(name); err != nil || again != s {
		t.Errorf("read again: %v", err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by all: %v", err)
	}
	if _, err := ParseSecret("weir-secret-1 AAAA"); err == nil {
		t.Error("a short secret was taken")
	}
}

func FuzzDigestHeader(f *testing.F) {
	f.Add(`username="a", realm="MMS Public API", nonce="x", uri="/", nc=00000001, cnonce="y", qop=auth, response="z"`)
	f.Add(`a="\"",b=`)
	f.Fuzz(func(t *testing.T, header string) {
		p, err := parseDigest(header)
		if err != nil {
			return
		}
		var b strings.Builder
		for k, v := range p {
			fmt.Fprintf(&b, `%s="%s",`, k, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v))
		}
		q, err := parseDigest(b.String())
		if err != nil && len(b.String()) <= maxDigest || err == nil && len(q) != len(p) {
			t.Errorf("%q reads as %q, %v", b.String(), q, err)
		}
	})
}
