package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Told is a message of a tail. It is one of: an event, if Log is not empty; a number of missed events, at the place
// where they are missing; a heartbeat; or the end of the tail.
type Told struct {
	Found
	Missed    int64  `json:"missed"`    // number of events that are not told, because the client read too slowly
	Heartbeat string `json:"heartbeat"` // RFC 3339
	UpTo      string `json:"upTo"`      // of a heartbeat: all events recorded before this time are told; RFC 3339
	End       string `json:"end"`       // why the tail ends: time, stopping, notAuthorized or unavailable
}

// ErrSilent is returned (wrapped) by Tail if the server has sent nothing for 30 s: the server or the connection is
// gone.
var ErrSilent = errors.New("the server sends nothing any more")

// silence is how long a server may send nothing. A server sends a heartbeat every 5 s.
const silence = 30 * time.Second

// Tail requests events as they are recorded, and calls each with every message of the server until the server ends the
// tail; the last message says so. Before the first message Tail calls begun with a text. Passed as read to a later tail
// or search of the same question, it makes both count as one read. If the connection is cut before the end, events may
// be missing, and the error is one that Retry tries again. An error reply of the server is an *Error; an error of each
// is returned unchanged.
func (c *Client) Tail(ctx context.Context, q Question, read string, begun func(read string),
	each func(Told) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := c.request(ctx, http.MethodGet, q.path()+":tail", nil)
	if err != nil {
		return err
	}
	v := q.values()
	if read != "" {
		v.Set("read", read)
	}
	req.URL.RawQuery = v.Encode()
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	begun(resp.Header.Get("Weir-Read"))
	silent := time.AfterFunc(silence, func() { cancel(ErrSilent) })
	defer silent.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxPage)
	for lines.Scan() {
		silent.Reset(silence)
		var t Told
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return fmt.Errorf("the server's reply: %w", err)
		}
		if err := each(t); err != nil || t.End != "" {
			return err
		}
	}
	err = lines.Err()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err == nil {
		err = errors.New("the reply ended without a reason")
	}
	return &url.Error{Op: "read the reply of", URL: place(resp.Request.URL), Err: err}
}
