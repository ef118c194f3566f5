package tlog

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// builder makes a segment. Entries are appended here and nowhere else, so this is the place where a log's order is
// made. Blocks are compressed side by side; the builder's memory is bounded by a block for each processor, and the
// segment.
type builder struct {
	blockBytes int // a block is full, and never cut again, once it holds this many bytes of lines
	first      int64
	next       int64 // index of the next entry
	numbers    map[string]int
	names      []string
	blocks     []*block
	current    *block // being filled, or full
	ahead      *block // behind a full current one; becomes part of it unless it gets full itself
	slots      chan struct{}
	filterBits int
	done       sync.WaitGroup

	tree   *proof.Tree // that the entries are appended to; nil: their groups are known
	groups []byte      // hashes of the groups of 256 entries that end in this segment
}

// block is a block in the making.
type block struct {
	Block
	lines  []byte // until it is compressed
	keys   []event.Key
	data   []byte // compressed
	filter []byte
	leaves []proof.Hash // if there is a tree to append them to
}

func newBuilder(first int64, blockBytes int) *builder {
	return &builder{blockBytes: blockBytes, first: first, next: first, numbers: map[string]int{},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)), filterBits: filterBits}
}

// add appends an entry, whose line has its end.
func (w *builder) add(line []byte, e event.Entry) {
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
	w.note(&b.Block, e.Processors)
	w.next++
	if w.full(w.ahead) {
		w.cut(w.current)
		w.current, w.ahead = w.ahead, nil
	}
}

func (w *builder) full(b *block) bool { return b != nil && len(b.lines) >= w.blockBytes }

// end ends the current block. What is too little for a block of its own goes with the one before, so that runs of entries
// that make a block at all leave no small ones, which no merge could join across the full ones between them.
func (w *builder) end() {
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
			w.note(&b.Block, w.names[p:p+1])
		}
		if b.AnyProcessor {
			b.Processors = nil
		}
	}
	w.cut(b)
}

// note lists the processors with the block.
func (w *builder) note(b *Block, processors []string) {
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

// cut compresses a block.
func (w *builder) cut(b *block) {
	w.blocks = append(w.blocks, b)
	w.slots <- struct{}{}
	w.done.Go(func() {
		defer func() { <-w.slots }()
		b.Raw = int64(len(b.lines))
		b.data = gzipmember.Append(make([]byte, 0, len(b.lines)/6), b.lines, gzipmember.Small)
		b.Length, b.Sum = int64(len(b.data)), proof.Digest(b.data)
		b.filter = makeFilter(b.keys, w.filterBits)
		if w.tree != nil {
			b.leaves = make([]proof.Hash, 0, b.Count)
			for line := range bytes.Lines(b.lines) {
				b.leaves = append(b.leaves, proof.Leaf(proof.Digest(line[:len(line)-1])))
			}
		}
		b.lines, b.keys = nil, nil
	})
}

// addBlock appends a block of another segment as it lies.
func (w *builder) addBlock(b Block, names []string, data, filter []byte) {
	w.end()
	listed := make([]string, len(b.Processors))
	for i, p := range b.Processors {
		listed[i] = names[p]
	}
	b.First, b.Processors = w.next, nil
	if b.Sum == (proof.Hash{}) { // of a segment from before there were digests
		b.Sum = proof.Digest(data)
	}
	w.note(&b, listed)
	w.next += int64(b.Count)
	w.blocks = append(w.blocks, &block{Block: b, data: data, filter: filter})
}

// finish returns the segment and what a manifest says of it. Key is left empty.
func (w *builder) finish() ([]byte, Segment) {
	w.end()
	w.done.Wait()
	x := Index{Processors: w.names, Blocks: make([]Block, len(w.blocks))}
	s := Segment{First: w.first, Count: w.next - w.first, MinTime: math.MaxInt64, MaxTime: math.MinInt64}
	var size int
	for _, b := range w.blocks {
		size += len(b.data) + len(b.filter)
	}
	data := make([]byte, 0, size+size/64+4096)
	var filters []byte
	for i, b := range w.blocks {
		x.Blocks[i] = b.Block
		s.MinTime, s.MaxTime = min(s.MinTime, b.MinTime), max(s.MaxTime, b.MaxTime)
		s.Raw += b.Raw
		data = append(data, b.data...)
		filters = append(filters, b.filter...)
		for _, leaf := range b.leaves {
			if group, complete := w.tree.Append(leaf); complete {
				w.groups = append(w.groups, group[:]...)
			}
		}
		b.leaves = nil
		b.data, b.filter = nil, nil
	}
	s.Blocks = int64(len(data))
	filters, groups := gzipmember.AppendAside(nil, idFilters, filters), gzipmember.AppendAside(nil, idGroups, w.groups)
	x.FiltersSum, x.GroupsSum = proof.Digest(filters), proof.Digest(groups)
	index := gzipmember.AppendAside(nil, idBlocks, x.encode())
	s.Sum = proof.Digest(index)
	s.Index, s.Filters, s.Groups = int64(len(index)), int64(len(filters)), int64(len(groups))
	data = append(append(append(data, index...), filters...), groups...)
	return appendTrailer(data, s), s
}
