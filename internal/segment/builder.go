package segment

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// Builder makes a segment from entries or from other segments. It compresses blocks in parallel. Its memory is bounded
// by a block for each CPU, plus the segment. It must not be used concurrently.
type Builder struct {
	blockBytes int
	kinds      []Kind // of the parts inside the segment, then of the objects beside it
	inside     int    // number of kinds of parts inside the segment
	first      int64
	next       int64 // index of the next entry
	sources    []*Source
	numbers    map[string]int // of processors
	names      []string
	blocks     []*block
	current    *block // the block that is being filled, or is full
	ahead      *block // the block after a full current one; it is joined to that one unless it gets full too
	slots      chan struct{}
	done       sync.WaitGroup
}

// block is a block that is being made.
type block struct {
	Block
	lines  []byte // until the block is compressed
	keys   []event.Key
	data   []byte // compressed
	notes  []any  // by kind
	source *Source
	number int // number of the block in source
	err    error
}

// New returns a Builder of a segment of entries that are appended to a tree. A block is full once it holds blockBytes
// bytes of lines. Full blocks are never cut again.
func New(tree *proof.Tree, blockBytes int, beside ...Kind) *Builder {
	return newBuilder(tree.Size, blockBytes, &groups{tree}, beside)
}

// NewMerge returns a Builder of a segment that is merged from others. first is the index of its first entry.
func NewMerge(first int64, blockBytes int, beside ...Kind) *Builder {
	return newBuilder(first, blockBytes, &groups{}, beside)
}

