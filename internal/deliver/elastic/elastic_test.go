package elastic

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const log = "6a793f48c0eb9e7a17712f00"

var loopback = egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})

// server keeps documents under their ids, as Elasticsearch does, and fails as it is told.
type server struct {
	mu      sync.Mutex
	kept    map[string]string
	index   string
	authors []string // the Authorization of each request
	fail    []func(w http.ResponseWriter, apply func() []byte)
	refuse  func(document string) (status int, kind, reason string)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authors = append(s.authors, r.Header.Get("Authorization"))
	z, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/x-ndjson" || !strings.HasSuffix(r.URL.Path, "/_bulk") {
		http.Error(w, fmt.Sprint("no _bulk: ", err), http.StatusNotAcceptable)
		return
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return
	}
	apply := func() []byte { return s.apply(body) }
	if len(s.fail) > 0 {
		fail := s.fail[0]
		s.fail = s.fail[1:]
		fail(w, apply)
		return
	}
	_, _ = w.Write(apply())
}

// apply creates the documents of a body, and returns the reply to it.
func (s *server) apply(body []byte) []byte {
	var items []any
	lines := bufio.NewScanner(strings.NewReader(string(body)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var action struct {
			Create struct {
				ID    string `json:"_id"`
				Index string `json:"_index"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &action); err != nil || !lines.Scan() {
			return []byte(`{"error":"no action","status":400}`)
		}
		id, document := action.Create.ID, lines.Text()
		s.index = action.Create.Index
		answer := map[string]any{"_id": id, "status": 201}
		if status, kind, reason := s.refuses(document); status != 0 {
			answer["status"], answer["error"] = status, map[string]any{"type": kind, "reason": reason,
				"caused_by": map[string]any{"type": "x", "reason": "its cause"}}
		} else if _, ok := s.kept[id]; ok {
			answer["status"], answer["error"] = 409, map[string]any{"type": "version_conflict_engine_exception"}
		} else {
			s.kept[id] = document
		}
		items = append(items, map[string]any{"create": answer})
	}
	reply, err := json.Marshal(map[string]any{"took": 1, "errors": true, "items": items})
	if err != nil {
		panic(err)
	}
	return reply
}

func (s *server) refuses(document string) (status int, kind, reason string) {
	if s.refuse == nil {
		return 0, "", ""
	}
	return s.refuse(document)
}

func start(t interface{ Cleanup(func()) }, s *server, settings Settings) *Sink {
	s.kept = map[string]string{}
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	settings.URL = listening.URL + settings.URL
	sink, err := New(settings, loopback)
	if err != nil {
		panic(err)
	}
	return sink
}

func events(first, n int) (batch []deliver.Event) {
	for i := first; i < first+n; i++ {
		batch = append(batch, deliver.Event{Log: log, Name: "orders", Index: int64(i), Time: 1763978401002,
			Line: fmt.Appendf(nil, `{"time":1763978401002,"n":%d}`, i)})
	}
	return batch
}

func TestDocuments(t *testing.T) {
	s := &server{}
	sink := start(t, s, Settings{Index: "weir-audit", Username: "anna", Password: "pass:word"})
	batch := events(7, 1)
	for _, line := range []string{`{"@timestamp":"own","time":1}`, `{"weir":1,"@timestamp":2}`,
		` {"a":"` + "\u2028" + `"} `} {
		e := events(10+len(batch), 1)[0]
		e.Line = []byte(line)
		batch = append(batch, e)
	}
	refused, err := sink.Send(t.Context(), batch)
	if err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	weir := func(n int) string {
		return fmt.Sprintf(`"weir":{"id":"%s/%d","log":"%s","name":"orders","index":%d}`, log, n, log, n)
	}
	want := map[string]string{
		log + "/7":  `{"@timestamp":"2025-11-24T10:00:01.002Z",` + weir(7) + `,"time":1763978401002,"n":7}`,
		log + "/11": `{` + weir(11) + `,"@timestamp":"own","time":1}`,
		log + "/12": `{"weir":1,"@timestamp":2}`,
		log + "/13": `{"@timestamp":"2025-11-24T10:00:01.002Z",` + weir(13) + `,"a":"` + "\u2028" + `"}`,
	}
	if !maps.Equal(s.kept, want) || s.index != "weir-audit" || s.authors[0] != "Basic YW5uYTpwYXNzOndvcmQ=" {
		t.Errorf("kept %v in %q of %v, want %v", s.kept, s.index, s.authors, want)
	}
}

func TestAPIKeySignsIn(t *testing.T) {
	s := &server{}
	sink := start(t, s, Settings{URL: "/insert/elasticsearch/_bulk?_msg_field=message", APIKey: "abc=="})
	if _, err := sink.Send(t.Context(), events(0, 1)); err != nil || s.authors[0] != "ApiKey abc==" || s.index != "" {
		t.Error(err, s.authors, s.index)
	}
}

// An event that is refused for itself is named. What is wrong with the place is an error, and no event is to blame.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		status       int
		kind, reason string
		want         string // of the refusal; if empty, an error is wanted
	}{
		{400, "document_parsing_exception", "failed to parse",
			"status 400: document_parsing_exception: failed to parse: its cause"},
		{400, "illegal_argument_exception", "", "status 400: illegal_argument_exception: : its cause"},
		{400, "index_closed_exception", "closed", ""},
		{400, "invalid_index_name_exception", "bad name", ""},
		{401, "security_exception", "missing credentials", ""},
		{403, "cluster_block_exception", "read-only", ""},
		{404, "index_not_found_exception", "no such index", ""},
		{429, "es_rejected_execution_exception", "rejected", ""},
		{503, "unavailable_shards_exception", "not active", ""},
	} {
		s := &server{refuse: func(document string) (int, string, string) {
			if strings.Contains(document, `"n":1}`) {
				return test.status, test.kind, test.reason
			}
			return 0, "", ""
		}}
		sink := start(t, s, Settings{})
		batch := append(events(0, 3), deliver.Event{Log: log, Index: 3, Line: []byte("no JSON")})
		refused, err := sink.Send(t.Context(), batch)
		if test.want == "" {
			if err == nil || !strings.Contains(err.Error(), test.kind) || refused != nil {
				t.Errorf("%s: %v, %v, want an error", test.kind, refused, err)
			}
			continue
		}
		if err != nil || len(refused) != 2 || refused[0] != (deliver.Refusal{At: 1, Reason: test.want}) ||
			refused[1].At != 3 || len(s.kept) != 2 {
			t.Errorf("%s: %v, %v", test.kind, refused, err)
		}
	}
}

func TestRepliesThatAreNone(t *testing.T) {
	for _, reply := range []string{"", "<html>all is well</html>", "{}", `{"errors":false}`, `{"items":[]}`,
		`{"items":{}}`,
		`{"items":[{"create":{"status":201}}]}`, `{"items":[{"create":{"status":201}},{"create":{}}]}`,
		`{"items":[{"create":{"status":201}},{"create":{"status":201}},{"create":{"status":201}}]}`,
		`{"items":[{"create":{"status":201}},{"create":{"_id":"other","status":201}}]}`,
		`{"items":[{"create":{"status":201}},{"create":{"status":"201"}}]}`,
		`{"items":[{"create":{"status":201}},{"create":{"status":201}`, `{"items":[1,2]}`, `{"items":[{},{}]}`} {
		s := &server{fail: []func(http.ResponseWriter, func() []byte){func(w http.ResponseWriter, _ func() []byte) {
			_, _ = io.WriteString(w, reply)
		}}}
		if refused, err := start(t, s, Settings{}).Send(t.Context(), events(0, 2)); err == nil || refused != nil {
			t.Errorf("%s: %v, %v, want an error", reply, refused, err)
		}
	}
}

// failures are those of a whole request.
var failures = map[string]func(w http.ResponseWriter, apply func() []byte){
	"429":                   status(http.StatusTooManyRequests),
	"503":                   status(http.StatusServiceUnavailable),
	"413":                   status(http.StatusRequestEntityTooLarge),
	"302":                   status(http.StatusFound),
	"an error page":         func(w http.ResponseWriter, _ func() []byte) { _, _ = io.WriteString(w, "<html>") },
	"breaks":                func(http.ResponseWriter, func() []byte) { panic(http.ErrAbortHandler) },
	"breaks, has taken all": func(_ http.ResponseWriter, apply func() []byte) { apply(); panic(http.ErrAbortHandler) },
	"half a reply": func(w http.ResponseWriter, apply func() []byte) {
		all := apply()
		_, _ = w.Write(all[:len(all)/2])
	},
}

func status(code int) func(http.ResponseWriter, func() []byte) {
	return func(w http.ResponseWriter, _ func() []byte) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(code)
	}
}

// Whatever fails, however a batch is cut when it is sent again: in the end each event is there once.
func TestEachEventOnce(t *testing.T) {
	s := &server{}
	sink := start(t, s, Settings{})
	rapid.Check(t, func(t *rapid.T) {
		s.mu.Lock()
		s.kept, s.fail = map[string]string{}, nil
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(failures))), 0, 6).Draw(t, "failures") {
			s.fail = append(s.fail, failures[name])
		}
		s.mu.Unlock()
		n := rapid.IntRange(1, 30).Draw(t, "events")
		for at := 0; at < n; {
			size := rapid.IntRange(1, n-at).Draw(t, "size")
			refused, err := sink.Send(t.Context(), events(at, size))
			if len(refused) > 0 {
				t.Fatal(refused)
			}
			if err == nil {
				at += size
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.kept) != n {
			t.Fatalf("%d of %d events are there", len(s.kept), n)
		}
	})
}

func TestFailuresOfRequests(t *testing.T) {
	for name, fail := range failures {
		s := &server{fail: []func(http.ResponseWriter, func() []byte){fail}}
		_, err := start(t, s, Settings{}).Send(t.Context(), events(0, 2))
		var later *deliver.RetryAfter
		asks := errors.As(err, &later) && later.Pause == 3*time.Second
		_, hasStatus := strconv.Atoi(name)
		if err == nil || errors.Is(err, deliver.ErrTooMuch) != (name == "413") || asks != (hasStatus == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that never answers is given up with the context.
func TestHangingServer(t *testing.T) {
	reached, end := make(chan struct{}), make(chan struct{})
	s := &server{fail: []func(http.ResponseWriter, func() []byte){func(http.ResponseWriter, func() []byte) {
		close(reached)
		<-end
	}}}
	sink := start(t, s, Settings{})
	t.Cleanup(func() { close(end) }) // before the server is closed
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := sink.Send(ctx, events(0, 1)); !errors.Is(err, ctx.Err()) || err == nil {
		t.Error(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for wrong, s := range map[string]Settings{
		"":              {URL: "https://es.example.com:9200/base/", Index: ".ds-weir-1", APIKey: "k"},
		"elasticUrl":    {URL: "es.example.com:9200", APIKey: "k"},
		"index":         {URL: "https://es.example.com", Index: "Weir"},
		"password":      {URL: "https://es.example.com", Username: "anna"},
		"username":      {URL: "https://es.example.com", Username: "an:na", Password: "x"},
		"apiKey":        {URL: "https://es.example.com", APIKey: "a\nb"},
		"caCertificate": {URL: "https://es.example.com", CA: "none"},
	} {
		var w deliver.Wrong
		s.Check(&w)
		if wrong == "" && len(w.Attributes) > 0 || wrong != "" && (len(w.Attributes) != 1 || w.Attributes[0].Name != wrong) {
			t.Errorf("%+v: %v", s, w)
		}
	}
	s := Settings{APIKey: "a", Password: "b"}
	for _, secret := range s.Secrets() {
		*secret = ""
	}
	if s != (Settings{}) {
		t.Errorf("%+v has secrets", s)
	}
}

// A reply of any bytes is read or refused, and one that was read tells of each event.
func FuzzReply(f *testing.F) {
	s := server{kept: map[string]string{}}
	f.Add(s.apply([]byte(`{"create":{"_id":"1"}}`+"\n{}\n"+`{"create":{"_id":"1"}}`+"\n{}\n")), 2)
	f.Add([]byte(`{"items":[{"create":{"status":400,"error":{"type":"a","reason":"b","caused_by":{"reason":"c"}}}}]}`), 1)
	f.Add([]byte(`{"items":[{"create":{"status":400,"error":"text"}}]}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		n = min(max(n, 0), 100)
		results, err := parse(body, n)
		if err == nil && len(results) != n {
			t.Errorf("%d results of %d", len(results), n)
		}
		for _, r := range results {
			if r.accepted() && r.refused() || len(r.String()) > 5000 {
				t.Errorf("%+v", r)
			}
		}
	})
}
