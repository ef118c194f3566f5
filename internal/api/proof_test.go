package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/proof"
)

const (
	demoPath  = "/api/weir/v1/groups/" + projectID + "/logs/" + demoLog
	everRange = "startDate=1199145600&endDate=253402300799"
)

// recordMany records n events and sequences them.
func (w *world) recordMany(first, n int) {
	w.t.Helper()
	var body strings.Builder
	for i := first; i < first+n; i++ {
		body.WriteString(eventLine(strconv.Itoa(i), now.UnixMilli()-int64(n-i)))
	}
	if rec := w.record(body.String(), account.GroupOwner); rec.Code != 200 {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	w.sequence()
}

func (w *world) verifier() note.Verifier {
	text, err := proof.VerifierKey("example.org/"+demoLog, w.keys.Trusted[0])
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) policy() torchwood.Policy {
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy("example.org/"+demoLog),
		torchwood.SingleVerifierPolicy(w.verifier()))
}

// decodeReply decodes the JSON of a reply.
func decodeReply[T any](t testing.TB, rec *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// authorized adds a header to each request, as clients of private logs do.
type authorized string

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", string(a))
	return http.DefaultTransport.RoundTrip(r)
}

// An independent client for C2SP's tiles reads and verifies every entry, at several sizes of the log.
func TestTilesWithAnotherClient(t *testing.T) {
	w := newWorld(t, Options{})
	server := httptest.NewServer(w.server)
	defer server.Close()
	fetcher, err := torchwood.NewTileFetcher(server.URL+demoPath+"/",
		torchwood.WithTileFetcherLogger(slog.New(slog.DiscardHandler)),
		torchwood.WithHTTPClient(&http.Client{Transport: authorized(w.bearer(account.GroupDataAccessReadOnly))}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	var before torchwood.Checkpoint
	for round := range 3 {
		w.recordMany(round*400, 400)
		signed, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := torchwood.VerifyCheckpoint(signed, w.policy())
		if err != nil || c.N < int64(400*(round+1)) {
			t.Fatalf("%+v, %v", c, err)
		}
		lines := w.lines(w.get(demoPath+"?"+everRange, account.GroupOwner))
		n := int64(0)
		for i, entry := range client.AllEntries(t.Context(), c.Tree, 0) {
			if digest := proof.Digest(bytes.TrimSuffix([]byte(lines[i]), []byte("\n"))); !bytes.Equal(entry,
				digest[:]) || i != n {
				t.Fatalf("entry %d of %d is not line %d of the download", i, c.N, n)
			}
			n++
		}
		if client.Err() != nil || n != c.N {
			t.Fatalf("%d entries of %d, %v", n, c.N, client.Err())
		}
		reader := torchwood.TileHashReaderWithContext(t.Context(), c.Tree, fetcher)
		if root, err := modtlog.TreeHash(before.N, reader); before.N > 0 && (err != nil || root != before.Hash) {
			t.Errorf("the log of %d entries does not go on from that of %d: %v", c.N, before.N, err)
		}
		before = c
	}
}

// Proofs in JSON and as C2SP tlog-proof verify. If something cannot be proven, the reply says that it does not exist.
func TestProofs(t *testing.T) {
	w := newWorld(t, Options{})
	w.recordMany(0, 700)
	first := decodeReply[logDocument](t, w.get(demoPath+"/document", account.GroupDataAccessReadOnly))
	w.recordMany(700, 300)
	d := decodeReply[logDocument](t, w.get(demoPath+"/document", account.GroupOwner))
	if d.Size <= first.Size || d.Origin != "example.org/"+demoLog || len(d.Keys) != 1 || d.Keys[0].From != first.Size ||
		d.Keys[0].To != nil || d.Workspace != "demo" {
		t.Errorf("%+v", d)
	}
	for _, index := range []int64{0, 255, 256, 699, d.Size - 1} {
		p := decodeReply[entryProof](t, w.get(fmt.Sprintf("%s/proof?index=%d", demoPath, index), account.GroupOwner))
		c, err := proof.OpenCheckpoint([]byte(p.Checkpoint), w.verifier())
		if err == nil {
			err = modtlog.CheckRecord(p.Hashes, c.N, c.Hash, index, proof.Leaf(p.Entry))
		}
		if err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
		text := w.get(fmt.Sprintf("%s/proof?index=%d", demoPath, index), account.GroupOwner,
			"Accept: text/plain").Body.String()
		if err := torchwood.VerifyProof(w.policy(), modtlog.RecordHash(p.Entry[:]), []byte(text)); err != nil {
			t.Errorf("entry %d as text: %v\n%s", index, err, text)
		}
	}
	p := decodeReply[treeProof](t, w.get(fmt.Sprintf("%s/proof?from=%d&to=%d", demoPath, first.Size, d.Size),
		account.GroupOwner))
	if err := modtlog.CheckTree(p.Hashes, d.Size, d.Root, first.Size, first.Root); err != nil {
		t.Error(err)
	}
	for target, code := range map[string]string{
		"/proof":                          "INVALID_QUERY_PARAMETER",
		"/proof?index=x":                  "INVALID_QUERY_PARAMETER",
		"/proof?index=-1":                 "INVALID_QUERY_PARAMETER",
		"/proof?index=1000000":            "RESOURCE_NOT_FOUND",
		"/proof?from=7":                   "INVALID_QUERY_PARAMETER",
		"/proof?from=7&to=5":              "INVALID_QUERY_PARAMETER",
		"/proof?from=7&to=1000000":        "RESOURCE_NOT_FOUND",
		"/proof?size=1000000":             "RESOURCE_NOT_FOUND",
		"/proof?size=10&startDate=x":      "VALIDATION_ERROR",
		"/tile/0/000.p/0":                 "RESOURCE_NOT_FOUND",
		"/tile/0/000.p/256":               "RESOURCE_NOT_FOUND",
		"/tile/0/009":                     "RESOURCE_NOT_FOUND",
		"/tile/00/000":                    "RESOURCE_NOT_FOUND",
		"/tile/0/x001/000/000/000/000":    "RESOURCE_NOT_FOUND",
		"/tile/9/000.p/1":                 "RESOURCE_NOT_FOUND",
		"/tile/entries/003.p/255":         "RESOURCE_NOT_FOUND",
		"/tile/":                          "RESOURCE_NOT_FOUND",
		"/tile/entries/x999/999/999.p/12": "RESOURCE_NOT_FOUND",
	} {
		if rec := w.get(demoPath+target, account.GroupOwner); rec.Header().Get("X-Error-Code") != code {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
	full := w.get(demoPath+"/tile/0/000", account.GroupOwner)
	if full.Code != 200 || full.Body.Len() != 256*32 ||
		full.Header().Get("Cache-Control") != "private, max-age=31536000, immutable" {
		t.Errorf("%d %v", full.Code, full.Header())
	}
	if part := w.get(demoPath+"/tile/0/000.p/5", account.GroupOwner); !bytes.Equal(part.Body.Bytes(),
		full.Body.Bytes()[:5*32]) {
		t.Errorf("a part of a tile: %d, %d bytes", part.Code, part.Body.Len())
	}
}

// The proof of a file verifies the file that was downloaded before, whatever was recorded since.
func TestProofOfADownload(t *testing.T) {
	w := newWorld(t, Options{})
	w.recordMany(0, 500)
	rec := w.get(resource, account.GroupOwner)
	size, root := rec.Header().Get("Weir-Checkpoint-Size"), rec.Header().Get("Weir-Checkpoint-Root")
	if rec.Header().Get("Weir-Log") != demoLog || size != "500" || root == "" {
		t.Fatalf("%v", rec.Header())
	}
	lines := w.lines(rec)
	w.recordMany(500, 300)
	text := w.get(demoPath+"/proof?size="+size, account.GroupOwner)
	f, err := proof.ReadFile(text.Body)
	if err != nil {
		t.Fatalf("%v\n%s", err, text.Body)
	}
	var leaves []proof.Hash
	for _, line := range lines {
		leaves = append(leaves, proof.Leaf(proof.Digest([]byte(strings.TrimSuffix(line, "\n")))))
	}
	shown, err := f.Verify(w.keys, leaves)
	if err != nil || shown.Held != 500 || len(shown.Pending) > 0 || f.Claims.Source != demoPath || shown.Size <= 500 {
		t.Errorf("%+v, %v", shown, err)
	}
}

// Anybody may read the checkpoints of a public log, and nothing else: with hashes of lines, somebody could confirm a
// guess of a line. Only owners make a log public, and that is recorded.
func TestPublicLog(t *testing.T) {
	w := newWorld(t, Options{})
	w.recordMany(0, 300)
	anyone := func(path string) *httptest.ResponseRecorder { return w.do("GET", path, "") }
	open := []string{demoPath + "/checkpoint"}
	closed := []string{demoPath, demoPath + "/tile/0/000", demoPath + "/tile/0/001.p/1", demoPath + "/tile/1/000.p/1",
		demoPath + "/tile/entries/000", demoPath + "/proof?from=1&to=2", demoPath + "/document",
		demoPath + "/proof?index=1", resource,
		strings.Replace(demoPath, projectID, otherID, 1) + "/checkpoint", strings.Replace(demoPath, demoLog,
			"6a793f48c0eb9e7a17712f02", 1) + "/checkpoint"}
	set := func(role account.Role, body string) *httptest.ResponseRecorder {
		return w.do("PATCH", demoPath+"/document", body, "Authorization: "+w.bearer(role),
			"Content-Type: application/json")
	}
	for _, path := range append(open, closed...) {
		if rec := anyone(path); rec.Code != 401 {
			t.Errorf("%s of a private log: %d", path, rec.Code)
		}
	}
	if rec := set(account.GroupDataAccessAdmin, `{"public":true}`); rec.Code != 403 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := set(account.GroupOwner, `{"public":"yes"}`); rec.Code != 400 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if d := decodeReply[logDocument](t, set(account.GroupOwner, `{"public":true}`)); !d.Public {
		t.Errorf("%+v", d)
	}
	for _, path := range open {
		if rec := anyone(path); rec.Code != 200 || strings.HasPrefix(rec.Header().Get("Cache-Control"), "private") {
			t.Errorf("%s of a public log: %d %v", path, rec.Code, rec.Header())
		}
	}
	for _, path := range closed {
		if rec := anyone(path); rec.Code != 401 {
			t.Errorf("%s of a public log: %d", path, rec.Code)
		}
	}
	lines := strings.Join(w.lines(w.get(demoPath+"?"+everRange, account.GroupOwner)), "")
	if !strings.Contains(lines, `"updateGroupLog"`) {
		t.Error("that the log was made public is not in it")
	}
	set(account.GroupOwner, `{"public":false}`)
	if rec := anyone(open[0]); rec.Code != 401 {
		t.Errorf("%d", rec.Code)
	}
}

// A download says which part of its range retention has removed, and the rest still verifies.
func TestRemovedIsSaid(t *testing.T) {
	w := newWorld(t, Options{})
	w.recordMany(0, 300)
	if removed, err := w.server.logs.Prune(t.Context(), demoLog, now.UnixMilli()); err != nil ||
		removed.Entries != 300 {
		t.Fatalf("%+v, %v", removed, err)
	}
	w.recordMany(300, 50)
	rec := w.get(demoPath+"?"+everRange, account.GroupOwner)
	if got := rec.Header().Get("Weir-Removed"); got != "entries=0-299; from=2026-08-10T03:12:57Z; "+
		"to=2026-08-10T03:12:57Z" {
		t.Errorf("Weir-Removed: %q", got)
	}
	lines := w.lines(rec)
	size := rec.Header().Get("Weir-Checkpoint-Size")
	text := w.get(demoPath+"/proof?"+everRange+"&size="+size, account.GroupOwner)
	f, err := proof.ReadFile(text.Body)
	if err != nil {
		t.Fatal(err)
	}
	var leaves []proof.Hash
	for _, line := range lines {
		leaves = append(leaves, proof.Leaf(proof.Digest([]byte(strings.TrimSuffix(line, "\n")))))
	}
	shown, err := f.Verify(w.keys, leaves)
	if err != nil || f.Claims.Removed.Count != 300 || shown.First != 300 || shown.Held != int64(len(lines)) {
		t.Errorf("%+v, %+v, %v", f.Claims.Removed, shown, err)
	}
	if later := w.get(demoPath+"?startDate=1786331600", account.GroupOwner).Header().Get("Weir-Removed"); later != "" {
		t.Errorf("of another range: %q", later)
	}
}
