package api

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/weirlog/weir/internal/account"
)

const otlpPath = "/api/weir/v1/groups/" + projectID + "/streams/demo/otlp/v1/logs"

// exportRequest returns an export request with a record for each body, encoded by the protocol's own encoder.
func exportRequest(t *testing.T, bodies ...string) string {
	var records []*logsv1.LogRecord
	for _, body := range bodies {
		records = append(records, &logsv1.LogRecord{TimeUnixNano: uint64(now.UnixNano()),
			Body: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: body}}})
	}
	packed, err := proto.Marshal(&logsv1.LogsData{ResourceLogs: []*logsv1.ResourceLogs{{ScopeLogs: []*logsv1.ScopeLogs{{
		LogRecords: records}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(packed)
}

// If an exporter retries, in any batches, each record is recorded once.
func TestOpenTelemetryLogsAreRecordedOnce(t *testing.T) {
	w := newWorld(t, Options{})
	plain := exportRequest(t, "one", "two")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(plain))
	z.Close()
	encoder, _ := zstd.NewWriter(nil)
	for i, c := range []struct{ body, encoding string }{{plain, ""}, {zipped.String(), "gzip"},
		{string(encoder.EncodeAll([]byte(plain), nil)), "zstd"}} {
		rec := w.send(otlpPath, protobufType, c.body, "Content-Encoding: "+c.encoding)
		if rec.Code != 200 || rec.Body.Len() != 0 || rec.Header().Get("Content-Type") != protobufType {
			t.Errorf("%d: %d %v %q", i, rec.Code, rec.Header(), rec.Body)
		}
	}
	rec := w.send(otlpPath, jsonType, goodBodies[[2]string{"POST", ownTenant + "/otlp/v1/logs"}])
	if rec.Code != 200 || rec.Body.String() != "{}" {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
	for _, none := range []string{"", "{}"} {
		if rec := w.send(otlpPath, map[string]string{"": protobufType, "{}": jsonType}[none], none); rec.Code != 200 {
			t.Errorf("no records: %d %q", rec.Code, rec.Body)
		}
	}
	lines := w.lines(w.get(resource, account.GroupOwner))
	if text := strings.Join(lines, ""); strings.Count(text, `"otel":`) != 3 || strings.Contains(text, "Unread") {
		t.Errorf("%s", text)
	}
}

// Good records are recorded although others are too large, and the reply says how many these are and why.
func TestOpenTelemetryPartialSuccess(t *testing.T) {
	w := newWorld(t, Options{MaxEventBytes: 1000})
	rec := w.send(otlpPath, protobufType, exportRequest(t, "good", strings.Repeat("x", 2000), "good too"))
	number, _, n := protowire.ConsumeTag(rec.Body.Bytes())
	partial, m := protowire.ConsumeBytes(rec.Body.Bytes()[max(n, 0):])
	if rec.Code != 200 || number != 1 || m < 0 || partial[0] != 1<<3 || partial[1] != 1 ||
		!strings.Contains(string(partial), "event 2") {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
	long := fmt.Sprintf(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":%q}}]}]}]}`,
		strings.Repeat("x", 2000))
	if rec = w.send(otlpPath, jsonType, long); rec.Code != 200 ||
		!strings.HasPrefix(rec.Body.String(), `{"partialSuccess":{"rejectedLogRecords":"1",`+
			`"errorMessage":"refused: event 1`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if text := strings.Join(w.lines(w.get(resource, account.GroupOwner)), ""); strings.Count(text, `"otel":`) != 2 {
		t.Errorf("%s", text)
	}
}

// An error has the encoding of the request, with a status that tells an exporter whether to retry.
func TestOpenTelemetryErrors(t *testing.T) {
	w := newWorld(t, Options{MaxRequestBytes: 5000})
	status := func(rec *httptest.ResponseRecorder) string {
		code, n := protowire.ConsumeVarint(rec.Body.Bytes()[1:])
		return fmt.Sprintf("%d %s %d %t", rec.Code, rec.Header().Get("Content-Type"), code, n > 0)
	}
	for body, want := range map[string]string{"\xff": "400 application/x-protobuf 3 true",
		strings.Repeat("x", 6000): "413 application/x-protobuf 3 true"} {
		if got := status(w.send(otlpPath, protobufType, body)); got != want {
			t.Errorf("%.10q: %s, want %s", body, got, want)
		}
	}
	elsewhere := strings.Replace(otlpPath, "demo", "absent", 1)
	if got := status(w.send(elsewhere, protobufType, "")); got != "404 application/x-protobuf 5 true" {
		t.Error(got)
	}
	rec := w.send(otlpPath, jsonType, `{"resourceLogs":7}`)
	if rec.Code != 400 || !strings.HasPrefix(rec.Body.String(), `{"code":3,"message":"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := w.send(otlpPath, "text/plain", ""); rec.Code != 415 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := w.do(post, otlpPath, "", "Content-Type: "+protobufType); rec.Code != 401 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// A small body whose records all have a large resource is refused before it has caused much work.
func TestOpenTelemetryResourcesAreNotMultipliedWithoutEnd(t *testing.T) {
	w := newWorld(t, Options{MaxEventBytes: 1 << 20, MaxRequestBytes: 2 << 20, MaxRequestEvents: 100_000})
	attribute := &common.KeyValue{Key: strings.Repeat("k", 100_000)}
	logs := &logsv1.ResourceLogs{Resource: &resourcev1.Resource{Attributes: []*common.KeyValue{attribute}},
		ScopeLogs: []*logsv1.ScopeLogs{{}}}
	for range 1000 {
		logs.ScopeLogs[0].LogRecords = append(logs.ScopeLogs[0].LogRecords, &logsv1.LogRecord{})
	}
	packed, err := proto.Marshal(&logsv1.LogsData{ResourceLogs: []*logsv1.ResourceLogs{logs}})
	if err != nil {
		t.Fatal(err)
	}
	if rec := w.send(otlpPath, protobufType, string(packed)); rec.Code != 413 {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
	if n := len(w.lines(w.get(resource, account.GroupOwner))); n > 2 {
		t.Errorf("%d events are recorded of a request that is refused", n)
	}
}