func newBuilder(first int64, blockBytes int, g *groups, beside []Kind) *Builder {
	inside := []Kind{filters{}, g}
	return &Builder{blockBytes: blockBytes, kinds: append(inside, beside...), inside: len(inside), first: first,
		next:    first,
		numbers: map[string]int{}, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// Add appends an entry. The line ends with '\n'.
func (w *Builder) Add(line []byte, e event.Entry) {
	at := &w.current
	if w.full(w.current) {
		at = &w.ahead
	}
	if *at == nil {
		*at = &block{Block: Block{First: w.next, MinTime: math.MaxInt64, MaxTime: math.MinInt64},
			lines: make([]byte, 0, w.blockBytes+w.blockBytes/8)}
	}
	b := *at
	b.lines = append(b.lines, line...)
	b.keys = append(b.keys, e.Key)
	b.Count++
	b.MinTime, b.MaxTime = min(b.MinTime, e.Time), max(b.MaxTime, e.Time)
	w.list(&b.Block, e.Processors)
	w.next++
	if w.full(w.ahead) {
		w.cut(w.current)
		w.current, w.ahead = w.ahead, nil
	}
}

func (w *Builder) full(b *block) bool { return b != nil && len(b.lines) >= w.blockBytes }

// Merge appends the remaining entries of a segment. Full blocks are copied unchanged, so their bytes never change; the
// entries of smaller blocks are collected into new blocks. read returns the stored bytes of a block of the segment.
func (w *Builder) Merge(s *Source, read func(*Block) ([]byte, error)) error {
	if s.First != w.next {
		return fmt.Errorf("merge: entry %d follows entry %d: %w", s.First, w.next-1, ErrCorrupt)
	}
	w.sources = append(w.sources, s)
	for i := range s.Index.Blocks {
		b := &s.Index.Blocks[i]
		data, err := read(b)
		if err != nil {
			return err
		}
		if b.Raw >= int64(w.blockBytes) {
			w.copy(s, i, data)
			continue
		}
		entries, err := b.Entries(data)
		if err != nil {
			return fmt.Errorf("block with entries %d to %d: %w", b.First, b.End()-1, err)
		}
		for i, e := range entries.Entries {
			w.Add(entries.Line(i), e)
		}
	}
	return nil
}

// end ends the current block. Lines that are too few for a block are added to the block before. So long runs of entries
// leave no small blocks, which no merge could join across the full blocks between them.
func (w *Builder) end() {
	b, a := w.current, w.ahead
	w.current, w.ahead = nil, nil
	if b == nil {
		return
	}
	if a != nil {
		b.lines, b.keys, b.Count = append(b.lines, a.lines...), append(b.keys, a.keys...), b.Count+a.Count
		b.MinTime, b.MaxTime = min(b.MinTime, a.MinTime), max(b.MaxTime, a.MaxTime)
		b.AnyProcessor = b.AnyProcessor || a.AnyProcessor
		for _, p := range a.Processors {
			w.list(&b.Block, w.names[p:p+1])
		}
		if b.AnyProcessor {
			b.Processors = nil
		}
	}
	w.cut(b)
}

// list adds processors to the list of a block.
func (w *Builder) list(b *Block, processors []string) {
	for _, p := range processors {
		if b.AnyProcessor {
			return
		}
		n, ok := w.numbers[p]
		if !ok && len(p) <= maxProcessorName {
			n = len(w.names)
			w.numbers[p] = n
			w.names = append(w.names, p)
		}
		if slices.Contains(b.Processors, n) && len(p) <= maxProcessorName {
			continue
		}
		if len(p) > maxProcessorName || len(b.Processors) == maxBlockProcessors {
			b.AnyProcessor, b.Processors = true, nil
			return
		}
		b.Processors = append(b.Processors, n)
	}
}

// cut ends a block, and compresses it.
func (w *Builder) cut(b *block) {
	w.blocks = append(w.blocks, b)
	w.work(func() {
		b.data = b.encode(b.lines)
		b.notes = make([]any, len(w.kinds))
		for i, k := range w.kinds {
			b.notes[i] = k.Note(Content{Block: &b.Block, Lines: b.lines, Keys: b.keys})
		}
		b.lines, b.keys = nil, nil
	})
}

// copy appends a block of another segment unchanged.
func (w *Builder) copy(s *Source, number int, data []byte) {
	w.end()
	b := &block{Block: s.Index.Blocks[number], data: data, source: s, number: number, notes: make([]any, len(w.kinds))}
	listed := make([]string, len(b.Processors))
	for i, p := range b.Processors {
		listed[i] = s.Index.Processors[p]
	}
	b.First, b.Processors = w.next, nil
	w.list(&b.Block, listed)
	w.next += int64(b.Count)
	w.blocks = append(w.blocks, b)
	lacks := func(k Kind) bool { _, ok := s.Parts[k.ID()]; return !ok }
	if !slices.ContainsFunc(w.kinds[w.inside:], lacks) {
		return
	}
	w.work(func() {
		lines, err := b.Decode(nil, data)
		if err != nil {
			b.err = fmt.Errorf("block with entries %d to %d: %w", b.First, b.End()-1, err)
			return
		}
		for i := w.inside; i < len(w.kinds); i++ {
			if lacks(w.kinds[i]) {
				b.notes[i] = w.kinds[i].Note(Content{Block: &b.Block, Lines: lines})
			}
		}
	})
}

// work runs do in parallel with other work.
func (w *Builder) work(do func()) {
	w.slots <- struct{}{}
	w.done.Go(func() {
		defer func() { <-w.slots }()
		do()
	})
}

// Finish returns the segment, its description for a manifest, and the objects beside it. The Builder must not be used
// afterwards. If a Builder is abandoned without Finish, only running compressions continue, and end soon.
func (w *Builder) Finish() (data []byte, info Info, beside []Object, err error) {
	w.end()
	w.done.Wait()
	x := Index{Processors: w.names, Blocks: make([]Block, len(w.blocks))}
	for i, b := range w.blocks {
		x.Blocks[i] = b.Block
		err = cmp.Or(err, b.err)
	}
	if err != nil {
		return nil, Info{}, nil, err
	}
	info.First = w.first
	info.sumUp(x.Blocks)
	var parts []byte
	for i, k := range w.kinds {
		content, err := w.part(i)
		if err != nil {
			return nil, Info{}, nil, fmt.Errorf("part %s: %w", k.ID(), err)
		}
		if i >= w.inside {
			o, err := NewObject(k, content)
			if err != nil {
				return nil, Info{}, nil, fmt.Errorf("part %s: %w", k.ID(), err)
			}
			if content != nil {
				beside = append(beside, o)
			}
			continue
		}
		start := len(parts)
		parts = gzipmember.AppendAside(parts, k.ID().aside(), content)
		x.Parts = append(x.Parts, Part{ID: k.ID(), Span: Span{Length: int64(len(parts) - start)},
			Sum: proof.Digest(parts[start:])})
	}
	index := x.encode()
	info.Blocks = int64(gzipmember.HeadSize + gzipmember.TailSize)
	for _, b := range w.blocks {
		info.Blocks += int64(len(b.data))
	}
	info.Index, info.Parts, info.Sum = int64(len(index)), int64(len(parts)), proof.Digest(index)
	data = append(make([]byte, 0, info.Size()), gzipmember.Head...)
	for _, b := range w.blocks {
		data = append(data, b.data...)
		b.data = nil
	}
	data = append(data, x.Tail()...)
	data = append(append(append(data, index...), parts...), info.Trailer()...)
	return data, info, beside, nil
}

// NewObject returns an object of a kind with the given content.
func NewObject(k Kind, content []byte) (o Object, err error) {
	o = Object{ID: k.ID(), Data: content}
	if headed, ok := k.(Headed); ok && content != nil {
		o.Head, err = headed.HeadLength(content)
	}
	return o, err
}

// part returns the content of the part of a kind.
func (w *Builder) part(kind int) ([]byte, error) {
	k := w.kinds[kind]
	made := make([]Made, len(w.blocks))
	for i, b := range w.blocks {
		made[i] = Made{Block: &b.Block, Note: b.notes[kind]}
		if b.source == nil {
			continue
		}
		if _, ok := b.source.Parts[k.ID()]; ok {
			made[i].Source, made[i].Number = b.source, b.number
		}
	}
	if w.sources == nil {
		return k.Build(made)
	}
	return k.Merge(w.sources, made)
}
