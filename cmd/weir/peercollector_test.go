package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// otelcol returns an OpenTelemetry Collector with a configuration, and without metrics, which have a port of their own.
func (f *field) otelcol(t *testing.T, name, config string) *program {
	t.Helper()
	return &program{output: f.output(t, name), command: []string{"otelcol",
		"--feature-gates=stanza.synchronousLogEmitter", "--config=" + f.writeText(t, name+".yaml", config),
		"--config=" + f.writeText(t, name+"-more.yaml", "service: {telemetry: {metrics: {level: none}}}\n")}}
}

// received is what a Collector hands on, which outlives it.
type received struct {
	mu   sync.Mutex
	logs []exportedLogs
}

// exportedLogs is one of ResourceLogs in OTLP's JSON.
type exportedLogs struct {
	Resource  struct{ Attributes any }
	ScopeLogs []struct {
		Scope      struct{ Name string }
		LogRecords []map[string]any
	}
}

func (r *received) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var sent struct{ ResourceLogs []exportedLogs }
	body, err := io.ReadAll(request.Body)
	if err == nil {
		err = json.Unmarshal(body, &sent)
	}
	if err != nil { // The Collector was killed while it sent.
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, sent.ResourceLogs...)
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{}")
}

// records returns the log records that were handed on, in their order. All are said to be of weir and of one log.
func (r *received) records(t *testing.T, resource any) (all []map[string]any) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range r.logs {
		if resource != nil && !reflect.DeepEqual(of.Resource.Attributes, resource) {
			t.Fatalf("the resource has the attributes %v, not %v", of.Resource.Attributes, resource)
		}
		for _, by := range of.ScopeLogs {
			if by.Scope.Name != "weir" {
				t.Fatalf("the scope is %q", by.Scope.Name)
			}
			all = append(all, by.LogRecords...)
		}
	}
	return all
}

// collector adds an OpenTelemetry Collector, which takes events by OTLP, and accepts them when it has handed them on.
func (f *field) collector(t *testing.T) {
	t.Helper()
	f.received = &received{}
	s := httptest.NewServer(f.received)
	t.Cleanup(s.Close)
	address := freeAddress(t)
	p := f.otelcol(t, "otelcol", strings.NewReplacer("ADDRESS", address, "URL", s.URL).Replace(otelcolConfig))
	p.address = address
	f.victims = append(f.victims, p)
	f.peers = append(f.peers, &peer{name: "OpenTelemetry Collector", ordered: true, settings: map[string]any{
		"type": "OTEL_LOG_EXPORT", "otelEndpoint": "http://" + address,
		"otelSuppliedHeaders": []map[string]string{{"name": "X-Sender", "value": "weir"}}},
		got: func(t *testing.T) (uids []string) {
			for _, record := range f.received.records(t, nil) {
				uids = append(uids, uidIn(bodyOf(record)))
			}
			return uids
		}})
}

const otelcolConfig = `
receivers: {otlp: {protocols: {http: {endpoint: "ADDRESS"}}}}
exporters:
  otlp_http:
    logs_endpoint: URL
    encoding: json
    compression: none
    retry_on_failure: {enabled: false}
    sending_queue: {enabled: false}
service: {pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}}
`

// bodyOf returns the body of a log record, which is a text.
func bodyOf(record map[string]any) string {
	body, _ := record["body"].(map[string]any)
	text, _ := body["stringValue"].(string)
	return text
}

// checkRecords looks whether the Collector read log records as docs/send-out.md describes them.
func (f *field) checkRecords(t *testing.T) {
	t.Helper()
	text := func(name, value string) any {
		return map[string]any{"key": name, "value": map[string]any{"stringValue": value}}
	}
	for _, record := range f.received.records(t, []any{text("service.name", "weir"), text("weir.log.id", f.logID),
		text("weir.log.name", peerWorkspace+"/audit")}) {
		uid := uidIn(bodyOf(record))
		var e struct{ Time int64 }
		if err := json.Unmarshal(f.events[uid], &e); err != nil {
			t.Fatal(err)
		}
		for _, none := range []string{"traceId", "spanId"} {
			if record[none] == "" {
				delete(record, none)
			}
		}
		time := fmt.Sprint(e.Time, "000000")
		want := map[string]any{"timeUnixNano": time, "observedTimeUnixNano": time,
			"body":       map[string]any{"stringValue": string(f.events[uid])},
			"attributes": []any{text("log.record.uid", fmt.Sprintf("%s/%d", f.logID, f.entries[uid]))}}
		if !reflect.DeepEqual(record, want) {
			t.Fatalf("the Collector has read %v, not %v", record, want)
		}
	}
}
