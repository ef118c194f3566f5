package gzipmember

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// ErrBehind is returned (wrapped) for a gzip file that has other data after its end.
var ErrBehind = errors.New("there is data after the end of the gzip data that is not gzip")

// ErrCut is returned (wrapped) for a gzip file that ends too early.
var ErrCut = fmt.Errorf("the gzip data is cut short: %w", io.ErrUnexpectedEOF)

// Reader unpacks one or more gzip members from any writer. Unlike those of gzip.Reader, its errors say what is wrong
// with the end of a file. The zero value is ready for Reset. It has buffers of about 50 KiB, which Reset reuses.
type Reader struct {
	member gzip.Reader
	src    *bufio.Reader
}

// Reset begins to unpack src. If src does not begin like gzip data, it returns an error that says why.
func (r *Reader) Reset(src *bufio.Reader) error {
	r.src = src
	return r.begin()
}

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	for {
		n, err := r.member.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, explained(err)
		}
		if n > 0 {
			return n, nil
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
}

// next begins the next member. After the last one, it returns io.EOF.
func (r *Reader) next() error {
	head, err := r.src.Peek(2)
	switch {
	case len(head) == 0 || err != nil && !errors.Is(err, io.EOF):
		return err
	case string(head) != Head[:2]:
		return ErrBehind
	}
	return r.begin()
}

// begin begins a member.
func (r *Reader) begin() error {
	if err := r.member.Reset(r.src); err != nil {
		return explained(err)
	}
	r.member.Multistream(false)
	return nil
}

// explained replaces an error about an early end by ErrCut.
func explained(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}
