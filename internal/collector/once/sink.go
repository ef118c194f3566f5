package once

import (
	"context"
	"fmt"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/record"
)

// sink records into a weir over its API. It may not be used concurrently.
type sink struct {
	client  *client.Client
	retry   client.RetryOptions
	project string
	held    int64 // bytes
}

// mostHeld bounds the memory of a round, in bytes. The largest window has 2 million lines, of each of which 64 bytes
// are held, and one line is read at a time.
const mostHeld = 512 << 20

// Open implements collect.Sink.
func (s *sink) Open(t collect.Target) collect.Batch { return &batch{sink: s, target: t} }

// Reserve implements collect.Sink.
func (s *sink) Reserve() collect.Hold { return &hold{sink: s} }

// hold is a part of the memory that a sink holds.
type hold struct {
	sink  *sink
	bytes int64
}

// Grow implements collect.Hold.
func (h *hold) Grow(n int64) error {
	if h.sink.held+n > mostHeld {
		return fmt.Errorf("a round takes at most %d MiB of memory: %w", mostHeld>>20, record.ErrOverloaded)
	}
	h.sink.held += n
	h.bytes += n
	return nil
}

// Release implements collect.Hold.
func (h *hold) Release() {
	h.sink.held -= h.bytes
	h.bytes = 0
}

// batch is events on their way into one log.
type batch struct {
	*sink
	target collect.Target
	lines  []byte
}

// Add implements collect.Batch.
func (b *batch) Add(raw []byte) error {
	b.lines = append(append(b.lines, raw...), '\n')
	return nil
}

// Close implements collect.Batch.
func (b *batch) Close() { b.lines = nil }

// Record implements collect.Batch. Lines that are more than the weir takes at a time are recorded in parts.
func (b *batch) Record(ctx context.Context) (result record.Result, err error) {
	err = client.InParts(b.lines, func(part []byte, _ int) error {
		var got client.Recorded
		err := client.Retry(ctx, b.retry, func() (err error) {
			got, err = b.post(ctx, part)
			return err
		})
		result.Recorded += got.Recorded
		result.Conflicts += got.Conflicts
		result.Duplicates += got.Duplicates
		result.Refused += got.Rejected
		for _, f := range got.BadRequest.Fields {
			result.Reasons = append(result.Reasons, record.Remark{Event: f.Field, Text: f.Description})
		}
		return err
	}, func(_ int, said *client.Error) error { return said })
	if err != nil {
		return result, fmt.Errorf("workspace %s: %w", b.target.Workspace, err)
	}
	return result, nil
}

func (b *batch) post(ctx context.Context, lines []byte) (client.Recorded, error) {
	if b.target.Operational {
		return b.client.RecordOperational(ctx, b.project, b.target.Workspace, lines, true)
	}
	return b.client.Record(ctx, b.project, b.target.Workspace, lines, true)
}
