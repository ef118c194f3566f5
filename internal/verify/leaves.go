package verify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/charset"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
)

// ErrNotGzip is returned (wrapped) for a file that is damaged, or is not a gzip file.
var ErrNotGzip = errors.New("not a whole gzip file")

// eachLeaf calls yield with the leaf hash of each line of a gzip file, in order, until yield fails. One goroutine
// unpacks, and others hash. Memory is bounded by a constant, whatever the file unpacks to, since long lines are hashed
// piece by piece.
func eachLeaf(ctx context.Context, r io.Reader, yield func(proof.Hash) error) (seen content, err error) {
	z, err := openGzip(r)
	if err != nil {
		return seen, err
	}
	text := bufio.NewReaderSize(z, 16)
	if seen.marked, err = skipMark(text); err != nil {
		return seen, err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	group, inner := errgroup.WithContext(inner)
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	todo, inOrder := make(chan *piece), make(chan *piece, workers)
	group.Go(func() error {
		defer close(inOrder)
		defer close(todo)
		return cutPieces(text, func(p *piece) error {
			for _, to := range []chan *piece{inOrder, todo} {
				select {
				case to <- p:
				case <-inner.Done():
					return inner.Err()
				}
			}
			return nil
		})
	})
	for range workers {
		group.Go(func() error {
			var parser event.Parser
			for p := range todo {
				p.read(&parser)
				close(p.hashed)
			}
			return nil
		})
	}
	err = yieldPieces(inner, inOrder, func(p *piece) error {
		seen.taken.join(p.taken)
		for _, leaf := range p.leaves {
			if err := yield(leaf); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		cancel()
	}
	if groupErr := group.Wait(); err == nil || errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = groupErr
	}
	return seen, err
}

// content has the facts about a file that were found beside the hashes of its lines.
type content struct {
	marked bool // there was a byte-order mark, which is ignored
	taken  Taken
}

// openGzip returns a reader of the unpacked file.
func openGzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.HasPrefix([]byte("\x1f\x8b"), head) && len(head) > 0 {
		return nil, fmt.Errorf("%w: it is not compressed; if it was decompressed, compress it again with gzip: only "+
			"its lines count", ErrNotGzip)
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotGzip, err)
	}
	return unpacked{z}, nil
}

// unpacked reads a gzip file, and makes its errors ErrNotGzip.
type unpacked struct{ from io.Reader }

func (u unpacked) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ErrNotGzip, err)
	}
	return n, err
}

// skipMark skips a byte-order mark.
func skipMark(text *bufio.Reader) (marked bool, err error) {
	var head []byte
	for n := 1; n <= 4; n++ {
		if head, err = text.Peek(n); err != nil || !charset.Undecided(head) {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	rest, err := charset.SkipMark(head)
	if err != nil {
		return false, err
	}
	_, err = text.Discard(len(head) - len(rest))
	return len(rest) < len(head), err
}

const (
	pieceBytes = 64 << 10
	maxWorkers = 8
)

// piece is a number of whole lines of a file, and then their leaf hashes.
type piece struct {
	lines  []byte
	leaves []proof.Hash // the first may be there already: that of a line that is longer than a piece
	taken  Taken        // of the lines that are no longer than a piece
	hashed chan struct{}
}

var pieces = sync.Pool{New: func() any { return &piece{lines: make([]byte, 0, pieceBytes)} }}

func newPiece() *piece {
	p := pieces.Get().(*piece)
	p.lines, p.leaves, p.taken, p.hashed = p.lines[:0], p.leaves[:0], Taken{}, make(chan struct{})
	return p
}

// read hashes the lines, and records when they were taken in.
func (p *piece) read(parser *event.Parser) {
	for line := range bytes.Lines(p.lines) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		p.leaves = append(p.leaves, proof.Leaf(proof.Digest(line)))
		if _, err := parser.Scan(line); err != nil {
			continue // not an event, so not a line of a log, as its hash shows
		}
		if facts, ok := parser.Facts(); ok {
			p.taken.join(Taken{First: facts.Taken, Last: facts.Taken, Lines: 1})
		}
	}
}

// cutPieces cuts a text into pieces.
func cutPieces(text io.Reader, yield func(*piece) error) error {
	p := newPiece()
	var err error
	for err == nil {
		var n int
		n, err = io.ReadFull(text, p.lines[len(p.lines):pieceBytes])
		p.lines = p.lines[:len(p.lines)+n]
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrNotGzip) {
			if len(p.lines) > 0 {
				return yield(p)
			}
			return nil
		}
		if err != nil {
			return err
		}
		next := newPiece()
		if end := bytes.LastIndexByte(p.lines, '\n') + 1; end > 0 {
			next.lines = append(next.lines, p.lines[end:]...)
			p.lines = p.lines[:end]
		} else if err = longLine(text, p, next); err != nil {
			return err
		}
		if err = yield(p); err != nil {
			return err
		}
		p = next
	}
	return err
}

// longLine hashes the line whose beginning fills a piece. The bytes read after the line go to the next piece.
func longLine(text io.Reader, p, next *piece) error {
	digest := sha256.New()
	digest.Write(p.lines)
	for {
		n, err := text.Read(p.lines[:pieceBytes])
		line, rest, ended := bytes.Cut(p.lines[:n], []byte("\n"))
		digest.Write(line)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if ended || err != nil {
			next.lines = append(next.lines, rest...)
			p.lines = p.lines[:0]
			p.leaves = append(p.leaves, proof.Leaf(proof.Hash(digest.Sum(nil))))
			return nil
		}
	}
}

// yieldPieces yields pieces in order, each after it is hashed.
func yieldPieces(ctx context.Context, inOrder <-chan *piece, yield func(*piece) error) error {
	for p := range inOrder {
		select {
		case <-p.hashed:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := yield(p); err != nil {
			return err
		}
		pieces.Put(p)
	}
	return ctx.Err()
}

// counted counts the bytes that are read.
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
