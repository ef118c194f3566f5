package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/event"
)

const (
	collectorKills = 30
	collectorLines = 300 // before each kill, and before what was killed starts again, at most
)

// TestCollectorBringsInFiles has an OpenTelemetry Collector, configured as docs/bring-in.md says, read a file that
// grows and rotates, and kills it and weir again and again. In the end each line is in the log: one that is an event of
// OCSF as it was written and once, another at least once. It runs where TestDeliveriesIntoRealPeers does.
func TestCollectorBringsInFiles(t *testing.T) {
	if os.Getenv("WEIR_PEERS") == "" {
		t.Log("WEIR_PEERS is not set: the OpenTelemetry Collector is left out")
		return
	}
	c := startCollected(t)
	c.write(collectorLines)
	victims := [][]victim{{c.collector}, {c.weir}, {c.collector}, {c.weir, c.collector}}
	for n := range collectorKills {
		counted := []*atomic.Int64{&c.way.begun, &c.way.answered}[rand.IntN(2)]
		before := counted.Load()
		c.write(1 + rand.IntN(collectorLines))
		c.until("a request", func() string {
			if counted.Load() > before {
				return ""
			}
			return "none came"
		})
		if rand.IntN(2) == 0 { // Else a request is under way, or its answer is; now anything is.
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		}
		c.collector.asked = rand.IntN(4) == 0 // to end; else it is killed
		killed := victims[n%len(victims)]
		for _, v := range killed {
			v.kill(t)
		}
		c.write(1 + rand.IntN(collectorLines))
		if n%3 == 0 {
			c.rotate()
		}
		for _, v := range killed {
			v.start(t)
		}
		if n%3 == 1 {
			c.rotate()
		}
	}
	c.write(1)
	c.check()
}

// collected is a weir into which a Collector sends the lines of a file.
type collected struct {
	t         *testing.T
	weir      *server
	collector *program
	way       *way
	name      string   // of the file
	written   []string // lines
	half      string   // the beginning of a line, which is in the file already
	rotated   int
}

