package tlog

import (
	"bytes"
	"io"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
)

// output writes a gzip file: members copied as they lie, and members made of the lines that a query selects of others.
type output struct {
	w      io.Writer
	query  Query
	parser event.Parser
	made   *gzipmember.Writer // the member being made
	raw    int                // bytes of lines in it
	any    bool               // something was written
}

// maxMade is how many bytes of lines a member that is made here takes, so that its beginning reaches the client.
const maxMade = 512 << 10

// copy writes whole members.
func (o *output) copy(members io.Reader) error {
	if err := o.flush(); err != nil {
		return err
	}
	n, err := io.Copy(o.w, members)
	o.any = o.any || n > 0
	return err
}

// buffers hold the lines of opened members.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// cut writes those lines of the members in data, size bytes of lines, which the query selects, and of which keep, if
// given, approves. Keep is called for every line, in order.
func (o *output) cut(data []byte, size int64, keep func(line []byte) bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	raw, err := gzipmember.Decode((*buf)[:0], data, size)
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
	if o.made == nil {
		o.made, o.raw = gzipmember.NewWriter(o.w, gzipmember.Fast), 0
	}
	o.any = true
	if _, err := o.made.Write(line); err != nil {
		return err
	}
	if o.raw += len(line); o.raw >= maxMade {
		return o.flush()
	}
	return nil
}

// flush ends the member being made.
func (o *output) flush() error {
	if o.made == nil {
		return nil
	}
	err := o.made.Close()
	o.made = nil
	return err
}

// end ends the file.
func (o *output) end() error {
	if err := o.flush(); err != nil || o.any {
		return err
	}
	_, err := o.w.Write(gzipmember.Empty)
	return err
}
