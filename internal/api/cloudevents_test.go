package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

func (w *world) send(target, media, body string, headers ...string) *httptest.ResponseRecorder {
	return w.do(post, target, body, append([]string{"Content-Type: " + media,
		"Authorization: " + w.bearer(account.GroupAuditLogWriter)}, headers...)...)
}

const cloudEvent = `{"specversion":"1.0","id":"ID","source":"/robots","type":"robot.fell"}`

// A CloudEvent that is sent again is recorded once, in any batch, with or without a time.
func TestCloudEventIsRecordedOnce(t *testing.T) {
	w := newWorld(t, Options{})
	one, two := strings.Replace(cloudEvent, "ID", "1", 1),
		strings.Replace(cloudEvent, `"ID"`, `"2","time":"2026-08-10T03:00:00Z"`, 1)
	for i, c := range []struct {
		media, body string
		recorded    int
	}{
		{"application/cloudevents+json", one, 1},
		{"application/cloudevents+json; charset=utf-8", one, 0},
		{"application/cloudevents-batch+json", "[" + two + "," + one + "]", 1},
		{"application/cloudevents-batch+json", "[" + one + "," + two + "," + two + "]", 0},
	} {
		got := want[recorded](t, 200, w.send(resource, c.media, c.body))
		if got.Recorded != c.recorded || got.Unread != 0 || got.Conflicts != 0 {
			t.Errorf("%d: %+v, want %d recorded", i, got, c.recorded)
		}
	}
}

// Elements that are not CloudEvents are recorded too, and are named and counted in the reply.
func TestWhatIsNoCloudEventIsKept(t *testing.T) {
	w := newWorld(t, Options{})
	deep := strings.Replace(cloudEvent, `"ID"`, `"3","data":`+strings.Repeat("[", 70)+strings.Repeat("]", 70), 1)
	twice := strings.Replace(cloudEvent, `"ID"`, `"4","x":1,"x":2`, 1)
	body := `[7,{"id":"x"},` + strings.Replace(cloudEvent, "ID", "1", 1) + "," + deep + "," + twice + "]"
	got := want[recorded](t, 200, w.send(resource, "application/cloudevents-batch+json", body))
	if got.Recorded != 5 || got.Unread != 4 || len(got.Warnings) != 4 || got.Warnings[0].Field != "element 1" {
		t.Errorf("%+v", got)
	}
	again := want[recorded](t, 200, w.send(resource, "application/cloudevents-batch+json", body))
	if again.Duplicates != 1 || again.Recorded != 4 { // duplicates cannot be found among elements that cannot be read
		t.Errorf("%+v", again)
	}
	text := strings.Join(w.lines(w.get(resource, account.GroupOwner)), "")
	for _, kept := range []string{`"raw_data":"7"`, `"raw_data":"{\"id\":\"x\"}"`, `"raw_data":"{\"specversion\":`} {
		if !strings.Contains(text, kept) {
			t.Errorf("%s is not there: %s", kept, text)
		}
	}
}

// Only elements that exceed the limits, and bodies that are not JSON, are refused.
func TestCloudEventsBeyondLimitsAreRefused(t *testing.T) {
	w := newWorld(t, Options{MaxEventBytes: 1000, MaxRequestEvents: 3})
	large := strings.Replace(cloudEvent, "ID", strings.Repeat("x", 1000), 1)
	for body, code := range map[string]int{large: 400, "{": 400, "[7,7,7,7]": 413, "": 400} {
		if rec := w.send(resource, "application/cloudevents-batch+json", body); rec.Code != code {
			t.Errorf("%.20s: %d %s, want %d", body, rec.Code, rec.Body, code)
		}
	}
	got := want[recorded](t, 200, w.send(resource+"?partial=true", "application/cloudevents-batch+json",
		"["+large+","+cloudEvent+"]"))
	if got.Recorded != 1 || *got.Rejected != 1 {
		t.Errorf("%+v", got)
	}
}
