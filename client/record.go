package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzip"
)

// Recorded counts what happened to the events of one request.
type Recorded struct {
	Recorded   int      `json:"recorded"`   // events that were recorded
	Duplicates int      `json:"duplicates"` // events that the log already had
	Conflicts  int      `json:"conflicts"`  // recorded events whose time and uid other events have too
	Rejected   int      `json:"rejected"`   // events that were refused
	BadRequest struct { // why events were refused, the first ones
		Fields []Field `json:"fields"`
	} `json:"badRequestDetail"`
}

// Record records events in the audit log of a workspace, one on each line. If partial is set, the good events are
// recorded even if others are refused. If it is unclear whether a call succeeded, the caller may repeat it: each event
// is recorded once.
func (c *Client) Record(ctx context.Context, project, workspace string, lines []byte, partial bool) (Recorded, error) {
	return c.record(ctx, auditLogs(project, workspace), lines, partial)
}

// RecordOperational is Record for the operational log of a workspace.
func (c *Client) RecordOperational(ctx context.Context, project, workspace string, lines []byte,
	partial bool) (Recorded, error) {
	return c.record(ctx, streams(project, workspace)+":recordOperationalLogs", lines, partial)
}

func (c *Client) record(ctx context.Context, path string, lines []byte, partial bool) (Recorded, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err == nil {
		_, err = z.Write(lines)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return Recorded{}, err
	}
	req, err := c.request(ctx, http.MethodPost, path, packed.Bytes())
	if err != nil {
		return Recorded{}, err
	}
	if partial {
		req.URL.RawQuery = "partial=true"
	}
	req.Header.Set("Accept", jsonType)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := c.do(req)
	if err != nil {
		return Recorded{}, err
	}
	defer resp.Body.Close()
	var r Recorded
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&r); err != nil {
		return Recorded{}, fmt.Errorf("the server's reply: %w", err)
	}
	return r, nil
}
