package tlog

import (
	"bytes"
	"io"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
)

// output writes a gzip file of one member. It copies stored pieces, and makes pieces of the selected lines of others.
// Many readers of gzip stop after the first member without an error, so there must be no second one.
type output struct {
	w      io.Writer
	query  Query
	parser event.Parser
	begun  bool               // the head of the member is written, or the caller writes it
	made   *gzipmember.Writer // the piece that is being made
	raw    int                // size in bytes of the lines in it
	lines  gzipmember.Sum     // of the lines in the pieces that are written
}

// maxMade is the maximum size in bytes of the lines of a piece that is made here, so that its beginning reaches the
// client early.
const maxMade = 512 << 10

// begin begins the member, once, and not before there is something to write, so that an error can still be reported.
func (o *output) begin() error {
	if o.begun {
		return nil
	}
	o.begun = true
	_, err := io.WriteString(o.w, gzipmember.Head)
	return err
}

// copy writes pieces. lines is the checksum and size of their lines.
func (o *output) copy(pieces io.Reader, lines gzipmember.Sum) error {
	if err := o.flush(); err != nil {
		return err
	}
	if err := o.begin(); err != nil {
		return err
	}
	_, err := io.Copy(o.w, pieces)
	o.lines = o.lines.Then(lines)
	return err
}

// buffers holds buffers for the lines of pieces.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// cut writes the lines that decode appends to a buffer, if the query selects them and keep, if not nil, returns true.
// keep is called for every line, in order.
func (o *output) cut(decode func(dst []byte) ([]byte, error), keep func(line []byte) bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	raw, err := decode((*buf)[:0])
	*buf = raw[:0]
	if err != nil {
		return err
	}
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n') + 1
		if end == 0 {
			end = len(raw)
		}
		line := raw[:end]
		raw = raw[end:]
		if keep != nil && !keep(line) {
			continue
		}
		selected, err := o.selects(line)
		if err != nil {
			return err
		}
		if selected {
			if err := o.line(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// selects tells whether the query selects the event on a line.
func (o *output) selects(line []byte) (bool, error) {
	if o.query.Processor != "" && !event.MayConcern(line, o.query.Processor) {
		return false, nil
	}
	f, err := o.parser.Scan(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		return false, err
	}
	if f.Time < o.query.Start || f.Time >= o.query.End {
		return false, nil
	}
	if o.query.Processor != "" && !f.Concerns(o.query.Processor) {
		return false, nil
	}
	return true, nil
}

func (o *output) line(line []byte) error {
	if err := o.begin(); err != nil {
		return err
	}
	if o.made == nil {
		o.made, o.raw = gzipmember.NewWriter(o.w, gzipmember.Fast), 0
	}
	if _, err := o.made.Write(line); err != nil {
		return err
	}
	if o.raw += len(line); o.raw >= maxMade {
		return o.flush()
	}
	return nil
}

// flush ends the piece that is being made.
func (o *output) flush() error {
	if o.made == nil {
		return nil
	}
	lines, err := o.made.Close()
	o.made, o.lines = nil, o.lines.Then(lines)
	return err
}

// end ends the file.
func (o *output) end() error {
	if err := o.flush(); err != nil {
		return err
	}
	if err := o.begin(); err != nil {
		return err
	}
	_, err := o.w.Write(gzipmember.AppendTail(nil, o.lines))
	return err
}
