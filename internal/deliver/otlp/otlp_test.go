package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/delivertest"
)

func open(t *testing.T, s *delivertest.Server) *Sink {
	t.Helper()
	settings := Settings{Endpoint: s.URL, Headers: []Header{{"X-Token", "secret"}}}
	return delivertest.Open(t, settings, New)
}

// OpenTelemetry's own decoder reads the requests.
func TestARequestIsOTLP(t *testing.T) {
	s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer { return delivertest.Answer{} })
	sink := open(t, s)
	for _, n := range []int{1, 2, 300} {
		batch := delivertest.Batch(5, n)
		refused, err := sink.Send(t.Context(), batch)
		if err != nil || len(refused) > 0 {
			t.Fatal(refused, err)
		}
		asked := s.Asked()[len(s.Asked())-1]
		if asked.Path != "/v1/logs" || asked.Header.Get("X-Token") != "secret" ||
			asked.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("asked for %s with %v", asked.Path, asked.Header)
		}
		z, err := gzip.NewReader(bytes.NewReader(asked.Body))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, data, batch)
	}
}

func compare(t *testing.T, data []byte, batch []deliver.Event) {
	t.Helper()
	var request logs.LogsData
	if err := (proto.UnmarshalOptions{}).Unmarshal(data, &request); err != nil {
		t.Fatal(err)
	}
	if len(request.ProtoReflect().GetUnknown()) > 0 || len(request.ResourceLogs) != 1 ||
		len(request.ResourceLogs[0].ScopeLogs) != 1 {
		t.Fatalf("%v", &request)
	}
	of := map[string]string{}
	for _, a := range request.ResourceLogs[0].Resource.Attributes {
		of[a.Key] = a.Value.GetStringValue()
	}
	if of["service.name"] != "weir" || of["weir.log.id"] != batch[0].Log || of["weir.log.name"] != batch[0].Name {
		t.Errorf("resource %v", of)
	}
	records := request.ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(records) != len(batch) {
		t.Fatalf("%d records of %d", len(records), len(batch))
	}
	for i, r := range records {
		e := &batch[i]
		if r.TimeUnixNano != uint64(e.Time)*1e6 || r.ObservedTimeUnixNano != r.TimeUnixNano ||
			r.Body.GetStringValue() != string(e.Line) || len(r.Attributes) != 1 ||
			r.Attributes[0].Key != "log.record.uid" || r.Attributes[0].Value.GetStringValue() != e.ID() {
			t.Errorf("record %v of %s", r, e.ID())
		}
		if len(r.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("record %s has fields that nobody knows", e.ID())
		}
	}
}

// proto3 of ExportLogsServiceResponse.
func partialReply(rejected uint64, why string) string {
	inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), rejected)
	inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), why)
	return string(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner))
}

