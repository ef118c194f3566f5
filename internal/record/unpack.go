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

// Unpack returns a reader that decompresses src. encoding is "", "identity", "gzip", "x-gzip" or "zstd", in upper or
// lower case; ok is false for any other. The errors are those of ReadLines. The decoder is made only after the first
// bytes of the body have arrived, and its memory is reserved before. The caller calls Close.
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

// peeked is how many bytes of a body must arrive, unless it is shorter, before its decoder is made.
const peeked = 4 << 10

// packed is a body that is decompressed as it is read.
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

// Close releases the decoder. Its memory stays reserved until the intake is closed.
func (p *packed) Close() error {
	if p.decoder == nil {
		return nil
	}
	return p.decoder.Close()
}

// gzipMemory is the memory of a gzip decoder, in bytes.
const gzipMemory = 64 << 10

var gzips = sync.Pool{New: func() any { return new(gzipmember.Reader) }}

// gzipBody is a body of one or more gzip members.
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

// Close returns the decoder to its pool.
func (z gzipBody) Close() error {
	gzips.Put(z.Reader)
	return nil
}
