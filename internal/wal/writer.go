package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
)

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("the write-ahead log is closed")

// Writer makes events durable by group commit: events that arrive while an object is being written are collected for
// the next one, so objects grow with the load.
type Writer struct {
	bucket   bucket.Bucket
	reader   *Reader
	names    namer
	maxBytes int64
	written  func(bytes int64)
	pace     *rate.Limiter

	requests chan *request
	closing  chan struct{}
	close    sync.Once
	done     sync.WaitGroup
}

type request struct {
	sections []Section // offsets relative to the first section
	entries  [][]event.Entry
	data     [][]byte   // of each section; not joined, since making the object copies them anyway
	size     int64      // of data
	result   chan error // has room for one value, so sending does not block
}

// maxObject is the size in bytes at which a WAL object takes no further request.
const maxObject = 32 << 20

// attempts is how many names are tried for one object before its events are refused.
const attempts = 3

// NewWriter starts a writer for a shard. It calls written with the size of each object in bytes. Written objects are in
// the cache of reader at once.
func NewWriter(b bucket.Bucket, reader *Reader, shard int, written func(bytes int64)) *Writer {
	return NewPacedWriter(b, reader, shard, rate.NewLimiter(rate.Inf, 1), written)
}

// NewPacedWriter is NewWriter with a limiter, which writers may share. The writer begins an object only when pace
// allows it; requests that arrive until then are in that object.
func NewPacedWriter(b bucket.Bucket, reader *Reader, shard int, pace *rate.Limiter, written func(bytes int64)) *Writer {
	w := &Writer{bucket: b, reader: reader, names: namer{shard: shard}, maxBytes: maxObject,
		written: written, pace: pace,
		requests: make(chan *request), closing: make(chan struct{})}
	w.done.Go(w.run)
	return w
}

// Append makes the batches durable, all or none, and returns nil only then. After an error they may be durable, or may
// become durable later. The caller may append them again, since equal events are one event. Empty batches are left out.
func (w *Writer) Append(ctx context.Context, batches ...event.Batch) error {
	r := &request{result: make(chan error, 1)}
	for _, b := range batches {
		if len(b.Entries) == 0 {
			continue
		}
		s, data := encode(b) // encode here, so that requests are compressed in parallel
		s.Offset = r.size
		r.sections = append(r.sections, s)
		r.entries = append(r.entries, b.Entries)
		r.data = append(r.data, data)
		r.size += int64(len(data))
	}
	if len(r.sections) == 0 {
		return nil
	}
	if ctx.Err() != nil { // without this check, the select could pick either case
		return fmt.Errorf("append to the write-ahead log: %w", context.Cause(ctx))
	}
	select {
	case w.requests <- r:
	case <-w.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("append to the write-ahead log: %w", context.Cause(ctx))
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("append to the write-ahead log: %w", context.Cause(ctx))
	}
}

// Close waits for the requests that were accepted, then stops the writer.
func (w *Writer) Close() {
	w.close.Do(func() { close(w.closing) })
	w.done.Wait()
}

func (w *Writer) run() {
	for {
		select {
		case first := <-w.requests:
			w.wait()
			w.commit(w.collect(first))
		case <-w.closing:
			return
		}
	}
}

// wait waits until pace allows the next object.
func (w *Writer) wait() { time.Sleep(w.pace.Reserve().Delay()) }

// collect returns first and the requests that wait behind it, up to the size of one object.
func (w *Writer) collect(first *request) []*request {
	group := []*request{first}
	size := first.size
	for size < w.maxBytes {
		select {
		case r := <-w.requests:
			group = append(group, r)
			size += r.size
		default:
			return group
		}
	}
	return group
}

func (w *Writer) commit(group []*request) {
	var size int64
	var sections []Section
	var entries [][]event.Entry
	for _, r := range group {
		for _, s := range r.sections {
			s.Offset += size
			sections = append(sections, s)
		}
		entries = append(entries, r.entries...)
		size += r.size
	}
	index := encodeIndex(sections)
	object := make([]byte, 0, int(size)+len(index)+trailerSize)
	for _, r := range group {
		for _, data := range r.data {
			object = append(object, data...)
		}
		r.data = nil
	}
	object = append(object, index...)
	key, err := w.put(object, index)
	if err == nil {
		w.reader.keep(key, sections, entries)
	}
	for _, r := range group {
		r.result <- err
	}
	if err == nil {
		w.written(int64(cap(object)))
	}
}

// put seals an object, which ends with its index, and writes it under a new name. If the outcome is unknown, put reads
// the object back. If it is not there, put writes it under another name: the first may have been written, sequenced and
// deleted meanwhile, and a second object under that name would look like a deleted part of a newer plan. A caller that
// has gone does not stop the write, since the object has the events of others.
func (w *Writer) put(unsealed, index []byte) (key string, err error) {
	if err := w.reader.key.Err(); err != nil {
		return "", fmt.Errorf("write to the write-ahead log: %w", err)
	}
	ctx := context.Background()
	for attempt := range attempts {
		if attempt > 0 {
			w.wait()
			unsealed = slices.Clip(unsealed) // An earlier attempt may still be reading the bytes behind it.
		}
		key = w.names.key(time.Now())
		object := append(unsealed, encodeTrailer(key, index, w.reader.key)...)
		err = w.bucket.PutNew(ctx, key, object)
		if err == nil {
			return key, nil
		}
		if there, readErr := bucket.Read(ctx, w.bucket, key, bucket.Range{}); readErr == nil &&
			bytes.Equal(there, object) {
			return key, nil
		}
	}
	return "", fmt.Errorf("write to the write-ahead log: %w", err)
}
