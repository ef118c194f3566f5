package datadog

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const log = "6a793f48c0eb9e7a17712f00"

// intake keeps entries as Datadog does: it has limits, and drops or cuts what is beyond those of one entry.
type intake struct {
	t  *testing.T
	mu sync.Mutex

	kept     []entry
	requests int
	answer   func(w http.ResponseWriter) (keep bool) // if nil, as Datadog answers
}

type entry struct {
	Source, Service string
	Timestamp       int64
	Tags            string `json:"ddtags"`
	Weir            struct {
		ID, Log string
		Index   int64
	}
	Message string
}

func (n *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests++
	z, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("DD-API-KEY") != "key" || r.Header.Get("Content-Type") != "application/json" {
		n.t.Errorf("%v of %v", err, r.Header)
		return
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return
	}
	var all []json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil || len(all) > 1000 || len(all) == 0 || len(body) > 5_000_000 {
		n.t.Errorf("%d entries, %d bytes, %v: %.100s", len(all), len(body), err, body)
		return
	}
	if n.answer != nil && !n.answer(w) {
		return
	}
	for _, raw := range all {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil || len(raw) > 1_000_000 ||
			time.Since(time.UnixMilli(e.Timestamp)) > 18*time.Hour {
			n.t.Errorf("%v: an entry of %d bytes at %d, which would be cut or dropped", err, len(raw), e.Timestamp)
		}
		n.kept = append(n.kept, e)
	}
	if n.answer == nil {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "{}")
	}
}

