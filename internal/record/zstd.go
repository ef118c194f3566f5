package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Memory of a zstd decoder, in bytes.
const (
	zstdMemory    = 512 << 10 // without the window
	zstdMaxWindow = 8 << 20
)

func openZstd(hold *Reservation, src *bufio.Reader) (io.ReadCloser, error) {
	if err := hold.Grow(zstdMemory); err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(&frames{src: src, hold: hold}, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindow))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// frames passes a zstd body to the decoder. The header of a frame says how large a window the frame needs (RFC 8878,
// 3.1.1.1). The memory of the window is reserved before the decoder sees the header.
type frames struct {
	src      *bufio.Reader
	hold     *Reservation
	pass     int64 // number of bytes to pass on unchanged
	blocks   bool  // a block follows these bytes, and not a frame
	sum      int64 // size of the checksum after the last block
	reserved int64
}

func (f *frames) Read(b []byte) (int, error) {
	for f.pass == 0 {
		next := f.frame
		if f.blocks {
			next = f.block
		}
		if err := next(); err != nil {
			return 0, err
		}
	}
	n, err := f.src.Read(b[:min(int64(len(b)), f.pass)])
	f.pass -= int64(n)
	return n, err
}

// errCut does not equal io.ErrUnexpectedEOF, because the decoder takes that for the end of the body if it follows a
// frame.
var errCut = fmt.Errorf("the zstd data is cut short: %w", io.ErrUnexpectedEOF)

// frame reads the header of a frame.
func (f *frames) frame() error {
	head, err := f.src.Peek(zstd.HeaderMaxSize)
	if len(head) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var h zstd.Header
	if err := h.Decode(head); errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	} else if err != nil {
		return fmt.Errorf("there is data that is not zstd: %w", err)
	}
	f.pass = int64(h.HeaderSize)
	if h.Skippable {
		f.pass += int64(h.SkippableSize)
		return nil
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	if window > zstdMaxWindow {
		return fmt.Errorf("its zstd window has %d bytes, at most %d are allowed", window, zstdMaxWindow)
	}
	if f.blocks = true; h.HasCheckSum {
		f.sum = 4
	} else {
		f.sum = 0
	}
	return f.reserve(int64(window))
}

// reserve reserves the memory of a window and of the data decoded behind it. The decoder keeps the largest window.
func (f *frames) reserve(window int64) error {
	size := window + 1<<20
	if window < 2<<20 {
		size = 2 * window
	}
	if size <= f.reserved {
		return nil
	}
	if err := f.hold.Grow(size - f.reserved); err != nil {
		return err
	}
	f.reserved = size
	return nil
}

// block reads the header of a block (RFC 8878, 3.1.1.2).
func (f *frames) block() error {
	head, err := f.src.Peek(3)
	if errors.Is(err, io.EOF) {
		return errCut
	} else if err != nil {
		return err
	}
	bits := int64(head[0]) | int64(head[1])<<8 | int64(head[2])<<16
	last, kind, size := bits&1 == 1, bits>>1&3, bits>>3
	const runLength = 1
	if kind == runLength {
		size = 1
	}
	if f.pass = 3 + size; last {
		f.pass += f.sum
		f.blocks = false
	}
	return nil
}
