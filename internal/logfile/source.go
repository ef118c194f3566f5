package logfile

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// source is one file that is being read.
type source struct {
	name       string
	file       *os.File
	in         io.Reader // of the content of the file, unpacked
	packed     bool
	live       bool   // it is the one that lines are written to, as far as is known
	buf        []byte // what was read and is not consumed: the beginning of a line, or lines
	offset     int64  // of buf
	head, tail []byte // the first bytes of the file, and the last before the offset
	skipping   bool   // the line at the offset is too long
}

// open opens a file at its beginning.
func open(name string) (*source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s := &source{name: name, file: f, in: f}
	if err := s.unpack(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

var gzipMagic, zstdMagic = []byte{0x1f, 0x8b}, []byte{0x28, 0xb5, 0x2f, 0xfd}

// unpack makes the source read what a compressed file unpacks to.
func (s *source) unpack() error {
	var start [4]byte
	n, err := s.file.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(start[:n], gzipMagic):
		z, err := gzip.NewReader(bufio.NewReader(s.file))
		s.in, s.packed = z, true
		return err
	case bytes.HasPrefix(start[:n], zstdMagic):
		z, err := zstd.NewReader(s.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err == nil {
			s.in, s.packed = z.IOReadCloser(), true
		}
		return err
	}
	return nil
}

func (s *source) close() {
	if c, ok := s.in.(io.Closer); ok && s.packed {
		c.Close()
	}
	s.file.Close()
}

// openAt opens a file at a position; nil if the file is another one, or ends before.
func openAt(name string, p Position) (*source, error) {
	s, err := open(name)
	if err != nil {
		return nil, err
	}
	ok, err := s.skipTo(p)
	if err != nil || !ok {
		s.close()
		return nil, err
	}
	return s, nil
}

// skipTo goes to a position; false if this is not the file.
func (s *source) skipTo(p Position) (bool, error) {
	s.head = make([]byte, p.Head.Bytes)
	s.tail = make([]byte, p.Tail.Bytes)
	if p.Head.Bytes > markBytes || p.Tail.Bytes > markBytes || p.Offset < int64(max(p.Head.Bytes, p.Tail.Bytes)) {
		return false, nil
	}
	read := func(b []byte) (bool, error) {
		_, err := io.ReadFull(s.in, b)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		return err == nil, err
	}
	if ok, err := read(s.head); !ok || markOf(s.head) != p.Head {
		return false, err
	}
	// The tail may begin within the head.
	before := p.Offset - int64(p.Tail.Bytes)
	within := min(max(int64(len(s.head))-before, 0), int64(len(s.tail)))
	copy(s.tail, s.head[int64(len(s.head))-within:])
	if skip := before - int64(len(s.head)); skip > 0 {
		if _, err := io.CopyN(io.Discard, s.in, skip); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return false, err
		}
	}
	if ok, err := read(s.tail[within:]); !ok {
		return false, err
	}
	s.offset = p.Offset
	return markOf(s.tail) == p.Tail, nil
}

// position returns where the source is.
func (s *source) position() Position {
	return Position{Offset: s.offset, Head: markOf(s.head), Tail: markOf(s.tail)}
}

// consume goes over bytes of buf.
func (s *source) consume(n int) {
	b := s.buf[:n]
	s.head = append(s.head, b[:min(n, markBytes-len(s.head))]...)
	s.tail = append(s.tail, b[max(0, n-markBytes):]...)
	s.tail = append([]byte(nil), s.tail[max(0, len(s.tail)-markBytes):]...)
	s.buf, s.offset = s.buf[n:], s.offset+int64(n)
}

// maxLine bounds a line, in bytes: it is more than weir takes.
const maxLine = 4 << 20

// line returns the next line with its end, and consumes it; io.EOF if there is no whole line yet. Of a line that is too
// long it returns the end only, and true.
func (s *source) line() (line []byte, cut bool, err error) {
	for scanned := 0; ; {
		if i := bytes.IndexByte(s.buf[scanned:], '\n'); i >= 0 {
			line, cut = s.buf[:scanned+i+1], s.skipping
			s.consume(len(line))
			s.skipping = false
			return line, cut, nil
		}
		if scanned = len(s.buf); scanned > maxLine {
			s.consume(scanned)
			s.skipping, scanned = true, 0
		}
		if err := s.fill(); err != nil {
			return nil, false, err
		}
	}
}

// rest returns the bytes behind the last line end, when the file is known to have no more.
func (s *source) rest() []byte {
	line := s.buf
	s.consume(len(line))
	return line
}

// fill reads more; io.EOF also if the file is not any more what was read.
func (s *source) fill() error {
	if s.live {
		if changed, err := s.rewritten(); err != nil || changed {
			return cmp.Or(err, io.EOF)
		}
	}
	const atOnce = 64 << 10
	if cap(s.buf)-len(s.buf) < atOnce {
		s.buf = append(make([]byte, 0, 2*len(s.buf)+2*atOnce), s.buf...)
	}
	n, err := s.in.Read(s.buf[len(s.buf) : len(s.buf)+atOnce])
	s.buf = s.buf[:len(s.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// rewritten tells whether the file does not hold any more what was read of it: it was truncated, and may have grown
// again.
func (s *source) rewritten() (bool, error) {
	now := make([]byte, len(s.tail))
	_, err := s.file.ReadAt(now, s.offset-int64(len(now)))
	if errors.Is(err, io.EOF) && len(now) > 0 {
		return true, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return !bytes.Equal(now, s.tail), nil
}
