package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/collect"
)

// errUnpacked is returned for a batch that is more than is taken once it is unpacked.
var errUnpacked = fmt.Errorf("they have more than %d bytes together after decompression", maxUnpacked)

// The ways in which batches are packed.
const (
	packedGzip = iota + 1
	packedSnappy
	packedLZ4
	packedZstd
)

// maxWindow bounds how far the unpacking of zstd looks back, in bytes. Producers use less.
const maxWindow = 16 << 20

// The maximum memory of unpacking beside the result, in bytes, for any batch of a compression. Blocks of snappy are
// accounted for one by one.
var decoderMemory = map[int16]int64{
	packedGzip: 64 << 10,          // it looks back 32 KiB
	packedLZ4:  17 << 20,          // two blocks of 8 MiB, as the legacy format has them
	packedZstd: maxWindow + 1<<20, // the window, and a block as it is read
}

// unpack returns the messages of a batch, and accounts for their size.
func (r *reader) unpack(b *kmsg.RecordBatch) ([]byte, error) {
	var in io.Reader
	var err error
	packed := bytes.NewReader(b.Records)
	codec := b.Attributes & codecMask
	if err := r.hold.Grow(decoderMemory[codec]); err != nil {
		return nil, err
	}
	defer func() { _ = r.hold.Grow(-decoderMemory[codec]) }()
	switch codec {
	case 0:
		return b.Records, r.hold.Grow(int64(len(b.Records)))
	case packedGzip:
		in, err = gzip.NewReader(packed)
	case packedSnappy:
		s := &snappyReader{packed: b.Records, hold: r.hold}
		defer s.release()
		in = s
	case packedLZ4:
		in = lz4.NewReader(packed)
	case packedZstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			defer d.Close()
			in = d
		}
	default:
		return nil, fmt.Errorf("%w: its compression, %d, is unknown", collect.ErrIncomplete, codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", collect.ErrIncomplete, err)
	}
	return r.unpacked(in)
}

// unpacked reads all unpacked bytes. Memory is accounted for before it is taken.
func (r *reader) unpacked(in io.Reader) (out []byte, err error) {
	const least = 64 << 10
	if err := r.hold.Grow(least); err != nil {
		return nil, err
	}
	held := int64(least)
	defer func() {
		if keep := int64(len(out)); err == nil {
			held -= keep
		}
		_ = r.hold.Grow(-held)
	}()
	out = make([]byte, 0, least)
	for {
		n, err := in.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case errors.Is(err, io.EOF) && len(out) <= maxUnpacked:
			return out, nil
		case len(out) > maxUnpacked, errors.Is(err, errUnpacked), errors.Is(err, zstd.ErrDecoderSizeExceeded),
			errors.Is(err, zstd.ErrWindowSizeExceeded):
			return nil, errUnpacked
		case err != nil:
			return nil, fmt.Errorf("%w: %w", collect.ErrIncomplete, err)
		}
		if len(out) == cap(out) {
			more := int64(cap(out))
			if err := r.hold.Grow(2 * more); err != nil {
				return nil, err
			}
			grown := make([]byte, len(out), 2*cap(out))
			copy(grown, out)
			out = grown
			_ = r.hold.Grow(-more)
			held += more
		}
	}
}

// snappyMagic begins what Java's producers pack: blocks of snappy, each behind its length.
var snappyMagic = []byte{130, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const snappyHead = 16 // bytes of the magic and two versions

// snappyReader unpacks snappy, block by block.
type snappyReader struct {
	packed, block []byte
	begun, framed bool
	hold          collect.Hold
	held          int64 // bytes of the block
}

// release lets go of the block.
func (s *snappyReader) release() {
	_ = s.hold.Grow(-s.held)
	s.held = 0
}

func (s *snappyReader) Read(to []byte) (int, error) {
	for len(s.block) == 0 {
		if err := s.more(); err != nil {
			return 0, err
		}
	}
	n := copy(to, s.block)
	s.block = s.block[n:]
	return n, nil
}

// more unpacks the next block.
func (s *snappyReader) more() error {
	if !s.begun {
		if s.begun = true; bytes.HasPrefix(s.packed, snappyMagic) && len(s.packed) >= snappyHead {
			s.framed, s.packed = true, s.packed[snappyHead:]
		}
	}
	if len(s.packed) == 0 {
		return io.EOF
	}
	block := s.packed
	if s.packed = nil; s.framed {
		if len(block) < 4 {
			return io.ErrUnexpectedEOF
		}
		size := binary.BigEndian.Uint32(block)
		if block = block[4:]; uint64(size) > uint64(len(block)) {
			return io.ErrUnexpectedEOF
		}
		block, s.packed = block[:size], block[size:]
	}
	s.release()
	n, err := s2.DecodedLen(block)
	if err != nil {
		return err
	}
	if n > maxUnpacked {
		return errUnpacked
	}
	if err := s.hold.Grow(int64(n)); err != nil {
		return err
	}
	s.held = int64(n)
	s.block, err = s2.Decode(nil, block)
	return err
}
