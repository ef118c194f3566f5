package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const followedLog = "6a793f48c0eb9e7a17712f00"

// followed is a log that is followed: its entries from first up to next, of which a reply has two.
type followed struct {
	first, next int64
	broken      int // replies that are to be broken off
	idle        func(r *http.Request)
	answering   sync.Mutex // A reply that nobody waits for any more may still be on its way.
}

func (l *followed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.answering.Lock()
	defer l.answering.Unlock()
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/groups/p/logs/"+followedLog+"/entries") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if from < l.first {
		w.Header().Set("Weir-Next", fmt.Sprint(l.first))
		w.WriteHeader(http.StatusGone)
		io.WriteString(w, `{"detail":"Retention has removed entries.","errorCode":"ENTRIES_REMOVED"}`)
		return
	}
	if from == l.next && l.idle != nil {
		l.idle(r)
	}
	var body bytes.Buffer
	next := min(from+2, l.next)
	for i := from; i < next; i++ {
		fmt.Fprintf(&body, `{"index":%d,"event":{}}`+"\n", i)
	}
	w.Header().Set("Weir-Next", fmt.Sprint(next))
	w.Header().Set("Weir-Read", "read")
	if l.broken > 0 {
		l.broken--
		w.Header().Set("Content-Length", fmt.Sprint(body.Len()))
		w.Write(body.Bytes()[:body.Len()-3])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(body.Bytes())
}

// linesOf returns what follow prints of entries.
func linesOf(from, to int) (text string) {
	for i := from; i < to; i++ {
		text += fmt.Sprintf(`{"index":%d,"event":{}}`+"\n", i)
	}
	return text
}

// nextIn returns which entry a state file says comes next.
func nextIn(t *testing.T, state string) int64 {
	t.Helper()
	var s followState
	data, err := os.ReadFile(state)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Next
}

func followArguments(state string, more ...string) []string {
	return append([]string{"follow", "--log", followedLog, "--state", state}, more...)
}

// What retention has removed is said, and what is behind it follows.
func TestFollowGoesOnBehindWhatRetentionRemoved(t *testing.T) {
	log := &followed{first: 5, next: 8}
	run := toServer(t, log.ServeHTTP)
	state := filepath.Join(t.TempDir(), "state")
	code, stdout, stderr := run(followArguments(state, "--once", "--from", "2")...)
	if code != 0 || stdout != linesOf(5, 8) || nextIn(t, state) != 8 ||
		stderr != "retention has removed entries 2 to 4 before they were read\n" {
		t.Errorf("status %d, next %d: %s%s", code, nextIn(t, state), stdout, stderr)
	}
	log.first, log.next = 20, 21
	code, stdout, stderr = run(followArguments(state, "--once", "--from", "2")...) // --from is for the first time
	if code != 0 || stdout != linesOf(20, 21) || !strings.Contains(stderr, "removed entries 8 to 19") {
		t.Errorf("status %d: %s%s", code, stdout, stderr)
	}
}

// A reply that breaks off is asked for again, and nothing of it is printed.
func TestFollowAsksAgainForWhatBreaksOff(t *testing.T) {
	log := &followed{next: 5, broken: 1}
	run := toServer(t, log.ServeHTTP)
	code, stdout, stderr := run(followArguments(filepath.Join(t.TempDir(), "state"), "--once")...)
	if code != 0 || stdout != linesOf(0, 5) || log.broken != 0 {
		t.Errorf("status %d: %s%s", code, stdout, stderr)
	}
}

// full is a writer that takes so many writes.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f--; *f < 0 {
		return 0, errors.New("no room")
	}
	return len(p), nil
}

// The state says no more than what was printed, also if printing fails.
func TestFollowNotesOnlyWhatItPrinted(t *testing.T) {
	log := &followed{next: 9}
	toServer(t, log.ServeHTTP)
	state := filepath.Join(t.TempDir(), "state")
	out, stderr := full(3), new(bytes.Buffer)
	code := run(t.Context(), followArguments(state, "--once"), &out, stderr)
	if code != 1 || !strings.Contains(stderr.String(), "no room") || nextIn(t, state) != 6 {
		t.Errorf("status %d, next %d: %s", code, nextIn(t, state), stderr)
	}
}

// An interrupt ends follow, with nothing to complain of, and the next one goes on.
func TestFollowEndsWithAnInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	log := &followed{next: 3, idle: func(r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}}
	again := toServer(t, log.ServeHTTP)
	state := filepath.Join(t.TempDir(), "state")
	var stdout, stderr bytes.Buffer
	if code := run(ctx, followArguments(state), &stdout, &stderr); code != 0 || stdout.String() != linesOf(0, 3) ||
		stderr.Len() > 0 || nextIn(t, state) != 3 {
		t.Errorf("status %d, next %d: %s%s", code, nextIn(t, state), &stdout, &stderr)
	}
	log.answering.Lock()
	log.next, log.idle = 5, nil
	log.answering.Unlock()
	if code, more, stderr := again(followArguments(state, "--once")...); code != 0 || more != linesOf(3, 5) {
		t.Errorf("status %d: %s%s", code, more, stderr)
	}
}

func TestFollowRefusesTheStateOfAnotherServer(t *testing.T) {
	log := &followed{next: 3}
	state := filepath.Join(t.TempDir(), "state")
	if code, _, stderr := toServer(t, log.ServeHTTP)(followArguments(state, "--once")...); code != 0 {
		t.Fatal(stderr)
	}
	code, stdout, stderr := toServer(t, log.ServeHTTP)(followArguments(state, "--once")...)
	if code != 2 || stdout != "" || !strings.Contains(stderr, "is the state file of http") {
		t.Errorf("status %d: %s%s", code, stdout, stderr)
	}
}

// That no entry comes for a while is nothing to tell; that no answer can be had is.
func TestFollowTellsOfFailuresOnly(t *testing.T) {
	var told []error
	tell := failures(func(_ time.Duration, last error) { told = append(told, last) })
	broken := errors.New("broken")
	tell(time.Minute, nil)
	if tell(time.Minute, broken); len(told) != 1 || !errors.Is(told[0], broken) {
		t.Errorf("told of %v", told)
	}
}
