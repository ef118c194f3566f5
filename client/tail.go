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

// Told is what a tail tells: an event, if Log is not empty; or how many events were missed where this stands; or that
// the tail goes on, or has ended.
type Told struct {
	Found
	Missed    int64  `json:"missed"`    // events that came and are not told, since they were read too slowly
	Heartbeat string `json:"heartbeat"` // RFC 3339
	UpTo      string `json:"upTo"`      // of a heartbeat: all that was recorded before is told; RFC 3339
	End       string `json:"end"`       // why the tail ends: time, stopping, notAuthorized or unavailable
}

// ErrSilent is returned (wrapped) by Tail if the server has been silent for too long: it, or the way to it, is gone.
var ErrSilent = errors.New("the server has fallen silent")

// silence is how long a server may say nothing: six of its heartbeats.
const silence = 30 * time.Second

// Tail asks for events as they are recorded, and calls each with what the server tells, until the server ends the
// tail, which it tells last. Read, which begun is called with before anything is told, makes a later tail or search of
// the same question a part of the same read. If the connection is cut before the end, the error is one that Retry
// tries again; events may be missing then. Errors of the server are *Error; those of each are returned as they are.
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
		err = errors.New("the tail was cut")
	}
	return &url.Error{Op: "read the reply of", URL: place(resp.Request.URL), Err: err}
}
