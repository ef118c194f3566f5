package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
)

// Events of TestDeliveriesIntoRealPeers: so many in each batch, one batch before and one after each kill.
const (
	peerKills = 42
	peerBatch = 24
	peerUsers = 5 // a rule fires for each of them
	peerRule  = "many"

	peerWorkspace = "orders" // that of --dev has events of this class already
)

// TestDeliveriesIntoRealPeers sends events into programs of others, and kills weir and them again and again meanwhile.
// Afterwards each event is in each of them: once where they can tell, and in order where they keep it. Where WEIR_PEERS
// is not set they are not expected to be installed; .ci/run installs them and sets it.
func TestDeliveriesIntoRealPeers(t *testing.T) {
	if os.Getenv("WEIR_PEERS") == "" {
		t.Log("WEIR_PEERS is not set: programs of others that take events are left out")
		return
	}
	f := startField(t)
	sent := 0
	record := func() {
		f.record(t, sent, peerBatch)
		sent += peerBatch
	}
	victims := append([]victim{f.weir}, f.victims...)
	for n := range peerKills {
		record()
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond) // so that something is under way
		v := victims[n%len(victims)]
		v.kill(t)
		if v != victim(f.weir) {
			record()
		}
		v.start(t)
		if v == victim(f.weir) {
			record()
		}
	}
	f.log(t, sent)
	for _, p := range f.peers {
		p.check(t, f)
	}
	f.checkRecords(t)
	f.checkAlerts(t)
}

// victim is a program that is killed and started again.
type victim interface {
	start(*testing.T)
	kill(*testing.T)
}

// field is weir with all that it sends to.
type field struct {
	dir     string
	weir    *server
	client  *client.Client
	victims []victim
	peers   []*peer
	alerts  string // URL of Alertmanager

	// What the log has, by uid:
	logID   string
	entries map[string]int64
	events  map[string]json.RawMessage

	received *received // by the OpenTelemetry Collector
}

// peer is one way to hand events over.
type peer struct {
	name     string
	settings map[string]any
	once     bool // It tells what it has already.
	ordered  bool

	// got returns the uids of what is there, in the order that is kept.
	got func(*testing.T) []string
}

func startField(t *testing.T) *field {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "weirtest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "weirtest-secret")
	f := &field{dir: t.TempDir(), weir: &server{dir: t.TempDir(), arguments: []string{"--listen", freeAddress(t)}}}
	f.victoria(t)
	f.syslogs(t)
	f.stores(t)
	f.collector(t)
	f.alertmanager(t)
	for _, v := range f.victims {
		v.start(t)
	}
	f.weir.start(t)
	t.Cleanup(func() {
		for _, v := range append([]victim{f.weir}, f.victims...) {
			v.kill(t)
		}
	})
	var err error
	if f.client, err = client.New(f.weir.config); err != nil {
		t.Fatal(err)
	}
	f.run(t, "admin", "workspace", "create", peerWorkspace)
	for _, p := range f.peers {
		p.settings["logTypes"] = []string{"STREAMS_AUDIT"}
		p.settings["weir"] = map[string]any{"workspaces": []string{peerWorkspace}, "from": "beginning",
			"filter": "class:authentication",                  // not what weir itself has to say of the workspace
			"batch":  map[string]any{"events": peerBatch - 7}} // so that no batch of a delivery is one that was recorded
		f.run(t, "admin", "delivery", "create", "--file", f.write(t, "delivery.json", p.settings))
	}
	f.run(t, "admin", "alert-notifier", "create", "-f", f.write(t, "notifier.yaml", map[string]any{"name": "manager",
		"type": "ALERTMANAGER", "url": f.alerts}))
	f.run(t, "admin", "alert", "apply", "-f", f.write(t, "rule.yaml", map[string]any{"name": peerRule,
		"kind": "threshold", "workspaces": []string{peerWorkspace}, "by": []string{"actor.user.name"},
		"query": "class:authentication", "count": 100, "within": "1h", "logs": []string{"audit"}}))
	return f
}

// write writes a value as JSON, which is YAML too.
func (f *field) write(t *testing.T, name string, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return f.writeText(t, name, string(data))
}

func (f *field) writeText(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs one of weir's commands, and returns what it prints.
func (f *field) run(t *testing.T, arguments ...string) []byte {
	t.Helper()
	cmd := exec.Command(os.Args[0], arguments...)
	cmd.Env = append(os.Environ(), "WEIR_TEST_BE_WEIR=1", "WEIR_URL="+f.weir.config.URL,
		"MONGODB_ATLAS_PUBLIC_API_KEY="+f.weir.config.PublicKey,
		"MONGODB_ATLAS_PRIVATE_API_KEY="+f.weir.config.PrivateKey, "MONGODB_ATLAS_PROJECT_ID="+f.weir.project)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("weir %s: %v\n%s%s", strings.Join(arguments, " "), err, out, errs.Bytes())
	}
	return out
}

