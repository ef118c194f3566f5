package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

const (
	hecPath = "/api/weir/v1/groups/" + projectID + "/streams/demo/hec/services/collector"
	channel = "FE0ECFAD-13D5-401B-847D-77833BD77131"
)

// logged returns the events of senders in the workspace's log, as one text.
func (w *world) logged() string {
	w.t.Helper()
	return strings.Join(w.lines(w.get(resource, account.GroupOwner)), "")
}

// These are the encodings of senders: objects one after another, with and without space, curl's content type, and each
// name of the path.
func TestSplunkEventsAreRecordedOnce(t *testing.T) {
	w := newWorld(t, Options{})
	one, two := `{"time":1786331570.5,"event":"one"}`, `{"time":"1786331571","host":"h","event":{"a":1}}`
	for i, c := range []struct{ path, media, body string }{
		{"", "application/json", one + two},
		{"/event", "application/x-www-form-urlencoded", one + "\n" + two + "\n"},
		{"/event/1.0", "", two + " \r\n " + one},
	} {
		rec := w.send(hecPath+c.path, c.media, c.body)
		if rec.Code != 200 || rec.Body.String() != `{"text":"Success","code":0}` {
			t.Errorf("%d: %d %s", i, rec.Code, rec.Body)
		}
	}
	if text := w.logged(); strings.Count(text, `"hec":`) != 2 || !strings.Contains(text, `"time":1786331570500,`) {
		t.Error(text)
	}
}

// Equal events in one request are distinguished, also if the request is sent again. Events without a time are recorded
// each time, since they may be different.
func TestSplunkTwinsAreKept(t *testing.T) {
	w := newWorld(t, Options{})
	for range 2 {
		w.send(hecPath, "", strings.Repeat(`{"time":1786331570,"event":"timed"}`, 3))
		w.send(hecPath+"/raw?sourcetype=t", "", "line\nline\n\nother")
	}
	text := w.logged()
	for what, count := range map[string]int{`"message":"timed"`: 3, `"message":"line"`: 4, `"message":"other"`: 2,
		`"event_code":"t"`: 6} {
		if got := strings.Count(text, what); got != count {
			t.Errorf("%s: %d, want %d: %s", what, got, count, text)
		}
	}
}

