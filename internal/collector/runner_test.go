package collector

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/collect/atlas"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/source"
	"github.com/weirlog/weir/internal/tlog"
)

const (
	orgID     = "6a793f48c0eb9e7a17712c00"
	projectID = "6a793f48c0eb9e7a17712c01"
)

// server is an Atlas with projects of some workspaces, each with one event.
type server struct {
	*httptest.Server
	projects   []string
	workspaces int

	mu       sync.Mutex
	requests int
	down     bool
}

func newServer(t *testing.T, workspaces int, projects ...string) *server {
	s := &server{projects: projects, workspaces: workspaces}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	parts := strings.Split(r.URL.Path, "/")
	switch {
	case s.down:
		w.WriteHeader(500)
	case r.URL.Path == "/api/oauth/token":
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
	case strings.HasSuffix(r.URL.Path, "/groups"):
		all := []any{}
		for i, name := range s.projects {
			all = append(all, map[string]any{"id": fmt.Sprintf("%024x", i), "name": name})
		}
		json.NewEncoder(w).Encode(map[string]any{"results": all})
	case strings.HasSuffix(r.URL.Path, "/streams"):
		all := []any{}
		for i := range s.workspaces {
			all = append(all, map[string]any{"_id": fmt.Sprintf("%s%04x", parts[5][4:], i), "name": fmt.Sprint("w", i)})
		}
		json.NewEncoder(w).Encode(map[string]any{"results": all})
	default:
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		fmt.Fprintf(z, `{"time":%d,"class_uid":0,"message":"of %s"}`, time.Now().Truncate(time.Hour).UnixMilli(), parts[5])
		z.Close()
		w.Write(b.Bytes())
	}
}

// count returns how many requests came since the last call.
func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.requests
	s.requests = 0
	return n
}

type world struct {
	t        *testing.T
	bucket   *bucketest.Faulty
	accounts *account.Directory
	sources  *source.Directory
	node     *nodetest.Node
	runner   *Runner
	held     bool
}

func newWorld(t *testing.T, open ...string) *world {
	w := &world{t: t, bucket: &bucketest.Faulty{Bucket: bucketest.NewMemory()}, held: true}
	w.accounts = account.NewDirectory(w.bucket)
	org := account.Organization{ID: orgID, Name: "acme", Log: "6a793f48c0eb9e7a17712c02"}
	if err := w.accounts.CreateOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	p := account.Project{ID: projectID, Org: orgID, Name: "audit"}
	if err := w.accounts.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.sources = source.NewDirectory(w.bucket, seal.NewBox(make([]byte, 32)))
	w.node = nodetest.New(t, w.bucket, nodetest.Options{})
	allow := []netip.Prefix{}
	for _, text := range open {
		allow = append(allow, netip.MustParsePrefix(text))
	}
	w.runner = NewRunner(Options{Sources: w.sources, Accounts: w.accounts, Recorder: w.node.Recorder,
		Egress: egress.New(allow), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Holds: func(string) bool { return w.held }})
	w.runner.perMinute = 1_000_000
	t.Cleanup(w.runner.work.Wait)
	return w
}

const loopback = "127.0.0.0/8"

// add sets up a source.
func (w *world) add(from *server) source.Source {
	w.t.Helper()
	return w.addTo(projectID, from.URL)
}

