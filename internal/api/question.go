package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
)

// question is a search of a project's events.
type question struct {
	search.Question
	text string    // the query as the client sent it
	now  time.Time // meaning of "now" in the query
	logs []keptLog // logs to search

	after []byte // where the page begins, from a cursor; nil at the beginning

	asked []byte // digest of the request's text that says which events are meant
}

// continuation is a text from an earlier reply to the same question, which a client sends back. The next reply
// continues there, and the question is not recorded again.
type continuation struct {
	Caller   string `json:"c"`           // id of the credential
	Asked    []byte `json:"q"`           // see question
	Logs     []byte `json:"l"`           // digest of the logs that were searched
	Now      int64  `json:"n"`           // meaning of "now", milliseconds since the epoch
	Recorded int64  `json:"r"`           // when the question was recorded, seconds since the epoch
	Counted  bool   `json:"s,omitempty"` // it was recorded as a question for counts, which covers no reading of events
	Position []byte `json:"p,omitempty"` // of a cursor: where the next page begins
}

// Purposes of references.
const (
	readReference   = "read"
	cursorReference = "cursor"
)

// remembered is the time after which a question is recorded again, since its continuations are no longer valid.
const remembered = time.Hour

// clockSkew is how far the clock of the node that recorded a question may be ahead.
const clockSkew = time.Minute

// ask parses the question of a request. A continuation of another credential or question is ignored.
func (h events) ask(c *call) (*question, error) {
	q := &question{text: c.query.Get("q"), now: c.now, asked: askedFor(c)}
	last, purpose := h.given(c, q.asked)
	if last != nil {
		q.now = time.UnixMilli(last.Now)
	}
	parsed, err := query.Parse(q.text)
	if wrong, ok := errors.AsType[*query.Error](err); ok {
		return nil, invalidQuery(field{"q", wrong.Error()})
	}
	if err != nil {
		return nil, err
	}
	q.Query = parsed.Resolve(q.now)
	if q.Start, q.End, err = momentsOf(c, q.now); err != nil {
		return nil, err
	}
	if q.logs, err = logsAskedFor(c); err != nil {
		return nil, err
	}
	for _, l := range q.logs {
		q.Logs = append(q.Logs, l.id)
	}
	slices.Sort(q.Logs)
	c.question = q
	h.resume(c, last, q.Logs)
	if purpose == cursorReference {
		q.after = last.Position
	}
	return q, nil
}

// askedFor returns a digest of the part of a request that says which events it means.
func askedFor(c *call) []byte {
	logs := slices.Sorted(slices.Values(c.query["log"]))
	kind := "" // a tail is about future events, other questions about past ones, so they do not share continuations
	if c.operation.audit.event == tailOperation {
		kind = tailOperation
	}
	parts := append([]string{kind, c.path("groupId"), c.query.Get("q"), c.query.Get("startDate"), c.query.Get("endDate")},
		slices.Compact(logs)...)
	return digestOf(parts)
}

func digestOf(texts []string) []byte {
	data, _ := json.Marshal(texts) // strings cannot fail
	sum := sha256.Sum256(data)
	return sum[:16]
}

// momentsOf returns the time range of a request, in milliseconds since the epoch. As for a download, the default is 30
// days.
func momentsOf(c *call, now time.Time) (start, end int64, err error) {
	until := now.Add(time.Millisecond)
	if text := c.query.Get("endDate"); text != "" {
		_, until, _ = parseMoment(text, now)
	}
	since := until.Add(-defaultRange * time.Second)
	if text := c.query.Get("startDate"); text != "" {
		since, _, _ = parseMoment(text, now)
	}
	if since.After(until) {
		return 0, 0, invalid("Invalid query parameters.",
			field{"startDate", fmt.Sprintf("must not be later than endDate (%s)", until.UTC().Format(time.RFC3339Nano))})
	}
	return max(since.UnixMilli(), minDate*1000), min(until.UnixMilli(), (maxDate+1)*1000), nil
}

// parseMoment parses a time in seconds since the epoch, or in the syntax of the query language. It returns an interval
// [from, to).
func parseMoment(text string, now time.Time) (from, to time.Time, ok bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		from = time.Unix(n, 0)
		return from, from.Add(time.Second), wantDate(text) == ""
	}
	return query.ParseTime(text, now)
}

// wantMoment says what is expected if a time is invalid.
func wantMoment(value string) string {
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return wantDate(value)
	}
	if _, _, ok := query.ParseTime(value, time.Unix(minDate, 0)); ok || value == "" {
		return ""
	}
	return fmt.Sprintf("must be seconds since the epoch, or a time such as 2026-11-01, 2026-11-01T10:30Z or now-1d, "+
		"not %s", quoted(value))
}

// logsAskedFor returns the logs that a request names, or all logs that the caller may read.
func logsAskedFor(c *call) ([]keptLog, error) {
	all := slices.DeleteFunc(projectLogs(c.scope.project), func(l keptLog) bool { return !c.mayRead(l) })
	named := c.query["log"]
	if len(named) == 0 {
		return all, nil
	}
	var some []keptLog
	for _, id := range named {
		i := slices.IndexFunc(all, func(l keptLog) bool { return l.id == id })
		if i < 0 {
			return nil, logNotFound(id)
		}
		if !slices.ContainsFunc(some, func(l keptLog) bool { return l.id == id }) {
			some = append(some, all[i])
		}
	}
	return some, nil
}

// references makes the texts that clients send back.
type references struct{ auth *auth.Authenticator }

// resume notes in the call whether the question was recorded before, as a continuation says, which may be nil.
func (h references) resume(c *call, last *continuation, logs []string) {
	c.recorded, c.counted = c.now, c.operation.counts()
	if last == nil || !slices.Equal(last.Logs, digestOf(logs)) {
		return
	}
	recorded := time.Unix(last.Recorded, 0)
	if age := c.now.Sub(recorded); age > -clockSkew && age < remembered {
		c.continues, c.recorded, c.counted = true, recorded, last.Counted
	}
}

// given returns the continuation in a request, and its purpose. If the request has none that the caller got for this
// question, it returns nil.
func (h references) given(c *call, asked []byte) (*continuation, string) {
	for _, purpose := range []string{cursorReference, readReference} {
		data, ok := h.auth.Referred(purpose, c.query.Get(purpose))
		last := new(continuation)
		if ok && json.Unmarshal(data, last) == nil && last.Caller == c.caller.ID && slices.Equal(last.Asked, asked) &&
			(c.operation.counts() || !last.Counted) {
			return last, purpose
		}
	}
	return nil, ""
}

// refer returns a reference to a question that is being answered.
func (h events) refer(c *call, q *question, purpose string, position []byte) string {
	return h.give(purpose, continuation{Caller: c.caller.ID, Asked: q.asked, Logs: digestOf(q.Logs),
		Now: q.now.UnixMilli(), Recorded: c.recorded.Unix(), Counted: c.counted, Position: position})
}

func (h references) give(purpose string, what continuation) string {
	data, _ := json.Marshal(what) // cannot fail
	return h.auth.Refer(purpose, data)
}

// witnesses returns the logs that record the question, without duplicates: for a log of a workspace its audit log, and
// otherwise the log itself.
func (q *question) witnesses() []string {
	var logs []string
	for _, l := range q.logs {
		id := l.id
		if l.workspace != nil {
			id = l.workspace.AuditLog
		}
		if !slices.Contains(logs, id) {
			logs = append(logs, id)
		}
	}
	return logs
}
