package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/tlog"
)

const (
	origin = "example.org/log"
	logID  = "log"
)

// growing is a log, with its stored cosignatures.
type growing struct {
	t      *testing.T
	keys   *proof.Keys
	mu     sync.Mutex
	hashes []modtlog.Hash
	size   int64
	kept   chan string
}

func newGrowing(t *testing.T) *growing {
	k, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return &growing{t: t, keys: proof.NewKeys(k), kept: make(chan string, 100)}
}

func (g *growing) ReadHashes(indexes []int64) (hashes []modtlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, g.hashes[i])
	}
	return hashes, nil
}

func (g *growing) grow(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range n {
		hashes, err := modtlog.StoredHashes(g.size, fmt.Append(nil, g.size), g)
		if err != nil {
			g.t.Error(err)
		}
		g.hashes = append(g.hashes, hashes...)
		g.size++
	}
}

func (g *growing) Head(context.Context, string) (h tlog.Head, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.Size = g.size
	if h.Root, err = modtlog.TreeHash(g.size, g); err == nil {
		h.Checkpoint, err = g.keys.SignCheckpoint(origin, g.size, h.Root)
	}
	return h, err
}

func (g *growing) ProveSince(_ context.Context, _ string, from, to int64) (modtlog.TreeProof, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return modtlog.ProveTree(to, from, g)
}

func (g *growing) KeepCosignature(_ context.Context, _ string, size int64, line string) error {
	g.kept <- fmt.Sprint(size, " ", line)
	return nil
}

// strict is a witness for one log that does exactly what https://c2sp.org/tlog-witness says.
type strict struct {
	signer *torchwood.CosignatureSigner
	log    note.Verifier
	size   int64
	root   modtlog.Hash
	asked  chan int                  // statuses of its replies
	spoil  func(reply []byte) []byte // if not nil, it changes the replies
	fail   []int                     // statuses of the first replies
}

func newStrict(t *testing.T, g *growing) *strict {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := torchwood.NewCosignatureSigner("witness.example/w", private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := proof.VerifierKey(origin, g.keys.Trusted[0])
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	return &strict{signer: s, log: v, asked: make(chan int, 100)}
}

func (w *strict) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	status, reply := w.answer(r)
	if status == http.StatusConflict {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
	}
	rw.WriteHeader(status)
	rw.Write(reply)
	w.asked <- status
}

func (w *strict) answer(r *http.Request) (status int, reply []byte) {
	if len(w.fail) > 0 {
		status, w.fail = w.fail[0], w.fail[1:]
		return status, nil
	}
	body, err := io.ReadAll(r.Body)
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	old, numberErr := strconv.ParseInt(size, 10, 64)
	if err != nil || !ok || !isOld || numberErr != nil || r.URL.Path != "/w/add-checkpoint" || r.Method != "POST" {
		return http.StatusBadRequest, nil
	}
	var p modtlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := modtlog.ParseHash(line)
		if err != nil {
			return http.StatusBadRequest, nil
		}
		p = append(p, hash)
	}
	n, err := note.Open(signed, note.VerifierList(w.log))
	if err != nil {
		return http.StatusForbidden, nil
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil || old > c.N {
		return http.StatusBadRequest, nil
	}
	if old != w.size {
		return http.StatusConflict, fmt.Appendln(nil, w.size)
	}
	if old > 0 && modtlog.CheckTree(p, c.N, c.Hash, old, w.root) != nil || old == 0 && len(p) > 0 {
		return http.StatusUnprocessableEntity, nil
	}
	w.size, w.root = c.N, c.Hash
	cosigned, err := note.Sign(&note.Note{Text: n.Text}, w.signer)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	_, reply, _ = bytes.Cut(cosigned, []byte("\n\n"))
	if w.spoil != nil {
		reply = w.spoil(reply)
	}
	return http.StatusOK, reply
}

// start runs an Asker of the witness until the test ends.
func start(t *testing.T, g *growing, w *strict) *Asker {
	a, _ := startLogged(t, g, w)
	return a
}

