package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

const (
	entriesPath = "/api/weir/v1/groups/" + projectID + "/logs/" + demoLog + "/entries"
)

// indexes returns the indexes of the entries in a reply.
func indexes(t testing.TB, rec *httptest.ResponseRecorder) (all []int64) {
	t.Helper()
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for line := range bytes.Lines(rec.Body.Bytes()) {
		var e struct {
			Index int64
			Event json.RawMessage
		}
		if err := json.Unmarshal(line, &e); err != nil || len(e.Event) == 0 {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e.Index)
	}
	return all
}

func TestEntriesFollowEachOther(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(25)
	w.sequence()
	w.fill(27) // of which two wait to be sequenced
	next, read, got := "0", "", []int64(nil)
	for range 10 {
		rec := w.get(asking(entriesPath, "from="+next, "limit=10", "read="+read), account.GroupOwner)
		some := indexes(t, rec)
		if got = append(got, some...); len(some) > 10 {
			t.Errorf("%d entries", len(some))
		}
		if next = rec.Header().Get("Weir-Next"); len(some) == 0 {
			break
		}
		read = rec.Header().Get("Weir-Read")
	}
	for i, index := range got {
		if index != int64(i) {
			t.Fatalf("entry %d follows entry %d", index, i-1)
		}
	}
	if len(got) != 25 || next != "25" {
		t.Errorf("%d entries, the next is %s", len(got), next)
	}
	if n, _ := w.reads("readEntries"); n != 1 {
		t.Errorf("%d events of one read", n)
	}
	w.get(entriesPath, account.GroupOwner)
	if n, _ := w.reads("readEntries"); n != 2 {
		t.Errorf("%d events of two reads", n)
	}
	foreign := w.get(asking(strings.Replace(entriesPath, "f00", "f02", 1), "read="+read), account.GroupOwner)
	if foreign.Code != 200 {
		t.Fatal(foreign.Body)
	}
	lines := w.lines(w.get(strings.Replace(resource, "demo", "strict", 1), account.GroupOwner))
	if len(lines) == 0 || !strings.Contains(lines[0], `"operation":"readEntries"`) {
		t.Errorf("a read of another log with the reference is no event: %s", lines)
	}
}

func TestWaitingForAnEntry(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	w.sequence()
	token := w.bearer(account.GroupOwner)
	replies := make(chan *httptest.ResponseRecorder)
	ask := func() {
		r := httptest.NewRequest("GET", asking(entriesPath, "from=3", "wait=60"), nil)
		r.Header.Set("Authorization", token)
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		replies <- rec
	}
	go ask()
	w.record(eventLine("late", now.UnixMilli()), account.GroupOwner)
	w.sequence()
	rec := <-replies
	if got := indexes(t, rec); len(got) == 0 || got[0] != 3 {
		t.Errorf("entries %d", got)
	}
	next := rec.Header().Get("Weir-Next")
	w.server.Stop()
	rec = w.get(asking(entriesPath, "from="+next, "wait=60"), account.GroupOwner) // comes back at once
	if got := indexes(t, rec); len(got) > 0 && rec.Header().Get("Weir-Next") == next {
		t.Errorf("entries %d", got)
	}
}

// Who comes too late learns where to go on.
func TestEntriesThatAreGoneAreNamed(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(5)
	w.sequence()
	if p, err := w.server.logs.PruneTo(t.Context(), demoLog, math.MaxInt64, 3); err != nil || p.Entries != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	rec := w.get(entriesPath, account.GroupOwner)
	if rec.Code != 410 || rec.Header().Get("Weir-Next") != "3" || !strings.Contains(rec.Body.String(), "ENTRIES_REMOVED") {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	if got := indexes(t, w.get(asking(entriesPath, "from=3"), account.GroupOwner)); fmt.Sprint(got) != "[3 4]" {
		t.Errorf("entries %d", got)
	}
	if rec := w.get(asking(entriesPath, "from=99"), account.GroupOwner); !namesParameter(rec, "from") {
		t.Errorf("beyond the end: %d %s", rec.Code, rec.Body)
	}
}
