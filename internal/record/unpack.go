package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Unpack returns a reader of what src packs with an encoding: "", "identity", "gzip" or "zstd". Its errors are those of
// ReadLines. No decoder is made before the beginning of the body has arrived, or all of it, and the decoder's memory is
// reserved before. The caller calls Close. If the encoding is another, ok is false.
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

const (
	peeked     = 4 << 10 // bytes of a body that arrive before its decoder is made
	gzipMemory = 64 << 10
	minWindow  = 1 << 20 // of zstd: of a later frame, whatever the first one says
	maxWindow  = 8 << 20
)

// packed is a body that is unpacked while it is read.
type packed struct {
	src     io.Reader
	hold    *Reservation
	name    string
	open    func(hold *Reservation, first []byte, src io.Reader) (io.ReadCloser, error)
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
	if err != nil && !errors.Is(err, io.EOF) {
		err = &Unreadable{err}
	}
	return n, err
}

func (p *packed) begin() error {
	if err := p.hold.Grow(peeked); err != nil {
		return err
	}
	first := make([]byte, peeked)
	n := 0
	for n < len(first) {
		more, err := p.src.Read(first[n:])
		n += more
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &Unreadable{err}
		}
	}
	first = first[:n]
	var err error
	p.decoder, err = p.open(p.hold, first, io.MultiReader(bytes.NewReader(first), p.src))
	if err != nil && !errors.Is(err, ErrOverloaded) {
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

var gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

type pooledGzip struct{ *gzip.Reader }

func (z pooledGzip) Close() error {
	gzips.Put(z.Reader)
	return nil
}

func openGzip(hold *Reservation, _ []byte, src io.Reader) (io.ReadCloser, error) {
	if err := hold.Grow(gzipMemory); err != nil {
		return nil, err
	}
	z := gzips.Get().(*gzip.Reader)
	if err := z.Reset(src); err != nil {
		gzips.Put(z)
		return nil, err
	}
	return pooledGzip{z}, nil
}

func openZstd(hold *Reservation, first []byte, src io.Reader) (io.ReadCloser, error) {
	var h zstd.Header
	if err := h.Decode(first); err != nil {
		return nil, err
	}
	window := h.WindowSize
	switch {
	case h.Skippable:
		window = maxWindow
	case h.SingleSegment:
		window = h.FrameContentSize
	}
	if window > maxWindow {
		return nil, fmt.Errorf("of a window that is taken: it has %d bytes, at most %d are allowed", window, maxWindow)
	}
	window = max(window, minWindow)
	if err := hold.Grow(2 * int64(window)); err != nil { // the window, and what is decoded behind it
		return nil, err
	}
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}