func (w *world) addTo(project, url string) source.Source {
	w.t.Helper()
	s := source.Source{ID: account.NewID(time.Now()), Project: project, Name: "other", Type: source.Atlas,
		Every: time.Minute, Changed: time.Now(),
		Atlas: &source.AtlasSettings{URL: url, ClientID: "a", Kinds: []atlas.Kind{atlas.Audit}}}
	var err error
	if s.Atlas.Secret, err = w.sources.Hide(&s, "secret"); err == nil {
		err = w.sources.Add(w.t.Context(), s)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// pass has the runner look once, and waits until the rounds are over that it starts.
func (w *world) pass(ctx context.Context) {
	w.t.Helper()
	if err := w.runner.pass(ctx); err != nil {
		w.t.Fatal(err)
	}
	w.runner.work.Wait()
}

// due makes all sources due.
func (w *world) due() {
	for _, of := range w.runner.running {
		of.settle()
		of.due = time.Time{}
	}
}

// lines returns the lines of the audit log of a workspace.
func (w *world) lines(workspace string) []string {
	w.t.Helper()
	w.accounts = account.NewDirectory(w.bucket)
	p, err := w.accounts.Project(w.t.Context(), projectID)
	if err != nil {
		w.t.Fatal(err)
	}
	found, ok := p.Workspace(workspace)
	if !ok {
		w.t.Fatalf("there is no workspace %s in %+v", workspace, p.Workspaces)
	}
	for more := true; more; {
		if more, err = w.node.Sequencers[0].Round(w.t.Context(), true); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := w.node.Logs.Read(w.t.Context(), found.AuditLog, tlog.All)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for e, err := range r.Entries(w.t.Context(), r.First()) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(e.Line))
	}
	return all
}

// Workspaces of two projects that would have one name here are two, for equal lines of both would be one.
func TestPlacesOfOneNameGetTwoWorkspaces(t *testing.T) {
	w := newWorld(t, loopback)
	from := newServer(t, 1, "my shop", "my-shop")
	w.add(from)
	w.pass(t.Context())
	w.due()
	w.pass(t.Context())
	p, err := account.NewDirectory(w.bucket).Project(t.Context(), projectID)
	if err != nil || len(p.Workspaces) != 2 {
		t.Fatalf("%v: %+v", err, p.Workspaces)
	}
	for i, workspace := range p.Workspaces {
		text := strings.Join(w.lines(workspace.Name), "")
		if of := fmt.Sprintf("of %024x", i); strings.Count(text, of) != 1 || strings.Count(text, `"message":"of`) != 1 {
			t.Errorf("%s: %s", workspace.Name, text)
		}
		if !strings.Contains(text, `"atype":"createGroupStreamWorkspace"`) {
			t.Errorf("%s was made, and no event tells of it", workspace.Name)
		}
	}
}

// A source on an address that is not open is not reached, and its state says why.
func TestSourceOnAClosedAddressIsNotReached(t *testing.T) {
	w := newWorld(t)
	from := newServer(t, 1, "shop")
	s := w.add(from)
	w.pass(t.Context())
	state, err := w.sources.State(t.Context(), s.ID)
	if err != nil || !strings.Contains(state.Error, "may not connect") || from.count() > 0 {
		t.Errorf("%+v, %v", state, err)
	}
}

// A source that fails in each round is in the log once.
func TestFailingSourceIsLoggedOnce(t *testing.T) {
	w := newWorld(t)
	w.add(newServer(t, 1, "shop"))
	var lines bytes.Buffer
	w.runner.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	for range 5 {
		w.pass(t.Context())
		w.due()
	}
	if n := strings.Count(lines.String(), "cannot collect from a source"); n != 1 {
		t.Errorf("logged %d times: %s", n, lines.String())
	}
}

// Nothing is collected from a source that is paused, of another node, or of a project that is deleted.
func TestSourceIsCollectedWhileItIsThisNodes(t *testing.T) {
	w := newWorld(t, loopback)
	from := newServer(t, 1, "shop")
	s := w.add(from)
	w.held = false
	if w.pass(t.Context()); from.count() > 0 {
		t.Error("another node's source was asked")
	}
	w.held = true
	change := func(paused bool) {
		if _, _, err := w.sources.Update(t.Context(), projectID, s.ID, func(s *source.Source) error {
			s.Paused = paused
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	change(true)
	if w.pass(t.Context()); from.count() > 0 {
		t.Error("a paused source was asked")
	}
	change(false)
	if w.pass(t.Context()); from.count() == 0 {
		t.Error("a source that goes on was not asked")
	}
	if w.pass(t.Context()); from.count() > 0 {
		t.Error("a source was asked before it is due")
	}
	w.due()
	if _, err := w.accounts.UpdateProject(t.Context(), projectID, func(p *account.Project) error {
		p.Deleted = time.Now()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if w.pass(t.Context()); from.count() > 0 {
		t.Error("a source of a deleted project was asked")
	}
}

// A source goes on, and what is known of it stays, while its project cannot be read.
func TestSourceStaysWhileTheStoreIsAway(t *testing.T) {
	w := newWorld(t, loopback)
	s := w.add(newServer(t, 1, "shop"))
	w.pass(t.Context())
	of := w.runner.running[s.ID]
	w.runner.Accounts = account.NewDirectory(w.bucket) // which remembers nothing
	w.bucket.Before = func(_ context.Context, _ bucketest.Op, key string) error {
		if strings.HasPrefix(key, "projects/") {
			return errors.New("away")
		}
		return nil
	}
	if err := w.runner.pass(t.Context()); err == nil {
		t.Error("that a project cannot be read is not said")
	}
	if w.runner.running[s.ID] != of || of == nil {
		t.Error("the source was given up")
	}
}

// Sources of one project that hang keep those of others from nothing. Others of their own project wait for room, and no
// longer.
func TestSourcesOfOneProjectLeaveRoomForOthers(t *testing.T) {
	w := newWorld(t, loopback)
	other := account.Project{ID: "6a793f48c0eb9e7a17712c03", Org: orgID, Name: "other"}
	if err := w.accounts.CreateProject(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		rw.WriteHeader(404)
	}))
	t.Cleanup(hanging.Close)
	fast := newServer(t, 1, "shop")
	const waiting = 4
	for range maxRoundsOfProject + waiting {
		w.addTo(projectID, hanging.URL)
	}
	one := w.addTo(other.ID, fast.URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pass := func() (running int) {
		if err := w.runner.pass(ctx); err != nil {
			t.Fatal(err)
		}
		for _, of := range w.runner.running {
			if of.cancel != nil && of.source.Project == projectID {
				running++
			}
		}
		return running
	}
	if n := pass(); n != maxRoundsOfProject {
		t.Errorf("%d rounds of a project run", n)
	}
	<-w.runner.running[one.ID].done
	if fast.count() == 0 {
		t.Error("the other project's source was not asked")
	}
	close(goOn)
	w.runner.work.Wait()
	select {
	case <-w.runner.room:
	default:
		t.Error("nobody knows that there is room")
	}
	if n := pass(); n != waiting {
		t.Errorf("%d rounds run of %d sources that waited", n, waiting)
	}
}

// A state that was damaged is replaced: the source is collected from the beginning again, and nothing comes twice.
func TestDamagedStateBeginsAgain(t *testing.T) {
	w := newWorld(t, loopback)
	s := w.add(newServer(t, 1, "shop"))
	w.pass(t.Context())
	highest, err := doc.Highest(t.Context(), w.bucket, "sourcestate/"+s.ID, 0)
	if err == nil {
		err = w.bucket.PutNew(t.Context(), fmt.Sprintf("sourcestate/%s/%010d.json", s.ID, highest+1), []byte("{}"))
	}
	if err != nil || highest == 0 {
		t.Fatal(highest, err)
	}
	w.due()
	w.pass(t.Context())
	state, err := source.NewDirectory(w.bucket, seal.Box{}).State(t.Context(), s.ID)
	if err != nil || state.Success.IsZero() {
		t.Errorf("%+v, %v", state, err)
	}
	if text := strings.Join(w.lines("shop-w0"), ""); strings.Count(text, `"message":"of`) != 1 {
		t.Error(text)
	}
}

// A round that finds nothing new asks once for each log and each list, and writes nothing.
func TestIdleRoundCostsLittle(t *testing.T) {
	const workspaces = 100
	w := newWorld(t, loopback)
	from := newServer(t, workspaces, "shop")
	w.add(from)
	w.pass(t.Context())
	for range 2 { // Until all is sequenced and in memory.
		w.lines("shop-w0")
		w.due()
		w.pass(t.Context())
	}
	from.count()
	var mu sync.Mutex
	asked := map[bucketest.Op]int{}
	w.bucket.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		asked[op]++
		return nil
	}
	w.due()
	w.pass(t.Context())
	if n := from.count(); n > workspaces+3 {
		t.Errorf("%d requests for %d logs", n, workspaces)
	}
	t.Log(asked)
	if asked[bucketest.PutNew]+asked[bucketest.Put] > 0 || asked[bucketest.List] > 10+workspaces {
		t.Errorf("operations on the bucket: %v", asked)
	}
}

var manyWorkspaces = flag.Int("collector.workspaces", 20, "workspaces of each source of TestManySourcesCostLittle")

// Many sources of many workspaces, of several projects, are all collected from, and a round that finds nothing new
// costs a request for each log there, and little here.
func TestManySourcesCostLittle(t *testing.T) {
	projects, each, workspaces := 5, 10, *manyWorkspaces
	if testing.Short() {
		projects, each = 2, 5
	}
	w := newWorld(t, loopback)
	var from []*server
	for i := range projects {
		p := account.Project{ID: fmt.Sprintf("6a793f48c0eb9e7a17712d%02d", i), Org: orgID, Name: fmt.Sprint("audit", i)}
		if err := w.accounts.CreateProject(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		for j := range each {
			s := newServer(t, workspaces, fmt.Sprint("shop", j))
			from = append(from, s)
			w.addTo(p.ID, s.URL)
		}
	}
	rounds := func() {
		w.due()
		for w.pass(t.Context()); w.runner.waiting.Load(); w.pass(t.Context()) {
		}
	}
	rounds()
	for _, s := range from {
		if n := s.count(); n < workspaces {
			t.Fatalf("a source was asked %d times for %d logs", n, workspaces)
		}
	}
	for range 2 { // Until all is sequenced and in memory.
		for more := true; more; {
			var err error
			if more, err = w.node.Sequencers[0].Round(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		rounds()
	}
	asked := 0
	for _, s := range from {
		s.count()
	}
	var operations atomic.Int64
	w.bucket.Before = func(context.Context, bucketest.Op, string) error { operations.Add(1); return nil }
	began := time.Now()
	rounds()
	for _, s := range from {
		asked += s.count()
	}
	logs := projects * each * workspaces
	t.Logf("%d logs of %d sources: %d requests, %d operations on the bucket, %v", logs, len(from), asked,
		operations.Load(), time.Since(began))
	if most := logs + 3*len(from); asked > most {
		t.Errorf("%d requests for %d logs, want at most %d", asked, logs, most)
	}
	if most := int64(10 + 3*len(from)); operations.Load() > most {
		t.Errorf("%d operations on the bucket, want at most %d", operations.Load(), most)
	}
}
