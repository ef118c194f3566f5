package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Question asks for events of a project (weir only).
type Question struct {
	Project string   // id
	Text    string   // query, as docs/search.md describes; if empty, it matches all events
	Logs    []string // ids; if empty, all logs that the caller may read
	Query            // range of time; Processor is ignored
}

func (q Question) path() string {
	return "/api/weir/v1/groups/" + url.PathEscape(q.Project) + "/events"
}

func (q Question) values() url.Values {
	v := q.Query.values()
	v.Del("spName")
	if q.Text != "" {
		v.Set("q", q.Text)
	}
	for _, log := range q.Logs {
		v.Add("log", log)
	}
	return v
}

// Found is an event that matches.
type Found struct {
	Log   string          `json:"log"`   // id
	Index *int64          `json:"index"` // index of its entry in the log; nil until it is sequenced
	Event json.RawMessage `json:"event"` // the bytes that were recorded
}

// Page is a part of the events that match, in order.
type Page struct {
	Results []Found `json:"results"` // the events, in the order that Find was asked for
	Cursor  string  `json:"cursor"`  // cursor of the next page; empty if there is none
	Hints   []Hint  `json:"hints"`   // only if nothing matches
}

// Hint names a field of a query that no event has.
type Hint struct {
	Field string   `json:"field"` // as the query names it
	Near  []string `json:"near"`  // fields that may be meant, the most likely first
}

// Find returns a page of at most limit events (at most 10,000). An empty cursor requests the first page; otherwise
// cursor is that of the previous page. The newest events come first, or the oldest if oldest is set. An error reply of
// the server is an *Error.
func (c *Client) Find(ctx context.Context, q Question, oldest bool, limit int, cursor string) (*Page, error) {
	v := q.values()
	v.Set("limit", strconv.Itoa(limit))
	if oldest {
		v.Set("order", "oldest")
	}
	if cursor != "" {
		v.Set("cursor", cursor)
	}
	p := new(Page)
	return p, c.callInto(ctx, q.path(), v, p)
}

// Outline says what a Summary contains. A zero field means the server's default.
type Outline struct {
	Bars   int      // maximum number of bars of the histogram
	Zone   string   // name of the time zone to which the bars are aligned
	Facets []string // fields and aliases whose values are counted
	Top    int      // number of values for each facet
}

// Summary counts the events that match, over time and by value.
type Summary struct {
	Total     int64   `json:"total"`     // number of events that match
	Start     string  `json:"startDate"` // RFC 3339
	End       string  `json:"endDate"`   // RFC 3339; the last moment of the range
	Histogram []Bar   `json:"histogram"` // in the order of time
	Facets    []Facet `json:"facets"`    // one for each field of the Outline
	Hints     []Hint  `json:"hints"`     // only if nothing matches
}

// Bar is a bar of a histogram. It ends where the next one begins.
type Bar struct {
	Start string `json:"start"` // RFC 3339
	Count int64  `json:"count"` // number of events
}

// Facet counts the values of a field.
type Facet struct {
	Field  string `json:"field"` // field or alias
	Values []struct {
		Value any   `json:"value"` // a string, a json.Number or a boolean
		Count int64 `json:"count"`
	} `json:"values"`
	Other   int64 `json:"other"`         // number of occurrences of all other values
	Missing int64 `json:"missing"`       // number of events without a value
	TooMany bool  `json:"tooManyValues"` // If set, there were too many values to count them, and Values is nil.
}

// Summarize returns the summary of a question, and the reply as the server sent it. An error reply of the server is an
// *Error.
func (c *Client) Summarize(ctx context.Context, q Question, o Outline) (*Summary, json.RawMessage, error) {
	v := q.values()
	for name, n := range map[string]int{"buckets": o.Bars, "top": o.Top} {
		if n > 0 {
			v.Set(name, strconv.Itoa(n))
		}
	}
	if o.Zone != "" {
		v.Set("timeZone", o.Zone)
	}
	if len(o.Facets) > 0 {
		v.Set("facets", strings.Join(o.Facets, ","))
	}
	data, err := c.Call(ctx, http.MethodGet, q.path()+":summary", v, nil)
	if err != nil {
		return nil, nil, err
	}
	s := new(Summary)
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(s); err != nil {
		return nil, nil, fmt.Errorf("the server's reply: %w", err)
	}
	return s, data, nil
}

// callInto reads a resource into v.
func (c *Client) callInto(ctx context.Context, path string, query url.Values, v any) error {
	data, err := c.Call(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("the server's reply: %w", err)
	}
	return nil
}

// LogsOf returns the ids of the logs of a workspace that the caller may read: the audit log and the operational log. It
// returns none if there is no such workspace.
func (c *Client) LogsOf(ctx context.Context, project, workspace string) ([]string, error) {
	all, err := c.logsOf(ctx, project, workspace)
	var ids []string
	for _, log := range all {
		ids = append(ids, log.ID)
	}
	return ids, err
}

