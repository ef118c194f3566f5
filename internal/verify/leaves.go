package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/proof"
)

// Leaves returns the leaf hash of each line in a gzip file. The members of a file that weir made are unpacked side by side;
// a file that others have packed again is unpacked from end to end.
func Leaves(ctx context.Context, file io.ReadSeeker, progress func(bytes int64)) ([]proof.Hash, error) {
	leaves, err := memberLeaves(ctx, &counted{file, progress})
	if !errors.Is(err, errNotByMember) {
		return leaves, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return StreamLeaves(ctx, file)
}

type counted struct {
	io.Reader
	progress func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.progress != nil {
		c.progress(int64(n))
	}
	return n, err
}

var errNotByMember = errors.New("cannot be unpacked member by member")

// memberStart is how members begin that weir makes, but for the byte that names the level and the last one.
var memberStart = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}

// maxChunk is the largest run of bytes without the beginning of a member that is still taken for members, in bytes.
const maxChunk = 16 << 20

// memberLeaves cuts the file where a member seems to begin, and unpacks the pieces side by side. Where it was wrong, because
// compressed bytes looked so or a member does not end a line, a piece does not unpack, and errNotByMember is returned.
func memberLeaves(ctx context.Context, r io.Reader) ([]proof.Hash, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var pieces []*[]proof.Hash
	err := cutMembers(r, func(piece []byte, last bool) error {
		leaves := new([]proof.Hash)
		pieces = append(pieces, leaves)
		group.Go(func() (err error) {
			*leaves, err = pieceLeaves(ctx, piece, last)
			return err
		})
		return ctx.Err()
	})
	if workErr := group.Wait(); workErr != nil {
		return nil, workErr
	}
	if err != nil {
		return nil, err
	}
	var all []proof.Hash
	for _, leaves := range pieces {
		all = append(all, *leaves...)
	}
	return all, nil
}

// cutMembers yields the pieces of a file between places where members seem to begin, small ones together.
func cutMembers(r io.Reader, yield func(piece []byte, last bool) error) error {
	const little = 64 << 10
	var held []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(r, buf)
		held = append(held, buf[:n]...)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		for {
			at := -1
			if len(held) > little {
				at = bytes.Index(held[little:], memberStart)
			}
			if at < 0 {
				break
			}
			if err := yield(held[:little+at:little+at], false); err != nil {
				return err
			}
			held = held[little+at:]
		}
		if end {
			return yield(held, true)
		}
		if len(held) > maxChunk {
			return errNotByMember
		}
	}
}

func pieceLeaves(ctx context.Context, piece []byte, last bool) ([]proof.Hash, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(piece))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotByMember, err)
	}
	lines, err := io.ReadAll(z)
	if err != nil || !last && !bytes.HasSuffix(lines, []byte("\n")) && len(lines) > 0 {
		return nil, fmt.Errorf("%w: %w", errNotByMember, err)
	}
	return appendLeaves(nil, lines), nil
}

func appendLeaves(leaves []proof.Hash, lines []byte) []proof.Hash {
	for line := range bytes.Lines(lines) {
		leaves = append(leaves, proof.Leaf(proof.Digest(bytes.TrimSuffix(line, []byte("\n")))))
	}
	return leaves
}

// ErrNotGzip is returned (wrapped) for a file that is damaged, or no gzip file at all.
var ErrNotGzip = errors.New("not a whole gzip file")

// StreamLeaves is Leaves for what can be read only once: one goroutine unpacks, others hash.
func StreamLeaves(ctx context.Context, r io.Reader) ([]proof.Hash, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotGzip, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var pieces []*[]proof.Hash
	hash := func(lines []byte) {
		leaves := new([]proof.Hash)
		pieces = append(pieces, leaves)
		group.Go(func() error { *leaves = appendLeaves(nil, lines); return nil })
	}
	var rest []byte
	for err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		buf := make([]byte, len(rest)+1<<20)
		copy(buf, rest)
		n := len(rest)
		for n < len(buf) && err == nil {
			var more int
			more, err = z.Read(buf[n:])
			n += more
		}
		buf = buf[:n]
		cut := bytes.LastIndexByte(buf, '\n') + 1
		if err != nil {
			cut = len(buf)
		}
		hash(buf[:cut])
		rest = buf[cut:]
	}
	group.Wait()
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrNotGzip, err)
	}
	var all []proof.Hash
	for _, leaves := range pieces {
		all = append(all, *leaves...)
	}
	return all, nil
}