// record records n events, the first of which has a number.
func (f *field) record(t *testing.T, first, n int) {
	t.Helper()
	var lines strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&lines, `{"time":%d,"class_uid":3002,"class_name":"Authentication","activity_name":"Logon",`+
			`"severity_id":1,"message":"event %d","actor":{"user":{"name":"user %d"}},"metadata":{"uid":"uid-%05d"}}`+"\n",
			time.Now().UnixMilli(), i, i%peerUsers, i)
	}
	if _, err := f.client.Record(t.Context(), f.weir.project, peerWorkspace, []byte(lines.String()), false); err != nil {
		t.Fatal(err)
	}
}

// log reads the log, in which all events must be.
func (f *field) log(t *testing.T, recorded int) {
	t.Helper()
	id, err := f.client.AuditLogOf(t.Context(), f.weir.project, peerWorkspace)
	if err != nil || id == "" {
		t.Fatalf("the log %q: %v", id, err)
	}
	path := client.Source{Project: f.weir.project, Workspace: peerWorkspace}.LogPath(id)
	f.logID, f.entries, f.events = id, map[string]int64{}, map[string]json.RawMessage{}
	for next := int64(0); len(f.entries) < recorded; {
		all, err := f.client.Entries(t.Context(), path, next, 10_000, 20*time.Second, "")
		if err != nil || all.Next == next {
			t.Fatalf("%d of %d events are there: %v", len(f.entries), recorded, err)
		}
		for line := range bytes.Lines(all.Lines) {
			var entry struct {
				Index int64           `json:"index"`
				Event json.RawMessage `json:"event"`
			}
			if err := json.Unmarshal(line, &entry); err != nil {
				t.Fatal(err)
			}
			if uid := uidIn(string(entry.Event)); uid != "" {
				f.entries[uid], f.events[uid] = entry.Index, entry.Event
			}
		}
		next = all.Next
	}
}

// uidIn returns the uid of the event that is in a text; empty if there is none.
func uidIn(text string) string {
	i := strings.Index(text, "uid-")
	if i < 0 || len(text) < i+len("uid-00000") {
		return ""
	}
	return text[i : i+len("uid-00000")]
}

// check waits until a peer has all, and looks how often and in which order.
func (p *peer) check(t *testing.T, f *field) {
	t.Helper()
	f.until(t, p.name, func() string {
		seen := map[string]bool{}
		for _, uid := range p.got(t) {
			seen[uid] = true
		}
		if len(seen) >= len(f.entries) {
			return ""
		}
		return fmt.Sprintf("%d of %d events are there", len(seen), len(f.entries))
	})
	got, repeated, last := p.got(t), 0, int64(-1)
	first := map[string]bool{}
	for _, uid := range got {
		at, there := f.entries[uid]
		switch {
		case !there:
			t.Fatalf("%s: it has an event %.600q that was never recorded", p.name, uid)
		case first[uid]:
			repeated++
		case p.ordered && at < last:
			t.Errorf("%s: entry %d comes behind entry %d", p.name, at, last)
		}
		if !first[uid] {
			first[uid], last = true, at
		}
	}
	if p.once && repeated > 0 {
		t.Errorf("%s: %d events are there more than once", p.name, repeated)
	}
	t.Logf("%s: %d events, %d of them again", p.name, len(first), repeated)
}

// until waits until a condition holds: until it has nothing to say.
func (f *field) until(t *testing.T, what string, missing func() string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		text := missing()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s\n%s", what, text, f.run(t, "admin", "delivery", "list"))
		}
	}
}

// checkAlerts looks whether Alertmanager has the alerts that the project's log has, each once.
func (f *field) checkAlerts(t *testing.T) {
	t.Helper()
	var want, got []string
	f.until(t, "alertmanager", func() string {
		want, got = nil, nil
		found := f.run(t, "search", `class:"Detection Finding"`, "--start", "1h", "--all", "-o", "ndjson")
		for line := range bytes.Lines(found) {
			var found struct {
				Event struct {
					Finding struct{ UID string } `json:"finding_info"`
				}
			}
			if err := json.Unmarshal(line, &found); err != nil {
				t.Fatal(err)
			}
			want = append(want, found.Event.Finding.UID)
		}
		for _, a := range getJSON[[]struct{ Labels map[string]string }](t, f.alerts+"/api/v2/alerts") {
			if a.Labels["alertname"] == peerRule {
				got = append(got, a.Labels["alert"])
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if len(want) == peerUsers && slices.Equal(want, got) {
			return ""
		}
		return fmt.Sprintf("the log has the alerts %q, of %d; Alertmanager has %q", want, peerUsers, got)
	})
}

func getJSON[T any](t *testing.T, from string) (v T) {
	t.Helper()
	if err := json.Unmarshal(get(t, from), &v); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return v
}

func get(t *testing.T, from string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v\n%.300s", from, answer.StatusCode, err, data)
	}
	return data
}

// linesIn returns the uids in the lines of a file, in their order; a line without one as it is. A line that was not
// ended is none.
func linesIn(t *testing.T, r io.Reader) (uids []string) {
	t.Helper()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return uids
		}
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, cmp.Or(uidIn(line), strings.TrimSpace(line)))
	}
}

// withQuery returns a URL with a query.
func withQuery(base string, values map[string]string) string {
	q := url.Values{}
	for name, value := range values {
		q.Set(name, value)
	}
	return base + "?" + q.Encode()
}