func start(t *testing.T, n *intake, s Settings) *Sink {
	n.t = t
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	s.APIKey = "key"
	sink, err := newAt(server.URL, s, egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func events(n int, line func(i int) string) (batch []deliver.Event) {
	now := time.Now().UnixMilli()
	for i := range n {
		batch = append(batch, deliver.Event{Log: log, Name: "orders, audit", Index: int64(i), Time: now,
			Line: []byte(line(i))})
	}
	return batch
}

func TestEntries(t *testing.T) {
	n := &intake{}
	sink := start(t, n, Settings{Tags: "env:prod"})
	batch := events(1, func(int) string { return `{"message":"é \"quoted\" <b>","time":1}` })
	refused, err := sink.Send(t.Context(), batch)
	if err != nil || refused != nil || len(n.kept) != 1 {
		t.Fatal(refused, err)
	}
	if e := n.kept[0]; e.Message != string(batch[0].Line) || e.Weir.ID != log+"/0" || e.Weir.Log != log ||
		e.Tags != "log:orders_ audit,env:prod" || e.Service != "weir" || e.Timestamp != batch[0].Time {
		t.Errorf("%+v", e)
	}
}

// Requests keep the limits, entries keep their order, and what Datadog would cut or drop is refused.
func TestLimits(t *testing.T) {
	n := &intake{}
	sink := start(t, n, Settings{})
	for seed := range uint64(10) {
		draw := rand.New(rand.NewPCG(seed, 0))
		n.mu.Lock()
		n.kept, n.requests = nil, 0
		n.mu.Unlock()
		var large []int
		for range 1 + draw.IntN(10) {
			large = append(large, []int{10, 100, 400_000, 990_000, 1_000_000, 1_200_000}[draw.IntN(6)])
		}
		small := []int{0, 10, 998, 1000, 2100}[draw.IntN(5)]
		batch := events(len(large)+small, func(i int) string {
			if i < len(large) {
				return `{"a":"` + strings.Repeat("x", large[i]) + `"}`
			}
			return "{}"
		})
		old := draw.IntN(len(batch))
		batch[old].Time -= (19 * time.Hour).Milliseconds()
		n.check(t, sink, batch, old, len(large))
	}
}

// check sends a batch with an event that is too old, and sees what came of it.
func (n *intake) check(t *testing.T, sink *Sink, batch []deliver.Event, old, large int) {
	refused, err := sink.Send(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := n.kept
	for i, e := range batch {
		if len(refused) > 0 && refused[0].At == i {
			if len(e.Line) < 999_000 && i != old {
				t.Fatalf("%d of %d bytes is refused: %s", i, len(e.Line), refused[0].Reason)
			}
			refused = refused[1:]
			continue
		}
		if len(kept) == 0 || kept[0].Weir.Index != e.Index {
			t.Fatalf("event %d is missing, or not in its place", i)
		}
		kept = kept[1:]
	}
	if len(kept)+len(refused) > 0 || n.requests > len(batch)/1000+large+1 {
		t.Fatalf("%d kept and %d refused too many, %d requests", len(kept), len(refused), n.requests)
	}
}

func TestFailures(t *testing.T) {
	answer := func(status int, text string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return false
		}
	}
	for _, test := range []struct {
		name    string
		answer  func(http.ResponseWriter) bool
		tooMuch bool
		pause   time.Duration
	}{
		{name: "a wrong entry", answer: answer(400, `{"errors":["bad"]}`), tooMuch: true,
			pause: 5 * time.Second},
		{name: "a wrong key", answer: answer(403, `{"errors":["Forbidden"]}`), pause: 5 * time.Second},
		{name: "too large", answer: answer(413, ""), tooMuch: true, pause: 5 * time.Second},
		{name: "too many", answer: answer(429, ""), pause: 5 * time.Second},
		{name: "down", answer: answer(503, ""), pause: 5 * time.Second},
		{name: "a page", answer: answer(200, "<html>Welcome</html>")},
		{name: "another's reply", answer: answer(200, "{}")},
		{name: "errors", answer: answer(202, `{"errors":[{"detail":"x"}]}`)},
		{name: "no JSON", answer: answer(202, "ok")},
		{name: "a long reply", answer: answer(202, strings.Repeat(" ", 100<<10))},
		{name: "breaks after acceptance", answer: func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }},
	} {
		n := &intake{answer: test.answer}
		refused, err := start(t, n, Settings{}).Send(t.Context(), events(2, func(int) string { return "{}" }))
		var later *deliver.RetryAfter
		pause := time.Duration(0)
		if errors.As(err, &later) {
			pause = later.Pause
		}
		if err == nil || refused != nil || errors.Is(err, deliver.ErrTooMuch) != test.tooMuch || pause != test.pause {
			t.Errorf("%s: %v, %v", test.name, refused, err)
		}
	}
}

func TestHangingIntake(t *testing.T) {
	reached, end := make(chan struct{}), make(chan struct{})
	n := &intake{answer: func(http.ResponseWriter) bool { close(reached); <-end; return false }}
	sink := start(t, n, Settings{})
	t.Cleanup(func() { close(end) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := sink.Send(ctx, events(1, func(int) string { return "{}" })); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for wrong, s := range map[string]Settings{
		"":        {Region: "US1_FED", APIKey: "k"},
		"region":  {Region: "us1", APIKey: "k"},
		"apiKey":  {Region: "EU"},
		"tags":    {Region: "EU", APIKey: "k", Tags: strings.Repeat("a", 1001)},
		"service": {Region: "EU", APIKey: "k", Service: strings.Repeat("a", 101)},
	} {
		var w deliver.Wrong
		s.Check(&w)
		if wrong == "" && len(w.Attributes) > 0 || wrong != "" && (len(w.Attributes) != 1 || w.Attributes[0].Name != wrong) {
			t.Errorf("%+v: %v", s, w)
		}
	}
	for region := range sites {
		if _, err := New(Settings{Region: region, APIKey: "k"}, egress.New(nil)); err != nil {
			t.Error(err)
		}
	}
}

// Only 202 with nothing wrong in it is success.
func FuzzReply(f *testing.F) {
	for _, body := range []string{"", "{}", `{"errors":[]}`, `{"a":1}`, "<html>", `{"`} {
		f.Add(202, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(body, &object) == nil && object != nil
		_, wrong := object["errors"]
		if accepted(status, body) == nil && (status != 202 || len(body) > 0 && isObject && wrong) {
			t.Errorf("%d %q", status, body)
		}
	})
}
