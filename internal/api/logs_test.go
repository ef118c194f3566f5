package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// A workspace with the name of a deleted one has new logs. The old logs are kept for their time, for owners.
func TestDeletedLogs(t *testing.T) {
	w := newWorld(t, Options{})
	if rec := w.record(eventLine("old", now.UnixMilli()-1000), account.GroupOwner); rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	want[any](t, 202, w.as(account.GroupOwner, "DELETE", groupV2+"/streams/demo", ""))
	want[workspaceView](t, 200, w.as(account.GroupOwner, "POST", groupV2+"/streams", `{"name":"demo"}`))
	for _, line := range w.lines(w.get(resource, account.GroupOwner)) {
		if strings.Contains(line, `"old"`) {
			t.Errorf("the new log has %s", line)
		}
	}
	list := "/api/weir/v1/groups/" + projectID + "/logs"
	logs := want[page[logView]](t, 200, w.as(account.GroupOwner, "GET", list, ""))
	var deleted []logView
	for _, l := range logs.Results {
		if l.State == "deleted" {
			deleted = append(deleted, l)
		}
	}
	if len(logs.Results) != 7 || len(deleted) != 2 || deleted[0].ID != demoLog || *deleted[0].DaysLeft != 30 ||
		deleted[0].Events == 0 || deleted[0].First == nil {
		t.Errorf("got %+v", logs)
	}
	lines := w.lines(w.get(list+"/"+demoLog, account.GroupOwner))
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `"old"`) }) ||
		!slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "deleteGroupStreamWorkspace") }) {
		t.Errorf("the old log has %q", lines)
	}
	if got := want[page[logView]](t, 200, w.as(account.GroupDataAccessReadOnly,
		"GET", list, "")); len(got.Results) != 4 {
		t.Errorf("who is no owner sees %+v", got.Results)
	}
	refusedAs(t, 404, "LOG_NOT_FOUND", w.get(list+"/"+demoLog, account.GroupDataAccessReadOnly))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.get(list+"/"+demoLog, account.GroupReadOnly))
	refusedAs(t, 404, "GROUP_NOT_FOUND", w.get("/api/weir/v1/groups/"+otherID+"/logs/"+demoLog, account.GroupOwner))
}

func TestOperationalLog(t *testing.T) {
	w := newWorld(t, Options{})
	const path = groupV2 + "/streams/demo"
	rec := w.by(w.bearer(account.GroupOwner), "POST", path+":recordOperationalLogs", fmt.Sprintf(
		`[{"time":%d,"msg":"hello"},`+
			`{"t":{"$date":"2026-08-10T03:00:00.000+00:00"},"attr":{"streamProcessorName":"p1"}}]`, now.UnixMilli()))
	if got := want[recorded](t, 200, rec); got.Recorded != 2 {
		t.Errorf("got %+v", got)
	}
	rec = w.get(path+":downloadOperationalLogs?spName=p1", account.GroupOwner)
	if lines := w.lines(rec); len(lines) != 1 || !strings.Contains(lines[0], `"$date"`) {
		t.Errorf("got %q", lines)
	}
	rec = w.get(path+":downloadOperationalLogs", account.GroupOwner)
	if lines := w.lines(rec); len(lines) != 2 || !strings.Contains(lines[0]+lines[1], `"msg":"hello"`) {
		t.Errorf("got %q", lines)
	}
	if got := rec.Header().Get("Content-Type") + rec.Header().Get("Content-Disposition"); got !=
		`application/vnd.atlas.2025-03-12+gzip`+
			`attachment; filename="demo_2026-07-11T03:12:58Z_2026-08-10T03:12:58Z_queries.gz"` {
		t.Error(got)
	}
	rec = w.do("GET", path+":downloadOperationalLogs", "", "Accept: application/vnd.atlas.2023-02-01+gzip",
		"Authorization: "+w.bearer(account.GroupOwner))
	refusedAs(t, 406, "INVALID_VERSION_DATE", rec)
	if lines := w.lines(w.get(resource, account.GroupOwner)); !strings.Contains(lines[0], "downloadOperationalLogs") {
		t.Errorf("the attempt is recorded in the audit log: %q", lines)
	}
	refusedAs(t, 404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", w.get(path+"x:downloadOperationalLogs", account.GroupOwner))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupReadOnly, "POST", path+":recordOperationalLogs", `{}`))
}