func TestRepliesSayIfTheBatchIsAccepted(t *testing.T) {
	const protobuf, text = "application/x-protobuf", "text/html; charset=utf-8"
	later := http.Header{"Retry-After": {"7"}}
	type want struct {
		accepted, tooMuch bool
		refused           int
		pause             time.Duration
	}
	for name, c := range map[string]struct {
		events int
		answer delivertest.Answer
		want   want
	}{
		"empty":                     {3, delivertest.Answer{}, want{accepted: true}},
		"a message of the protocol": {3, delivertest.Answer{Type: protobuf, Body: partialReply(0, "")}, want{accepted: true}},
		"JSON":                      {3, delivertest.Answer{Type: "application/json", Body: "{}"}, want{accepted: true}},
		"some rejected": {3, delivertest.Answer{Type: protobuf, Body: partialReply(2, "old")},
			want{tooMuch: true}},
		"some rejected, in JSON": {3, delivertest.Answer{Type: "application/json",
			Body: `{"partialSuccess":{"rejectedLogRecords":"2"}}`}, want{tooMuch: true}},
		"the only one rejected": {1, delivertest.Answer{Type: protobuf, Body: partialReply(1, "old")},
			want{accepted: true, refused: 1}},
		"an error page with 200":   {3, delivertest.Answer{Type: text, Body: "<html>Sign in"}, want{}},
		"nonsense with 200":        {3, delivertest.Answer{Type: protobuf, Body: "\xff\xff\xff"}, want{}},
		"no JSON with 200":         {3, delivertest.Answer{Type: "application/json", Body: "OK"}, want{}},
		"a bad request":            {3, delivertest.Answer{Status: 400, Body: "bad"}, want{tooMuch: true}},
		"too large":                {3, delivertest.Answer{Status: 413}, want{tooMuch: true}},
		"slow down":                {3, delivertest.Answer{Status: 429, Header: later}, want{pause: 7 * time.Second}},
		"unavailable":              {3, delivertest.Answer{Status: 503}, want{}},
		"not authorized":           {3, delivertest.Answer{Status: 401}, want{}},
		"a redirect":               {3, delivertest.Answer{Status: 307, Header: http.Header{"Location": {"/x"}}}, want{}},
		"a connection that breaks": {3, delivertest.Answer{Break: true}, want{}},
		"an endless reply":         {3, delivertest.Answer{Type: protobuf, Body: strings.Repeat("x", 1<<20)}, want{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer { return c.answer })
			refused, err := open(t, s).Send(t.Context(), delivertest.Batch(0, c.events))
			var asks *deliver.RetryAfter
			got := want{err == nil, errors.Is(err, deliver.ErrTooMuch), len(refused), 0}
			if errors.As(err, &asks) {
				got.pause = asks.Pause
			}
			if got != c.want {
				t.Errorf("%+v, want %+v (%v)", got, c.want, err)
			}
			if err != nil && (len(err.Error()) > 500 || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAPlaceThatHangsIsLeft(t *testing.T) {
	s := delivertest.NewServer(t, func(delivertest.Request) delivertest.Answer { return delivertest.Answer{Hang: true} })
	ctx, cancel := context.WithTimeout(t.Context(), delivertest.Patience)
	defer cancel()
	if _, err := open(t, s).Send(ctx, delivertest.Batch(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	good := `{"otelEndpoint":"https://example.org","otelSuppliedHeaders":[{"name":"A","value":"b"}]}`
	for text, ok := range map[string]bool{
		good: true,
		strings.Replace(good, "https://example.org", "ftp://example.org", 1):                        false,
		strings.Replace(good, "https://example.org", "https://u:p@example.org", 1):                  false,
		strings.Replace(good, "https://example.org", "", 1):                                         false,
		strings.Replace(good, `[{"name":"A","value":"b"}]`, `[]`, 1):                                false,
		strings.Replace(good, `"A"`, `"Content-Type"`, 1):                                           false,
		strings.Replace(good, `"A"`, `"A B"`, 1):                                                    false,
		strings.Replace(good, `"b"`, `"b\r\nX: y"`, 1):                                              false,
		strings.Replace(good, `"b"`, `"`+strings.Repeat("x", 3000)+`"`, 1):                          false,
		strings.Replace(good, `}]`, `},{"name":"a","value":"c"}]`, 1):                               false,
		strings.Replace(good, `}]`, `}],"caCertificate":"no certificate"`, 1):                       false,
		strings.Replace(good, `https://example.org`, "https://e.org/"+strings.Repeat("x", 3000), 1): false,
	} {
		var s Settings
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(text, err)
		}
		var wrong deliver.Wrong
		if s.Check(&wrong); ok != (len(wrong.Attributes) == 0) {
			t.Errorf("%.200s: %v", text, wrong)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(true, []byte(partialReply(3, "why")))
	f.Add(false, []byte(`{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}`))
	f.Fuzz(func(_ *testing.T, binary bool, body []byte) {
		if binary {
			partialProto(body)
		} else {
			partialJSON(body)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	batch := delivertest.Batch(0, 5000)
	var dst []byte
	for b.Loop() {
		dst = Append(dst[:0], batch)
	}
	b.SetBytes(int64(len(dst)))
}
