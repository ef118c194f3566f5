package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/weirlog/weir/internal/gzipmember"
)

// Unpack returns a reader of what src packs with an encoding: "", "identity", "gzip", "x-gzip" or "zstd", in upper or
// lower case. Its errors are those of ReadLines. No decoder is made before the beginning of the body has arrived, or
// all of it, and the decoder's memory is reserved before. The caller calls Close. If the encoding is another, ok is
// false.
func (in *Intake) Unpack(encoding string, src io.Reader) (body io.ReadCloser, ok bool) {
	switch strings.ToLower(encoding) { // RFC 9110, 8.4.1
	case "", "identity":
		return io.NopCloser(src), true
	case "gzip", "x-gzip":
		return &packed{src: src, hold: in.hold, name: "gzip", open: openGzip}, true
	case "zstd":
		return &packed{src: src, hold: in.hold, name: "zstd", open: openZstd}, true
	}
	return nil, false
}

// peeked is how many bytes of a body arrive before its decoder is made, if it has so many.
const peeked = 4 << 10

// packed is a body that is unpacked while it is read.
type packed struct {
	src     io.Reader
	hold    *Reservation
	name    string
	open    func(hold *Reservation, src *bufio.Reader) (io.ReadCloser, error)
	decoder io.ReadCloser
	err     error
}

func (p *packed) Read(b []byte) (int, error) {
	if p.decoder == nil && p.err == nil {
		p.err = p.begin()
	}
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.decoder.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && !refusesMemory(err) {
		err = &Unreadable{err}
	}
	return n, err
}

func (p *packed) begin() error {
	if err := p.hold.Grow(peeked); err != nil {
		return err
	}
	src := bufio.NewReaderSize(p.src, peeked)
	if _, err := src.Peek(peeked); err != nil && !errors.Is(err, io.EOF) {
		return &Unreadable{err}
	}
	var err error
	p.decoder, err = p.open(p.hold, src)
	if err != nil && !refusesMemory(err) {
		return &Unreadable{fmt.Errorf("it is not %s: %w", p.name, err)}
	}
	return err
}

// Close gives the decoder back. Its memory stays reserved until the intake is closed.
func (p *packed) Close() error {
	if p.decoder == nil {
		return nil
	}
	return p.decoder.Close()
}

// gzipMemory is what a decoder of gzip holds, in bytes.
const gzipMemory = 64 << 10

var gzips = sync.Pool{New: func() any { return new(gzipmember.Reader) }}

// gzipBody is a body of one gzip member or more.
type gzipBody struct{ *gzipmember.Reader }

func openGzip(hold *Reservation, src *bufio.Reader) (io.ReadCloser, error) {
	if err := hold.Grow(gzipMemory); err != nil {
		return nil, err
	}
	z := gzipBody{gzips.Get().(*gzipmember.Reader)}
	if err := z.Reset(src); err != nil {
		gzips.Put(z.Reader)
		return nil, err
	}
	return z, nil
}

// Close gives the decoder back.
func (z gzipBody) Close() error {
	gzips.Put(z.Reader)
	return nil
}