// Senders say in the query what holds for all events. It is recorded, and a body that is not of the protocol is
// refused.
func TestSplunkQueryHoldsForAllEvents(t *testing.T) {
	w := newWorld(t, Options{})
	const query = "?auto_extract_timestamp=true&channel=" + channel +
		"&time=1786331570.25&host=h1&source=s1&sourcetype=t1&index=i1"
	for _, path := range []string{"", "/event", "/event/1.0"} {
		if rec := w.send(hecPath+path+query, "", `{"event":"one"}{"host":"h2","event":"two"}`); rec.Code != 200 {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	raw := strings.Replace(query, "auto_extract_timestamp=true&", "", 1)
	for _, path := range []string{"/raw", "/raw/1.0"} {
		if rec := w.send(hecPath+path+raw, "", "three"); rec.Code != 200 {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	text := w.logged()
	for what, count := range map[string]int{`"hec":`: 3, `"time":1786331570250,`: 3, `"host":"h1"`: 2, `"host":"h2"`: 1,
		`"source":"s1"`: 3, `"event_code":"t1"`: 3, `"index":"i1"`: 3} {
		if got := strings.Count(text, what); got != count {
			t.Errorf("%s: %d, want %d: %s", what, got, count, text)
		}
	}
	for _, wrong := range []string{"?time=soon", "?auto_extract_timestamp=maybe", "?hosts=h"} {
		if rec := w.send(hecPath+wrong, "", `{"event":"x"}`); rec.Code != 400 {
			t.Errorf("%s: %d %s", wrong, rec.Code, rec.Body)
		}
	}
}

// Elements that cannot be read are recorded. The reply has the number of the first element that is refused or
// incomplete, and the others are recorded.
func TestSplunkReplyNamesTheFirstThatIsNotTaken(t *testing.T) {
	w := newWorld(t, Options{MaxEventBytes: 1000})
	kept := `{"noevent":1}{"event":""}{"time":"soon","event":"x"}{"time":1,"event":"x"}`
	if rec := w.send(hecPath, "", kept); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	large := `{"event":"` + strings.Repeat("x", 2000) + `"}`
	rec := w.send(hecPath, "", `{"event":"before"}{"event":"too"}`+large+`{"event":"behind"}`)
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), `"code":6,"invalid-event-number":2}`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	rec = w.send(hecPath, "", `{"event":"whole"}{"event":"cut`)
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), `"code":6,"invalid-event-number":1}`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	text := w.logged()
	for what, count := range map[string]int{"Unread": 4, `"message":"before"`: 1, `"message":"behind"`: 1,
		`"message":"whole"`: 1} {
		if got := strings.Count(text, what); got != count {
			t.Errorf("%s: %d, want %d: %s", what, got, count, text)
		}
	}
}

// An acknowledgement is true as soon as it is issued, on every node, but only for its channel.
func TestSplunkAcknowledgements(t *testing.T) {
	w := newWorld(t, Options{})
	header := "X-Splunk-Request-Channel: " + channel
	var ids []int64
	for range 3 {
		reply := want[hecReply](t, 200, w.send(hecPath, "", `{"event":"x"}`, header))
		if reply.AckID == nil || *reply.AckID < 0 || *reply.AckID >= 1<<53 {
			t.Fatalf("%+v", reply)
		}
		ids = append(ids, *reply.AckID)
	}
	ask := func(channel string) map[string]bool {
		body := fmt.Sprintf(`{"acks":[%d,%d,%d,7,-1]}`, ids[0], ids[1], ids[2])
		return want[struct{ Acks map[string]bool }](t, 200, w.send(hecPath+"/ack?channel="+channel, "", body)).Acks
	}
	w.server = w.another()
	acks := ask(strings.ToLower(channel))
	for i, id := range append(ids, 7, -1) {
		if acks[fmt.Sprint(id)] != (i < 3) {
			t.Errorf("%d: %v", id, acks)
		}
	}
	for id, ack := range ask("00000000-0000-0000-0000-000000000000") {
		if ack {
			t.Errorf("%s is acknowledged in another channel", id)
		}
	}
}

func TestSplunkErrors(t *testing.T) {
	w := newWorld(t, Options{MaxRequestEvents: 2})
	for i, c := range []struct {
		path, body, header string
		status, code       int
	}{
		{"", "", "", 400, 5},
		{"/raw", "\n\n", "", 400, 5},
		{"", "[1]", "", 200, 0}, // recorded
		{"", "x", "", 400, 6},
		{"", `{"event":1}{"event":1}{"event":1}`, "", 413, 27},
		{"", `{"event":1}`, "X-Splunk-Request-Channel: 7", 400, 11},
		{"/ack", `{"acks":[1]}`, "", 400, 10},
		{"/ack?channel=" + channel, `{`, "", 400, 6},
		{"/raw?host=" + strings.Repeat("x", 300), "x", "", 400, 6},
		{"?host=" + strings.Repeat("%01", 50), `{"event":1}`, "", 400, 6},
	} {
		var headers []string
		if c.header != "" {
			headers = append(headers, c.header)
		}
		rec := w.send(hecPath+c.path, "", c.body, headers...)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), fmt.Sprintf(`"code":%d`, c.code)) {
			t.Errorf("%d: %d %s, want %d, code %d", i, rec.Code, rec.Body, c.status, c.code)
		}
	}
	if rec := w.do(post, hecPath, `{"event":1}`); rec.Code != 401 || !strings.Contains(rec.Body.String(), `"code":2`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	token := w.ingestToken(`{"name":"x"}`).Token
	wrong := w.do(post, hecPath, `{"event":1}`, "Authorization: Splunk "+token[:50])
	if wrong.Code != 401 || !strings.Contains(wrong.Body.String(), `"code":4`) {
		t.Errorf("%d %s", wrong.Code, wrong.Body)
	}
	right := w.do(get, hecPath+"/health", "", "Authorization: Splunk "+token)
	if right.Code != 200 || !strings.Contains(right.Body.String(), `"code":17`) {
		t.Errorf("%d %s", right.Code, right.Body)
	}
}
