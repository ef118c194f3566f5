package api

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// heap returns the number of bytes in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools are emptied by the second collection
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Names in paths that are too long are in no key of the store and in no cache. Only their beginning is in replies and
// in the log.
func TestLongNamesAreKeptNowhere(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	w := newWorld(t, Options{})
	var lines bytes.Buffer
	w.options.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
	w.server = w.another()
	home := w.home()
	w.bearer(account.OrgOwner)
	w.faulty.Before = func(_ context.Context, _ bucketest.Op, key string) error {
		if len(key) > 200 {
			t.Errorf("the store is asked for a key of %d bytes: %.60s", len(key), key)
		}
		return nil
	}
	const size = 60_000
	const rounds = 2
	before, requests := heap(), 0
	for i := range rounds {
		long := strings.Repeat(string(rune('a'+i)), size)
		for _, op := range w.server.table {
			for _, name := range slices.Sorted(maps.Keys(variablesOf(op.path))) {
				if name == "tile" {
					name = "tile..."
				}
				p := home.with(place{name: long}, name)
				for _, ask := range []func() (int, int){
					func() (int, int) { rec := w.call(op, op.target(p)); return rec.Code, rec.Body.Len() },
					func() (int, int) { rec := w.do(op.method, op.target(p), ""); return rec.Code, rec.Body.Len() },
				} {
					requests++
					if code, n := ask(); code < 400 || code >= 500 || n > 4096 {
						t.Errorf("%s with a long %s: %d, %d bytes", op.id, name, code, n)
					}
				}
			}
		}
	}
	for line := range strings.Lines(lines.String()) {
		if len(line) > 1024 {
			t.Errorf("a line of the log has %d bytes: %.200s", len(line), line)
		}
	}
	lines = bytes.Buffer{}
	if grown := heap() - before; grown > int64(requests)*size/10 {
		t.Errorf("%d bytes more in use after %d requests", grown, requests)
	}
}

// Similar failures give a bounded number of log lines, which say how many were omitted.
func TestRepeatedFailuresAreSampledInTheLog(t *testing.T) {
	w := newWorld(t, Options{})
	var lines bytes.Buffer
	w.options.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
	w.server = w.another()
	for range 1100 {
		w.do("GET", resource, "")
	}
	if n := strings.Count(lines.String(), "\n"); n > 40 || !strings.Contains(lines.String(), `"omitted":511`) {
		t.Errorf("%d lines: %s", n, lines.String())
	}
	w.record(eventLine("x", now.UnixMilli()), account.GroupOwner)
	if !strings.Contains(lines.String(), `"status":200`) {
		t.Error("a request that succeeded is not in the log")
	}
}

// The reply of an error is short for any request.
func TestRepliesAreBounded(t *testing.T) {
	w := newWorld(t, Options{MaxEventBytes: 1 << 20})
	owner := w.bearer(account.OrgOwner)
	long := strings.Repeat("\x01", 60_000)
	quoted := `"` + strings.Repeat(`\u0001`, 60_000) + `"`
	bodies := map[string]string{
		"many wrong roles": `{"desc":"x","roles":[` + strings.Repeat(`"`+strings.Repeat("X", 20)+`",`,
			8_000) + `"Y"]}`,
		"a long role":       `{"desc":"x","roles":[` + quoted + `]}`,
		"long names":        `{"name":` + quoted + `,"description":` + quoted + `,"desc":` + quoted + `,"roles":["X"]}`,
		"a long attribute":  `{` + quoted + `:1,"name":5}`,
		"many addresses":    `[` + strings.Repeat(`{"ipAddress":"x"},`, 10_000) + `{}]`,
		"many bad lines":    strings.Repeat("{\n", 50_000),
		"many bad elements": `[` + strings.Repeat("1,", 50_000) + `1]`,
		"a name twice":      `{"time":1786331570000,` + quoted + `:1,` + quoted + `:2}`,
		"not JSON":          long,
	}
	for _, op := range w.server.table {
		if op.method == get || op.caller == byClientSecret {
			continue
		}
		for name, body := range bodies {
			for _, kind := range []string{"application/json", "application/x-ndjson"} {
				if kind == "application/x-ndjson" && op.body != eventsBody {
					continue
				}
				rec := w.do(op.method, op.target(nowhere.with(place{"orgId": orgID, "groupId": projectID,
					"tenantName": "demo"}, "orgId", "groupId", "tenantName")),
					body, latest, "Authorization: "+owner, "Content-Type: "+kind)
				if rec.Body.Len() > 64<<10 || !utf8.Valid(rec.Body.Bytes()) {
					t.Errorf("%s, %s: %d, a reply of %d bytes", op.id, name, rec.Code, rec.Body.Len())
				}
			}
		}
	}
}
