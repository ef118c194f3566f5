package atlas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A reply has no more items than may be asked for, however small they are.
func TestTinyItemsAreBounded(t *testing.T) {
	tiny := strings.Repeat("1,", maxItems) + "1"
	s := serving(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"results":[%s],"accessLogs":[%s]}`, tiny, tiny)
	})
	for _, kind := range []Kind{ProjectEvents, DatabaseAccess} {
		if err := fetchAll(t, s.unit(kind, string(kind)+"/x/y", placeOf("y")).Feed, io.Discard); !isIncomplete(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A second whose pages have ever more events is given up before they take much memory.
func TestEventsOfASecondAreBounded(t *testing.T) {
	pages := atomic.Int64{}
	s := serving(t, func(w http.ResponseWriter, r *http.Request) {
		items := []string{}
		for i := range eventsPerPage {
			items = append(items, fmt.Sprintf(`{"id":"%d-%d","more":"%s"}`, pages.Load(), i, strings.Repeat("x", 4096)))
		}
		pages.Add(1)
		fmt.Fprintf(w, `{"results":[%s],"totalCount":1000000}`, strings.Join(items, ","))
	})
	err := fetchAll(t, s.unit(ProjectEvents, "PROJECT_EVENTS/x/y", placeOf("y")).Feed, io.Discard)
	if !isTooMuch(err) {
		t.Error(err)
	}
	halvings, most := int64(20), int64(mostBytes/eventsPerPage/4096)
	if n := pages.Load(); n > halvings+most {
		t.Errorf("%d pages were read, want %d until a second is left, and %d of it", n, halvings, most)
	}
}

// A holder with as many bytes of replies as one may have waits, and others do not.
func TestRepliesOfOneHolderLeaveRoomForOthers(t *testing.T) {
	s := serving(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"results":[]}`) })
	memory := Memory()
	release, err := memory.Take(t.Context(), shortestMemory, "one")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(holder string, within time.Duration) error {
		o := s.options
		o.Memory, o.Holder = memory, holder
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := New(o).unit(ProjectEvents, "PROJECT_EVENTS/x/y", placeOf("y")).Feed.Fetch(ctx, window, io.Discard)
		return err
	}
	if err := ask("one", 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the holder of all that it may hold: %v", err)
	}
	if err := ask("other", time.Minute); err != nil {
		t.Errorf("another one: %v", err)
	}
	release()
	if err := ask("one", time.Minute); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