// AuditLogOf returns the id of the audit log of a workspace, or "" if there is no such workspace.
func (c *Client) AuditLogOf(ctx context.Context, project, workspace string) (string, error) {
	all, err := c.logsOf(ctx, project, workspace)
	for _, log := range all {
		if log.Kind == "audit" {
			return log.ID, nil
		}
	}
	return "", err
}

type listedLog struct {
	ID        string `json:"logId"`
	Kind      string `json:"kind"`
	Workspace string `json:"workspaceName"`
	State     string `json:"state"`
}

func (c *Client) logsOf(ctx context.Context, project, workspace string) ([]listedLog, error) {
	items, err := c.List(ctx, "/api/weir/v1/groups/"+url.PathEscape(project)+"/logs", nil)
	if err != nil {
		return nil, err
	}
	var logs []listedLog
	for _, item := range items {
		var log listedLog
		if err := json.Unmarshal(item, &log); err != nil {
			return nil, fmt.Errorf("the server's reply: %w", err)
		}
		if log.Workspace == workspace && log.State == "active" {
			logs = append(logs, log)
		}
	}
	return logs, nil
}

// ExportOptions say how events are exported.
type ExportOptions struct {
	Format  string   // csv, ndjson or parquet
	Columns []string // if empty, the usual columns
	Raw     bool     // CSV: leave cells as they are that a spreadsheet would take for formulas
	BOM     bool     // CSV: begin with a byte-order mark
}

// Exported is the body of an export. If reading it ends without an error, it is complete.
type Exported struct {
	io.ReadCloser
	Total int64 // approximate number of events; -1 if the server does not report it
}

// Export requests all events that match, as a table. An error reply of the server is an *Error. The caller closes the
// Exported.
func (c *Client) Export(ctx context.Context, q Question, o ExportOptions) (*Exported, error) {
	req, err := c.request(ctx, http.MethodGet, q.path()+":export", nil)
	if err != nil {
		return nil, err
	}
	v := q.values()
	v.Set("format", o.Format)
	if len(o.Columns) > 0 {
		v.Set("columns", strings.Join(o.Columns, ","))
	}
	for name, on := range map[string]bool{"raw": o.Raw, "bom": o.BOM} {
		if on {
			v.Set(name, "true")
		}
	}
	req.URL.RawQuery = v.Encode()
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	e := &Exported{resp.Body, -1}
	if n, err := strconv.ParseInt(resp.Header.Get("Weir-Total"), 10, 64); err == nil {
		e.Total = n
	}
	return e, nil
}

// Entries is a run of consecutive entries of a log.
type Entries struct {
	Lines []byte // {"index":N,"event":{…}} for each entry, ended by '\n'
	Next  int64  // index of the first entry behind them
	Read  string // pass it to the next call of Entries, so that both count as one read
}

// ErrRemoved is returned (wrapped, with a *RemovedError) if retention has removed requested entries.
var ErrRemoved = errors.New("retention has removed the entries")

// RemovedError says with which entry a log begins now.
type RemovedError struct{ First int64 }

func (e *RemovedError) Error() string {
	return fmt.Sprintf("%v: the oldest that still exists is %d", ErrRemoved, e.First)
}
func (e *RemovedError) Unwrap() error { return ErrRemoved }

// Entries returns at most limit (at most 10,000) sequenced entries of a log from an index on. Source.LogPath returns
// logPath. If there is no entry yet, Entries waits up to wait (at most a minute) for one. An error reply of the server
// is an *Error, or ErrRemoved.
func (c *Client) Entries(ctx context.Context, logPath string, from int64, limit int, wait time.Duration,
	read string) (*Entries, error) {
	req, err := c.request(ctx, http.MethodGet, logPath+"/entries", nil)
	if err != nil {
		return nil, err
	}
	v := url.Values{"from": {strconv.FormatInt(from, 10)}, "limit": {strconv.Itoa(limit)},
		"wait": {strconv.Itoa(int(wait.Seconds()))}}
	if read != "" {
		v.Set("read", read)
	}
	req.URL.RawQuery = v.Encode()
	resp, err := c.do(req)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusGone && e.Next >= from {
		return nil, &RemovedError{e.Next}
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	e := &Entries{Read: resp.Header.Get("Weir-Read")}
	if e.Next, err = strconv.ParseInt(resp.Header.Get("Weir-Next"), 10, 64); err != nil || e.Next < from {
		return nil, fmt.Errorf("the server's reply: the next entry is %.40q", resp.Header.Get("Weir-Next"))
	}
	if e.Lines, err = readReply(resp, maxPage+1); err != nil {
		return nil, err
	}
	if len(e.Lines) > maxPage || int64(bytes.Count(e.Lines, []byte{'\n'})) != e.Next-from {
		return nil, fmt.Errorf("the server's reply: the entries from %d to %d are missing", from, e.Next-1)
	}
	return e, nil
}
