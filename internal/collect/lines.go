package collect

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/event"
)

// Kept remembers when a line without a readable time was first fetched, so that it becomes the same event when it is
// fetched again. Its keys are those of twins.
type Kept map[string]int64

// maxKept is the maximum number of lines that Kept remembers for a source.
const maxKept = 1000

// maker makes events of the lines of one window.
//
// A line is one that was met before if its bytes are equal and it has the same number among those of the window that
// are equal. Equal lines have the same time, so a window that has one of them has them all. The first one's identity
// follows from its bytes, as for any event without a uid; the others get a uid. A line that has a uid of its own keeps
// that, so equal ones are one event.
type maker struct {
	format Format
	parser event.Parser
	origin event.Origin
	source time.Time // the source's clock, or zero
	kept   Kept
	since  int64 // milliseconds: the time of a line that has none, if kept is full
	equal  map[[16]byte]uint32
	hold   Hold

	made, line []byte
	noted      bool // kept has changed
}

// twinMemory is the memory with which a line is told from equal ones, in bytes.
const twinMemory = 64

// errLater is returned for a line whose time is not come by this node's clock, while by the source's it is. The line is
// met again.
var errLater = errors.New("the time of the line is in the future")

// unread is the error of a line that is kept as it is.
type unread struct {
	reason string
	first  bool // It was not met before.
}

func (u *unread) Error() string { return u.reason }

// parseFactor is how many times its own size a line takes at most while it becomes an event.
const parseFactor = 40

// make returns the event that a line becomes, valid until the next call. With an *unread it keeps the line as it is.
func (m *maker) make(line []byte) ([]byte, error) {
	most := int64(parseFactor * len(line))
	if err := m.hold.Grow(most); err != nil {
		return nil, err
	}
	defer m.hold.Grow(-most)
	sum := sha256.Sum256(line)
	key := [16]byte(sum[:])
	if m.equal == nil {
		m.equal = map[[16]byte]uint32{}
	}
	if _, ok := m.equal[key]; !ok {
		if err := m.hold.Grow(twinMemory); err != nil {
			return nil, err
		}
	}
	m.equal[key]++
	n := m.equal[key]
	name := fmt.Sprintf("%x-%d", key, n)
	if _, ok := m.kept[name]; ok {
		return m.keep(line, name)
	}
	uid := ""
	if n > 1 {
		uid = name
	}
	var err error
	if m.made, err = m.format.Map(m.made[:0], line, uid); err != nil {
		return m.keep(line, name)
	}
	if m.line, _, err = m.parser.Append(m.line[:0], m.made, m.origin); err != nil {
		return m.keep(line, name)
	}
	return m.made, nil
}

// keep returns the event that keeps a line as it is.
func (m *maker) keep(line []byte, name string) ([]byte, error) {
	reason, later := m.reason(line)
	if later {
		return nil, errLater
	}
	at, ok := m.kept[name]
	if !ok {
		if at = m.since; len(m.kept) < maxKept {
			at = m.origin.Received.UnixMilli()
			m.kept[name] = at
			m.noted = true
		}
	}
	m.made = connect.KeepAs(m.made[:0], line, m.format.Name(), reason, at, name, nil)
	return m.made, &unread{reason, !ok}
}

// reason returns why a line cannot be read, in words that don't depend on the clock, and whether it can be later.
func (m *maker) reason(line []byte) (reason string, later bool) {
	made, err := m.format.Map(nil, line, "")
	if err != nil {
		return err.Error(), false
	}
	ahead, f := m.origin, event.Fields{}
	ahead.Received = lastDay
	if m.line, f, err = m.parser.Append(m.line[:0], made, ahead); err != nil {
		return err.Error(), false
	}
	at := time.UnixMilli(f.Time)
	if at.Before(m.origin.Received.Add(maxLater)) || at.Before(m.source.Add(maxLater)) {
		return "", true
	}
	return fmt.Sprintf("its time, %d in milliseconds since the epoch, was in the future when it was fetched",
		f.Time), false
}

// lastDay is a constant time that is later than the time of any sane clock.
var lastDay = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// maxLater is how far the time of a line may be ahead of both clocks for it to be met again rather than kept.
const maxLater = 24 * time.Hour

// eachLine calls each with the lines of r, without their ends, and tooLong with the size of those of more than most
// bytes. Blank lines are left out.
func eachLine(r io.Reader, most int, each func(line []byte) error, tooLong func(size int64) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	size := int64(0)
	for {
		part, err := in.ReadSlice('\n')
		size += int64(len(part))
		if len(line)+len(part) <= most+2 {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		ended := err != nil
		if size > int64(len(line)) {
			err = tooLong(size)
		} else {
			err = eachText(line, each)
		}
		if err != nil || ended {
			return err
		}
		line, size = line[:0], 0
	}
}

// eachText calls each with a line unless it is blank.
func eachText(line []byte, each func(line []byte) error) error {
	if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
		return nil
	}
	return each(line)
}

// Lines is the format of lines that are events already.
type Lines struct{}

// Name implements Format.
func (Lines) Name() string { return "an event in JSON" }

// Map implements Format.
func (Lines) Map(dst, line []byte, uid string) ([]byte, error) {
	if uid == "" {
		return append(dst, line...), nil
	}
	return connect.WithUID(dst, line, uid), nil
}
