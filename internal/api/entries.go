package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/tlog"
)

// entries are the operations that read a log from an entry on, for clients that must get every entry exactly once.
type entries struct {
	references
	logs     *tlog.Logs
	waiters  *limit.Shares[string]
	ends     *ends
	stopping context.Context // ends when requests must not wait any more
}

const (
	maxWait         = 60   // seconds for which a request may wait for an entry
	maxWaiters      = 1000 // requests that may wait at a time
	maxWaitersOfOne = 32   // of one credential
	entriesBytes    = 4 << 20
)

// read returns the sequenced entries from an index on, in order.
func (h entries) read(c *call) (result, error) {
	log := c.scope.log.id
	asked := digestOf([]string{"entries", log})
	last, _ := h.given(c, asked)
	h.resume(c, last, []string{log})
	from, most := c.integer("from", 0), int(c.integer("limit", 1000))
	reader, err := h.await(c, log, from)
	if err != nil {
		return nil, err
	}
	switch first, next := reader.First(), reader.Next(); {
	case from < first:
		return nil, entriesRemoved(from, first)
	case from > next:
		return nil, invalidQuery(field{"from", fmt.Sprintf("is beyond the end of the log, whose next entry is %d", next)})
	}
	body, next, err := h.collect(c, reader, from, most)
	if errors.Is(err, tlog.ErrPruned) { // removed since the reader was made
		if reader, err = h.logs.ReadSequenced(c.context(), log, tlog.All); err == nil {
			return nil, entriesRemoved(from, reader.First())
		}
	}
	if err != nil {
		return nil, err
	}
	read := h.give(readReference, continuation{Caller: c.caller.ID, Asked: asked, Logs: digestOf([]string{log}),
		Recorded: c.recorded.Unix()})
	return withHeaders{&text{ndjson, "no-store", body},
		http.Header{"Weir-Next": {strconv.FormatInt(next, 10)}, "Weir-Read": {read}, "Weir-Log": {log}}}, nil
}

// await returns a reader of a log. If there is no entry from an index on, it waits for one, as long as the request
// says.
func (h entries) await(c *call, log string, from int64) (*tlog.Reader, error) {
	r, err := h.logs.ReadSequenced(c.context(), log, tlog.All)
	wait := time.Duration(c.integer("wait", 0)) * time.Second
	if err != nil || r.Next() != from || wait == 0 {
		return r, err
	}
	ctx, cancel := context.WithTimeout(c.context(), wait)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	err = h.waitFor(ctx, c.holders(), log, from)
	if errors.Is(err, limit.ErrBusy) {
		return nil, tooManyWaiters()
	}
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	return h.logs.ReadSequenced(c.context(), log, tlog.All) // returns an error if the request's context has ended
}

// waitFor returns nil when a log has an entry at an index. If ctx ends first, it returns an error.
func (h entries) waitFor(ctx context.Context, holders []string, log string, index int64) error {
	release, err := h.waiters.Take(ctx, 1, holders...)
	if err != nil {
		return err
	}
	defer release()
	end, leave := h.ends.join(log)
	defer leave()
	tick := time.NewTicker(lookEvery / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if next, err := h.ends.of(ctx, log, end); err != nil || next > index {
			return err
		}
	}
}

// errEnough ends a read when the reply is full.
var errEnough = errors.New("enough")

// collect returns lines with the entries from an index on, and the index after them. If retention has removed the first
// of them, it returns an error.
func (h entries) collect(c *call, r *tlog.Reader, from int64, most int) (body []byte, next int64, err error) {
	next = from
	err = r.EachBlock(c.context(), from, func(all []tlog.Indexed) error {
		for _, e := range all {
			if most == 0 || len(body) > 0 && len(body)+len(e.Line) > entriesBytes {
				return errEnough
			}
			body = append(strconv.AppendInt(append(body, `{"index":`...), e.Index, 10), `,"event":`...)
			body = append(append(body, e.Line[:len(e.Line)-1]...), "}\n"...)
			most, next = most-1, e.Index+1
		}
		return nil
	})
	if errors.Is(err, errEnough) || errors.Is(err, tlog.ErrPruned) && next > from {
		err = nil
	}
	return body, next, err
}

func entriesRemoved(from, first int64) *problem {
	return &problem{status: http.StatusGone, code: "ENTRIES_REMOVED", parameters: []any{first},
		headers: http.Header{"Weir-Next": {strconv.FormatInt(first, 10)}},
		detail:  fmt.Sprintf("Retention has removed entries from %d on. The oldest entry left is %d.", from, first)}
}

func tooManyWaiters() *problem {
	return &problem{status: http.StatusTooManyRequests, code: "TOO_MANY_WAITING", retryAfter: time.Second,
		detail: "Too many requests of this credential wait for entries already. Please retry when some have ended."}
}