// startLogged is start. The returned function ends the asker, and returns what it has logged.
func startLogged(t *testing.T, g *growing, w *strict) (a *Asker, logged func() string) {
	server := httptest.NewServer(w)
	parsed, err := Parse(w.signer.Verifier().String() + " " + server.URL + "/w/")
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	a = New(parsed, g, Options{Pause: 1, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { a.Run(ctx) })
	t.Cleanup(func() {
		stop()
		work.Wait()
		server.Close()
	})
	return a, func() string {
		stop()
		work.Wait()
		return lines.String()
	}
}

func wantStatuses(t *testing.T, w *strict, want ...int) {
	t.Helper()
	for _, status := range want {
		if got := <-w.asked; got != status {
			t.Fatalf("the witness replied %d, want %d", got, status)
		}
	}
}

// wantKept waits for a stored cosignature of a size and checks it.
func wantKept(t *testing.T, g *growing, w *strict, size int64) {
	t.Helper()
	kept := <-g.kept
	number, line, _ := strings.Cut(kept, " ")
	h, err := g.Head(t.Context(), logID)
	if err != nil || number != fmt.Sprint(size) || !tlog.IsCosignature(h.Checkpoint, line, w.signer.Verifier()) {
		t.Fatalf("kept %q, want one of size %d, %v", kept, size, err)
	}
}

// The checkpoints of a growing log are cosigned. An Asker without memory learns from the witness which size it signed
// last.
func TestCheckpointsOfAGrowingLogAreCosigned(t *testing.T) {
	g := newGrowing(t)
	w := newStrict(t, g)
	a := start(t, g, w)
	for round, n := range []int{1, 5, 300} {
		g.grow(n)
		a.Committed(logID)
		wantStatuses(t, w, 200)
		wantKept(t, g, w, g.size)
		_ = round
	}
	g.grow(7)
	other := start(t, g, w)
	other.Committed(logID)
	wantStatuses(t, w, 409)
	second := <-w.asked
	if second != 200 {
		t.Fatalf("replied %d", second)
	}
	wantKept(t, g, w, 313)
}

// A witness that fails is asked again. One that refuses, lies, or has seen more is not believed and blocks nothing.
func TestBadWitnessesAreNotBelieved(t *testing.T) {
	g := newGrowing(t)
	g.grow(10)
	w := newStrict(t, g)
	w.fail = []int{500, 503, 429}
	a := start(t, g, w)
	a.Committed(logID)
	wantStatuses(t, w, 500, 503, 429, 200)
	wantKept(t, g, w, 10)

	w.fail = []int{404, 403, 422}
	for range 3 {
		g.grow(1)
		a.Committed(logID)
		<-w.asked
	}
	w.spoil = func(reply []byte) []byte { return bytes.Replace(reply, []byte("A"), []byte("B"), 3) }
	g.grow(1)
	a.Committed(logID)
	for status := range w.asked {
		if status == 200 {
			break
		}
	}
	w.spoil = nil
	g.grow(1)
	a.Committed(logID)
	for status := range w.asked {
		if status == 200 {
			break
		}
	}
	wantKept(t, g, w, g.size)
	if len(g.kept) > 0 {
		t.Errorf("kept %q too", <-g.kept)
	}

	w.size = 1000 // as if the log had been put back
	g.grow(1)
	err := a.ask(t.Context(), logID)
	if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "put back") {
		t.Errorf("got %v", err)
	}
}

// A witness that is away for long is one line in the log, not one for each try.
func TestAWitnessThatFailsIsLoggedOnce(t *testing.T) {
	g := newGrowing(t)
	g.grow(10)
	w := newStrict(t, g)
	w.fail = []int{500, 500, 500, 500, 500}
	a, logged := startLogged(t, g, w)
	a.Committed(logID)
	wantStatuses(t, w, 500, 500, 500, 500, 500, 200)
	wantKept(t, g, w, 10)
	if text := logged(); strings.Count(text, "has not cosigned") != 1 {
		t.Errorf("logged %s", text)
	}
}

// A busy witness says when to ask again.
func TestWitnessSaysWhenToAskAgain(t *testing.T) {
	g := newGrowing(t)
	g.grow(1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	a := New(Witness{server.URL, newStrict(t, g).signer.Verifier()}, g, Options{})
	err := a.ask(t.Context(), logID)
	if pause := (retry.Policy{Longest: time.Hour}).Pauses().Next(err); pause != 30*time.Second {
		t.Errorf("asked again after %v: %v", pause, err)
	}
}

// A witness that hangs delays nothing else, and is not waited for at the end.
func TestHangingWitnessDelaysNothing(t *testing.T) {
	g := newGrowing(t)
	g.grow(1)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	w := newStrict(t, g)
	a := New(Witness{server.URL, w.signer.Verifier()}, g, Options{Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { a.Run(ctx) })
	for range 1000 {
		a.Committed(logID)
	}
	stop()
	work.Wait()
}

func TestParse(t *testing.T) {
	g := newGrowing(t)
	key := newStrict(t, g).signer.Verifier().String()
	for text, good := range map[string]bool{
		key + " https://witness.example/w": true, "  " + key + "   http://127.0.0.1:7 ": true,
		key: false, key + " witness.example": false, key + " ftp://x": false, "": false,
		"x https://witness.example":                                 false,
		g.keys.Signers[0].PublicText() + " https://witness.example": false, // the key of a log is not a witness key
	} {
		if _, err := Parse(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzReply checks that no reply makes the parser panic or accept an invalid size.
func FuzzReply(f *testing.F) {
	f.Add([]byte("17\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		size, err := parseSize(reply)
		if (err == nil) != (size >= 0) {
			t.Errorf("%q: %d, %v", reply, size, err)
		}
		tlog.IsCosignature("x\n1\nAAAA\n\n", string(reply), nobody{})
	})
}

// nobody is a verifier that accepts nothing.
type nobody struct{}

func (nobody) Name() string            { return "x" }
func (nobody) KeyHash() uint32         { return 1 }
func (nobody) Verify(_, _ []byte) bool { return false }