func startCollected(t *testing.T) *collected {
	t.Helper()
	f := &field{dir: t.TempDir(), weir: newFixed(t)}
	c := &collected{t: t, weir: f.weir, name: filepath.Join(f.dir, "app", "audit.ndjson")}
	if err := os.Mkdir(filepath.Dir(c.name), 0o700); err != nil {
		t.Fatal(err)
	}
	c.weir.start(t)
	t.Cleanup(func() { c.weir.kill(t) })
	f.run(t, "admin", "workspace", "create", "prod")
	var token struct{ Token string }
	made := f.run(t, "admin", "ingest-token", "create", "collector", "--workspace", "prod", "-o", "json")
	if err := json.Unmarshal(made, &token); err != nil || token.Token == "" {
		t.Fatalf("%s: %v", made, err)
	}
	c.way = newWay(t, c.weir.config.URL)
	for name, value := range map[string]string{"WEIR": c.way.URL, "GROUP": c.weir.project, "TOKEN": token.Token} {
		t.Setenv(name, value)
	}
	documented := strings.NewReplacer("/var/log/app", filepath.Dir(c.name), "/var/lib/otelcol",
		filepath.Join(f.dir, "state")).Replace(codeOf(t, "../../docs/bring-in.md", "extensions:"))
	c.collector = f.otelcol(t, "otelcol-files", documented)
	if err := os.WriteFile(c.name+".0.gz", []byte("\x1f\x8b, which is to be left out\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.collector.start(t)
	t.Cleanup(func() { c.collector.kill(t) })
	return c
}

// codeOf returns the lines of code of a document that begin with a line.
func codeOf(t *testing.T, document, first string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	const indent = "    "
	_, code, ok := strings.Cut(string(text), "\n"+indent+first+"\n")
	if !ok {
		t.Fatalf("%s has no code that begins with %q", document, first)
	}
	lines := []string{first}
	for line := range strings.Lines(code) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), indent)
		if !ok {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// way stands before weir and counts requests. Where weir gives no answer, it gives none.
type way struct {
	*httptest.Server
	begun, answered atomic.Int64 // answered: but the answer is not on its way yet
	refused         atomic.Pointer[string]
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	address, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	w := &way{}
	proxy := httputil.NewSingleHostReverseProxy(address)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(r *http.Response) error {
		w.answered.Add(1)
		if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusServiceUnavailable {
			body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
			text := fmt.Sprintf("%s: %q", r.Status, body)
			w.refused.Store(&text)
		}
		return nil
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.begun.Add(1)
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// write writes lines into the file. The last one is cut in the middle now and then; its end comes with the next ones.
func (c *collected) write(n int) {
	c.t.Helper()
	text := ""
	if c.half != "" {
		last := c.written[len(c.written)-1]
		text, c.half = last[len(c.half):]+"\n", ""
	}
	for range n {
		line := c.line(len(c.written))
		c.written = append(c.written, line)
		text += line + "\n"
	}
	if n > 1 && rand.IntN(3) == 0 {
		last := c.written[len(c.written)-1]
		c.half = last[:len(last)/2]
		text = strings.TrimSuffix(text, last[len(last)/2:]+"\n")
	}
	file, err := os.OpenFile(c.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = io.WriteString(file, text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// line returns the line that has a number: an event of OCSF with an identity or without, or a text, each as senders
// write them.
func (c *collected) line(n int) string {
	now := time.Now().UnixMilli()
	switch n % 4 {
	case 0:
		return fmt.Sprintf(`{"time":%d, "class_uid":3002,"metadata":{"version":"1.8.0","uid":"line %d"},"ratio":1.50,`+
			`"message":"J\u00fcrgen signed in \/ ☂ %s"}`, now, n, strings.Repeat("and again ", n%50))
	case 1:
		return fmt.Sprintf(`{"class_uid":3002,"time":%d,"message":"line %d","unmapped":{"of":[1e3,null]}}`, now, n)
	case 2:
		return fmt.Sprintf("  line %d: J\u00fcrgen signed in ", n)
	}
	return fmt.Sprintf("line %d: J\xfcrgen signed in", n) // not UTF-8
}

// rotate gives the file another name. What is written next is a new one.
func (c *collected) rotate() {
	c.t.Helper()
	if c.half != "" {
		c.write(0)
	}
	c.rotated++
	if err := os.Rename(c.name, fmt.Sprintf("%s.%d", c.name, c.rotated)); err != nil {
		c.t.Fatal(err)
	}
	c.write(1)
}

// until waits until a condition has nothing to say.
func (c *collected) until(what string, missing func() string) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		text := missing()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(c.collector.output.Name())
			c.t.Fatalf("%s: %s\n%s", what, text, said[max(0, len(said)-4000):])
		}
	}
}

// check waits until all that was written is in the log, and looks how often.
func (c *collected) check() {
	c.t.Helper()
	times := c.wanted()
	c.until("the log", func() string {
		got := c.log()
		missing, one := 0, ""
		for what := range times {
			times[what] = got[what]
			delete(got, what)
			if times[what] == 0 {
				missing, one = missing+1, what
			}
		}
		for what := range got {
			c.t.Fatalf("the log has %q, which was never written", what)
		}
		if missing == 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d lines are missing, such as %q", missing, len(times), one)
	})
	ocsf, again := 0, 0
	for what, n := range times {
		if strings.HasPrefix(what, keyed) {
			ocsf++
			if n != 1 {
				c.t.Errorf("an event of OCSF is there %d times", n)
			}
		}
		again += n - 1
	}
	if refused := c.way.refused.Load(); refused != nil {
		c.t.Errorf("weir has refused a request for good: %s", *refused)
	}
	c.t.Logf("%d lines in %d files, %d of them events of OCSF, which are there once; of the others %d came again",
		len(times), 1+c.rotated, ocsf, again)
}

// keyed begins what stands for an event of OCSF: its key, which depends on each byte that was sent.
const keyed = "key "

// wanted returns what is to be in the log.
func (c *collected) wanted() map[string]int {
	c.t.Helper()
	all := map[string]int{}
	var p event.Parser
	for _, line := range c.written {
		if !strings.HasPrefix(line, "{") {
			all[line] = 0
			continue
		}
		var b event.Batch
		if err := p.AddEvent(&b, []byte(line), event.Origin{Received: time.Now()}); err != nil {
			c.t.Fatal(err)
		}
		all[fmt.Sprintf(keyed+"%x", b.Entries[0].Key)] = 0
	}
	return all
}

// log returns how often something is in the log, of what the Collector sent.
func (c *collected) log() map[string]int {
	c.t.Helper()
	from, err := client.New(c.weir.config)
	if err != nil {
		c.t.Fatal(err)
	}
	got := map[string]int{}
	var p event.Parser
	eachDownloaded(c.t, from, client.Source{Project: c.weir.project, Workspace: "prod"}, func(line []byte) {
		if what := sentLine(c.t, line, &p); what != "" {
			got[what]++
		}
	})
	return got
}

// sentLine returns what stands for the line that an event of the log was made of; empty if weir made it.
func sentLine(t *testing.T, line []byte, p *event.Parser) string {
	t.Helper()
	var e struct {
		Message  string
		Raw      []byte `json:"raw_data"`
		Unmapped struct {
			Weir struct{ By string }
			OTel struct {
				Body       string
				Attributes map[string]string
			}
		}
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	sent := e.Unmapped.OTel
	switch {
	case e.Unmapped.Weir.By == "weir":
		return ""
	case e.Raw != nil:
		_, body, _ := bytes.Cut(e.Raw, []byte(`"body":{"stringValue":"`))
		body, _, _ = bytes.Cut(body, []byte(`"}`))
		return string(body)
	case sent.Body != "":
		if e.Message != sent.Body || !strings.HasPrefix(sent.Attributes["log.file.name"], "audit.ndjson") {
			t.Fatalf("an event of a line is %s", line)
		}
		return sent.Body
	}
	entry, err := p.Entry(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return fmt.Sprintf(keyed+"%x", entry.Key)
}
