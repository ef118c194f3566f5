package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// Beside goodBodies, so that each attribute of each kind is in one.
var otherBodies = []struct{ path, body string }{
	{ownGroup + "/sources", `{"name":"k","type":"KAFKA","kafka":{"bootstrapServers":"kafka.example.org:9093",` +
		`"mechanism":"PLAIN","username":"u","password":"p","group":"g","topics":["t"],"mapping":"JSON",` +
		`"timeField":"at","workspaceNaming":"{topic}"}}`},
	{ownGroup + "/alertNotifiers", `{"name":"made","type":"WEBHOOK","url":"https://example.org/hook"}`},
	{ownGroup + "/alertNotifiers", `{"name":"made","type":"ALERTMANAGER","url":"https://example.org","username":"u",` +
		`"secret":"s"}`},
	{ownGroup + "/alerts", `{"name":"made","description":"d","kind":"newValue","query":"outcome:failure",` +
		`"field":"from","notSeenFor":"30d","severity":"high"}`},
	{group + "/logIntegrations", `{"type":"OTEL_LOG_EXPORT","logTypes":["STREAMS_AUDIT"],` +
		`"otelEndpoint":"https://example.org/v1/logs","otelSuppliedHeaders":[{"name":"X-A","value":"s"}],` +
		`"weir":{"workspaces":["demo"],"filter":"who:a","from":"now"}}`},
}

// leaves calls f with each text of a decoded body, and a function that sets it.
func leaves(v any, path string, set func(any), f func(path, text string, set func(any))) {
	switch v := v.(type) {
	case string:
		f(path, v, set)
	case []any:
		for i := range v {
			leaves(v[i], path+"[]", func(to any) { v[i] = to }, f)
		}
	case map[string]any:
		for name := range v {
			leaves(v[name], path+"."+name, func(to any) { v[name] = to }, f)
		}
	}
}

// Each attribute that is stored has a bound, and the refusal repeats little of it.
func TestLongTextsAreRefused(t *testing.T) {
	bodies := otherBodies
	for op, body := range goodBodies {
		recorded := strings.Contains(op[1], "/hec/") || strings.Contains(op[1], "/otlp/") ||
			strings.Contains(op[1], "Logs") // events, which have their own limit
		if op[0] == post && !recorded {
			bodies = append(bodies, struct{ path, body string }{op[1], body})
		}
	}
	home := nowhere.with(place{"orgId": orgID, "groupId": projectID, "tenantName": "demo"}, "orgId", "groupId",
		"tenantName")
	tried := 0
	for _, b := range bodies {
		role := account.GroupOwner
		if strings.Contains(b.path, "{orgId}") || strings.HasSuffix(b.path, ":invite") {
			role = account.OrgOwner
		}
		var first any
		if err := json.Unmarshal([]byte(b.body), &first); err != nil {
			t.Fatalf("%s: %v", b.path, err)
		}
		// The body is valid but for the long attribute. Some name what is not there.
		w := newWorld(t, Options{})
		w.own(post, notifiersPath, `{"name":"filled","type":"WEBHOOK","url":"https://example.org/hook"}`, 201)
		rec := w.as(role, post, home.fill(b.path), b.body)
		if rec.Code/100 != 2 && rec.Code != 404 && !strings.Contains(b.path, "{apiUserId}") {
			t.Errorf("%s: %d %s", b.path, rec.Code, rec.Body)
		}
		w = newWorld(t, Options{})
		var paths []string
		leaves(first, "", nil, func(path, _ string, _ func(any)) { paths = append(paths, path) })
		for _, long := range paths {
			var body any
			if err := json.Unmarshal([]byte(b.body), &body); err != nil {
				t.Fatal(err)
			}
			leaves(body, "", nil, func(path, text string, set func(any)) {
				if path == long {
					set(text + strings.Repeat("x", 128<<10))
				}
			})
			data, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			rec := w.as(role, post, home.fill(b.path), string(data))
			tried++
			if rec.Code/100 != 4 || rec.Body.Len() > 2048 {
				t.Errorf("%s: a long %s: %d, %d bytes: %.200s", b.path, long, rec.Code, rec.Body.Len(), rec.Body)
			}
		}
	}
	if tried < 60 {
		t.Error(fmt.Sprint("only ", tried, " texts"))
	}
}
