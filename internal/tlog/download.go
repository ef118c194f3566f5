package tlog

import (
	"bytes"
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/seal"
)

// Download is a gzip file of one member with the events of a log that a query selects, as they were when Logs.Download
// returned, each once. Its memory is bounded for any query.
type Download struct {
	reader *Reader

	// If the size of the file is cheap to know, the file consists of these parts, which never change: bytes in memory,
	// and runs of full blocks, which every merge copies unchanged.
	parts []part
	size  int64

	unmade *unmade // parts that Prepare makes, if it is called
}

// unmade holds the parts of a small download before some of them are made by opening blocks.
type unmade struct {
	parts  []part
	copied int64
}

// part is either the entries [first, last), copied in their stored form, or, if data is not nil, pieces made of them.
type part struct {
	data        []byte
	lines       gzipmember.Sum // of data
	first, last int64
}

// Download takes a consistent view of a log, and returns the events of it that a query selects.
func (s *Logs) Download(ctx context.Context, log string, q Query) (*Download, error) {
	for {
		r, err := s.Read(ctx, log, q)
		if err != nil {
			return nil, err
		}
		d := &Download{reader: r, size: -1}
		if err = d.measure(ctx); err == nil {
			return d, nil
		}
		if !errors.Is(err, ErrPruned) && !errors.Is(err, seal.ErrForged) {
			return nil, err // a newer view does not help with other errors
		}
	}
}

// Size returns the number of bytes that WriteTo writes, or -1 if it is not known before.
func (d *Download) Size() int64 { return d.size }

// Head returns the tree of the log at the time of the download. Further events of the file are not sequenced yet.
func (d *Download) Head() Head { return d.reader.Head() }

// WriteTo writes the gzip file. After an error the written bytes are not a whole file. The caller must then break the
// connection instead of ending it normally.
func (d *Download) WriteTo(ctx context.Context, w io.Writer) error {
	out := &output{w: w, query: d.reader.query}
	write := d.writeAll
	if d.size >= 0 {
		write = d.writeParts
	}
	if err := write(ctx, out); err != nil {
		return err
	}
	return out.end()
}

func (d *Download) writeAll(ctx context.Context, out *output) error {
	if err := writeRuns(ctx, d.reader, out, 0, d.reader.Next()); err != nil {
		return err
	}
	return d.writeWaiting(ctx, out)
}

func (d *Download) writeParts(ctx context.Context, out *output) error {
	for _, p := range d.parts {
		var err error
		if p.data != nil {
			err = out.copy(bytes.NewReader(p.data), p.lines)
		} else {
			err = writeRuns(ctx, d.reader, out, p.first, p.last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeRuns writes the selected entries with indexes in [from, to).
func writeRuns(ctx context.Context, r *Reader, out *output, from, to int64) error {
	return r.each(ctx, (*view).runs, from, to, func(r *Run) error {
		if r.cut {
			return r.writeSelected(ctx, out)
		}
		return r.copy(ctx, out)
	})
}

// writeWaiting writes the selected events that wait to be sequenced.
func (d *Download) writeWaiting(ctx context.Context, out *output) error {
	return d.reader.eachWaiting(ctx, func(w *waitingSection, data []byte) error {
		return w.write(out, data)
	}, func(e Indexed) error { return out.line(e.Line) })
}

// write writes the selected events of a section. member is the gzip member with its lines.
func (w *waitingSection) write(out *output, member []byte) error {
	if !w.isCut(out.query) {
		piece, lines, err := gzipmember.Piece(member, w.RawLength)
		if err != nil {
			return w.failed(err)
		}
		return out.copy(bytes.NewReader(piece), lines)
	}
	b, err := w.decode(member)
	for i := 0; err == nil && i < len(b.Entries); i++ {
		if w.selects(out.query, i) {
			err = out.line(b.Line(i))
		}
	}
	return err
}

// Bounds on the work of measure. A download whose size is cheap to know reports it, so that clients show progress and
// the kernel does the copying.
const (
	measureParts   = 64
	measureCuts    = 4
	measureMemory  = 1 << 20 // bytes
	measureAtATime = 4       // parts that are made
	measureWorth   = 1 << 20 // in bytes; a smaller download with blocks to cut is sent at once instead
)

// measure determines the size of the file, if that is cheap.
func (d *Download) measure(ctx context.Context) error {
	full := int64(d.reader.view.logs.options.BlockBytes)
	var parts []part
	var cuts int
	var copied, memory int64
	err := d.reader.each(ctx, (*view).runs, 0, d.reader.Next(), func(r *Run) error {
		for _, b := range r.blocks {
			stable := !r.cut && b.Raw >= full
			switch last := len(parts) - 1; {
			case stable && last >= 0 && parts[last].data == nil && parts[last].last == b.First:
				parts[last].last = b.End()
			case stable:
				parts = append(parts, part{first: b.First, last: b.End()})
			default:
				parts = append(parts, part{data: []byte{}, first: b.First, last: b.End()})
				memory += b.Length
			}
			if stable {
				copied += b.Length
			}
		}
		if r.cut {
			cuts++
		}
		if len(parts) > measureParts || cuts > measureCuts || memory > measureMemory {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, w := range d.reader.tail {
		if memory += w.Length; w.isCut(d.reader.query) {
			cuts++
		}
	}
	if len(parts)+len(d.reader.tail) > measureParts || cuts > measureCuts || memory > measureMemory {
		return nil
	}
	if cuts > 0 && copied < measureWorth {
		d.unmade = &unmade{parts, copied}
		return nil
	}
	return d.hold(ctx, parts, copied)
}

// Prepare makes the file of a small download in memory, unless it is made already. It is for a caller that must wait
// for something else before it may send the first byte. If Prepare fails, WriteTo returns the error.
func (d *Download) Prepare(ctx context.Context) {
	if d.unmade == nil || d.size >= 0 {
		return
	}
	if err := d.hold(ctx, d.unmade.parts, d.unmade.copied); err != nil {
		d.parts, d.size = nil, -1
	}
}

// hold makes the parts that are kept in memory, concurrently, since a caller waits for the first byte.
func (d *Download) hold(ctx context.Context, parts []part, copied int64) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(measureAtATime)
	for i := range parts {
		p := &parts[i]
		if p.data == nil {
			continue
		}
		own := *d.reader // takes newer views by itself
		group.Go(func() error {
			return d.make(p, func(out *output) error { return writeRuns(ctx, &own, out, p.first, p.last) })
		})
	}
	var waiting part
	group.Go(func() error {
		return d.make(&waiting, func(out *output) error { return d.writeWaiting(ctx, out) })
	})
	if err := group.Wait(); err != nil {
		return err
	}
	d.parts = append(parts, waiting)
	d.size = int64(gzipmember.HeadSize) + copied + int64(gzipmember.TailSize)
	for _, p := range d.parts {
		d.size += int64(len(p.data))
	}
	d.reader.tail = nil
	return nil
}

// make makes the data of a part.
func (d *Download) make(p *part, write func(*output) error) error {
	buf := bytes.NewBuffer([]byte{})
	out := &output{w: buf, query: d.reader.query, begun: true}
	if err := write(out); err != nil {
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	p.data, p.lines = buf.Bytes(), out.lines
	return nil
}
