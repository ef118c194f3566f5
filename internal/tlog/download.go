package tlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/wal"
)

// Download is the events of a log that a query selects, as they are at the moment when Logs.Download returned, each
// exactly once, as one gzip file. Its memory is bounded whatever the query selects.
type Download struct {
	store *Logs
	view  *view
	query Query

	// Of each section of the tail: what is known of its lines, and those that the log or an earlier section has already.
	entries [][]wal.Entry
	skip    []map[int]bool

	// If the file's size can be known cheaply it is made of these, which never change any more: bytes held here, and
	// runs of full blocks, which every merge copies as they lie.
	parts []part
	size  int64

	unmade *unmade // parts that Prepare makes, if it is called
}

// unmade is a download that is little work, but work.
type unmade struct {
	parts  []part
	copied int64
}

// part is one or the other.
type part struct {
	data        []byte
	first, last int64 // entries [first, last)
}

// Download takes a consistent view of a log and returns what the query selects of it.
func (s *Logs) Download(ctx context.Context, log string, q Query) (*Download, error) {
	for {
		v, err := s.view(ctx, log)
		if err != nil {
			return nil, err
		}
		d, err := s.prepare(ctx, v, q)
		if err == nil {
			return d, nil
		}
		if old, oldErr := s.outdated(ctx, v.manifest, err); !old {
			return nil, oldErr
		}
	}
}

// outdated tells whether err comes from an object that m names, or that was waiting beside it, being gone because there
// is a newer manifest. If not it returns err, or what kept it from finding out.
func (s *Logs) outdated(ctx context.Context, m *Manifest, err error) (bool, error) {
	if !errors.Is(err, bucket.ErrNotExist) {
		return false, err
	}
	version, versionErr := s.highest(ctx, m.Log, m.Version)
	if versionErr != nil {
		return false, versionErr
	}
	if version == m.Version {
		return false, fmt.Errorf("lost: %w", err)
	}
	return true, nil
}

func (s *Logs) prepare(ctx context.Context, v *view, q Query) (*Download, error) {
	d := &Download{store: s, view: v, query: q, size: -1}
	v.tail = slices.DeleteFunc(v.tail, func(t tailSection) bool {
		return t.MaxTime < q.Start || t.MinTime >= q.End || q.Processor != "" && !slices.Contains(t.Processors, q.Processor)
	})
	if err := d.findDuplicates(ctx); err != nil {
		return nil, err
	}
	return d, d.measure(ctx)
}

// Size returns the number of bytes that WriteTo writes, -1 if only writing will tell.
func (d *Download) Size() int64 { return d.size }

// Head returns the tree of the log as the download holds it; what the file holds beyond is not sequenced yet.
func (d *Download) Head() Head { return d.view.manifest.head() }

// findDuplicates notes which lines of the tail are in the log or in an earlier section, exactly as sequencing will.
func (d *Download) findDuplicates(ctx context.Context) error {
	seen := map[event.Key]struct{}{}
	d.entries = make([][]wal.Entry, len(d.view.tail))
	d.skip = make([]map[int]bool, len(d.view.tail))
	for i, t := range d.view.tail {
		entries, err := d.store.wal.Entries(ctx, t.object, t.Section)
		if err != nil {
			return err
		}
		d.entries[i] = entries
		known, err := d.store.known(ctx, d.view.manifest, entries)
		if err != nil {
			return err
		}
		for j, e := range entries {
			_, twice := seen[e.Key]
			seen[e.Key] = struct{}{}
			if !twice && !known[j] {
				continue
			}
			if d.skip[i] == nil {
				d.skip[i] = map[int]bool{}
			}
			d.skip[i][j] = true
		}
	}
	return nil
}

// WriteTo writes the gzip file. After an error what was written is not a whole file: the caller must break the
// connection rather than end it cleanly.
func (d *Download) WriteTo(ctx context.Context, w io.Writer) error {
	out := &output{w: w, query: d.query}
	if d.size >= 0 {
		return d.writeParts(ctx, out)
	}
	if err := d.store.writeEntries(ctx, out, d.view.manifest, 0, d.view.manifest.Entries); err != nil {
		return err
	}
	if err := d.writeTail(ctx, out); err != nil {
		return err
	}
	return out.end()
}

func (d *Download) writeParts(ctx context.Context, out *output) error {
	for _, p := range d.parts {
		if p.data != nil {
			if _, err := out.w.Write(p.data); err != nil {
				return err
			}
			continue
		}
		all := &output{w: out.w, query: Query{Start: minInt64, End: maxInt64}}
		if err := d.store.writeEntries(ctx, all, d.view.manifest, p.first, p.last); err != nil {
			return err
		}
	}
	return nil
}

// Bounds on what measure may spend: a download whose size is cheap to know tells it, so that clients see progress and
// the kernel does the copying.
const (
	measureParts  = 64
	measureCuts   = 4
	measureMemory = 1 << 20 // bytes
	measureWorth  = 1 << 20 // bytes; a smaller download with blocks to cut is sent at once instead
)

// measure tries to find the size of the file.
func (d *Download) measure(ctx context.Context) error {
	full := int64(d.store.options.BlockBytes)
	var parts []part
	var cuts int
	var copied, memory int64
	for r, err := range d.store.runs(ctx, d.view.manifest, 0, d.view.manifest.Entries, d.query) {
		if err != nil {
			return err
		}
		for _, b := range r.blocks {
			stable := !r.cut && b.Raw >= full
			switch last := len(parts) - 1; {
			case stable && last >= 0 && parts[last].data == nil && parts[last].last == b.First:
				parts[last].last = b.End()
			case stable:
				parts = append(parts, part{first: b.First, last: b.End()})
			default:
				parts = append(parts, part{data: []byte{}, first: b.First, last: b.End()})
				memory += b.Length
			}
			if stable {
				copied += b.Length
			}
		}
		if r.cut {
			cuts++
		}
		if len(parts) > measureParts || cuts > measureCuts || memory > measureMemory {
			return nil
		}
	}
	for i, t := range d.view.tail {
		if memory += t.Length; d.tailIsCut(i) {
			cuts++
		}
	}
	if len(parts)+len(d.view.tail) > measureParts || cuts > measureCuts || memory > measureMemory {
		return nil
	}
	if cuts > 0 && copied < measureWorth {
		d.unmade = &unmade{parts, copied}
		return nil
	}
	return d.hold(ctx, parts, copied)
}

// Prepare makes the file of a small download in memory, if it is not made yet, for who has something to wait for before the
// first byte may be sent. Where that fails WriteTo will find out why.
func (d *Download) Prepare(ctx context.Context) {
	if d.unmade == nil || d.size >= 0 {
		return
	}
	if err := d.hold(ctx, d.unmade.parts, d.unmade.copied); err != nil {
		d.parts, d.size = nil, -1
	}
}

// hold makes the parts that are held in memory.
func (d *Download) hold(ctx context.Context, parts []part, copied int64) error {
	size := copied
	for i, p := range parts {
		if p.data == nil {
			continue
		}
		data, err := d.make(func(out *output) error {
			return d.store.writeEntries(ctx, out, d.view.manifest, p.first, p.last)
		})
		if err != nil {
			return err
		}
		parts[i].data = data
		size += int64(len(data))
	}
	data, err := d.make(func(out *output) error {
		for i := range d.view.tail {
			if err := d.writeSection(ctx, out, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if size += int64(len(data)); size == 0 {
		data, size = gzipmember.Empty, int64(len(gzipmember.Empty))
	}
	d.parts, d.size = append(parts, part{data: data}), size
	d.entries, d.skip = nil, nil
	return nil
}

func (d *Download) make(write func(*output) error) ([]byte, error) {
	var buf bytes.Buffer
	out := &output{w: &buf, query: d.query}
	if err := write(out); err != nil {
		return nil, err
	}
	if err := out.flush(); err != nil {
		return nil, err
	}
	if buf.Len() == 0 {
		return []byte{}, nil
	}
	return buf.Bytes(), nil
}

func (d *Download) tailIsCut(i int) bool {
	t := d.view.tail[i]
	return len(d.skip[i]) > 0 || d.query.Processor != "" || t.MinTime < d.query.Start || t.MaxTime >= d.query.End
}

// writeSection writes one section of the tail.
func (d *Download) writeSection(ctx context.Context, out *output, i int) error {
	t := d.view.tail[i]
	if len(d.skip[i]) == t.Count {
		return nil
	}
	data, err := d.store.wal.Member(ctx, t.object, t.Section)
	if err != nil {
		return err
	}
	if !d.tailIsCut(i) {
		return out.copy(bytes.NewReader(data))
	}
	n := -1
	return out.cut(data, t.RawLength, func([]byte) bool { n++; return !d.skip[i][n] })
}

// writeTail writes the sections of the tail. One that is gone has been sequenced: its events, and those of the sections
// behind it, are then taken from where they are now.
func (d *Download) writeTail(ctx context.Context, out *output) error {
	for i := range d.view.tail {
		err := d.writeSection(ctx, out, i)
		if errors.Is(err, bucket.ErrNotExist) {
			return d.follow(ctx, out, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow writes the events of the tail's sections from number i on, from wherever they have moved to.
func (d *Download) follow(ctx context.Context, out *output, i int) error {
	wanted := map[event.Key]struct{}{}
	for ; i < len(d.view.tail); i++ {
		for j, e := range d.entries[i] {
			if !d.skip[i][j] && d.query.selects(e) {
				wanted[e.Key] = struct{}{}
			}
		}
	}
	out.take = func(k event.Key) bool {
		_, ok := wanted[k]
		delete(wanted, k)
		return ok
	}
	defer func() { out.take = nil }()
	from := d.view.manifest.Entries
	for len(wanted) > 0 {
		v, err := d.store.view(ctx, d.view.manifest.Log)
		if err != nil {
			return err
		}
		if err = d.store.writeTaken(ctx, out, v, from); err == nil && len(wanted) > 0 {
			err = cmp.Or(v.manifest.pruned(from, out.query),
				fmt.Errorf("%d events of log %s that waited to be sequenced are gone", len(wanted), v.manifest.Log))
		}
		if err == nil {
			return nil
		}
		if old, err := d.store.outdated(ctx, v.manifest, err); !old {
			return err
		}
	}
	return nil
}

// writeTaken writes the events that out takes of those from the entry from on. With bucket.ErrNotExist the view has
// become old, and what was not written is to be looked for in a newer one.
func (s *Logs) writeTaken(ctx context.Context, out *output, v *view, from int64) error {
	for r, err := range s.runs(ctx, v.manifest, from, v.manifest.Entries, out.query) {
		if err != nil {
			return err
		}
		for _, b := range r.blocks {
			if err := s.writeBlock(ctx, out, r.segment, b, from, v.manifest.Entries); err != nil {
				return err
			}
		}
	}
	for _, t := range v.tail {
		data, err := s.wal.Member(ctx, t.object, t.Section)
		if err != nil {
			return err
		}
		if err := out.cut(data, t.RawLength, nil); err != nil {
			return err
		}
	}
	return nil
}

// run is consecutive blocks of a segment that are treated alike.
type run struct {
	segment Segment
	number  int // of the first block in the segment
	blocks  []segment.Block
	cut     bool // a single block that holds other entries too
}

// runs yields the blocks with entries of [from, to) that may hold events of the query, in order.
func (s *Logs) runs(ctx context.Context, m *Manifest, from, to int64, q Query) iter.Seq2[run, error] {
	return func(yield func(run, error) bool) {
		for seg, err := range s.segments(ctx, m, from, q.Start, q.End-1) {
			if err != nil {
				yield(run{}, err)
				return
			}
			if seg.First >= to {
				return
			}
			x, err := s.index(ctx, seg)
			if err != nil {
				yield(run{}, err)
				return
			}
			if !yieldRuns(seg, x, from, to, q, yield) {
				return
			}
		}
	}
}

func yieldRuns(seg Segment, x *segment.Index, from, to int64, q Query, yield func(run, error) bool) bool {
	number := x.Number(q.Processor)
	copyFrom := -1 // first block of the run that is being collected
	flush := func(end int) bool {
		start := copyFrom
		copyFrom = -1
		return start < 0 || yield(run{segment: seg, number: start, blocks: x.Blocks[start:end]}, nil)
	}
	for i := range x.Blocks {
		b := &x.Blocks[i]
		whole := b.First >= from && b.End() <= to && b.MinTime >= q.Start && b.MaxTime < q.End && q.Processor == ""
		wanted := b.End() > from && b.First < to && b.MaxTime >= q.Start && b.MinTime < q.End && (q.Processor == "" || b.MayConcern(number))
		if wanted && whole {
			if copyFrom < 0 {
				copyFrom = i
			}
			continue
		}
		if !flush(i) || wanted && !yield(run{segment: seg, number: i, blocks: x.Blocks[i : i+1], cut: true}, nil) {
			return false
		}
	}
	return flush(len(x.Blocks))
}

// writeEntries writes the entries [from, to) that out's query selects. A segment that a merge took away meanwhile is
// continued in its successor, at the same entry.
func (s *Logs) writeEntries(ctx context.Context, out *output, m *Manifest, from, to int64) error {
	for {
		next, err := s.writeRuns(ctx, out, m, from, to)
		if err == nil {
			return nil
		}
		if old, err := s.outdated(ctx, m, err); !old {
			return err
		}
		from = max(next, m.Pruned.end())
		if m, err = s.manifest(ctx, m.Log); err != nil {
			return err
		}
		if err := m.pruned(from, out.query); err != nil {
			return err // going on would look like the whole
		}
	}
}

// pruned returns ErrPruned if entries from an index on that a query may select have been removed.
func (m *Manifest) pruned(from int64, q Query) error {
	gone := m.Pruned
	if from < gone.end() && gone.MaxTime >= q.Start && gone.MinTime < q.End {
		return fmt.Errorf("entries %d to %d of log %s: %w", from, gone.end()-1, m.Log, ErrPruned)
	}
	return nil
}

// ErrPruned is returned (wrapped) by a download of entries that retention removes meanwhile.
var ErrPruned = errors.New("removed by retention while they were being read")

// writeRuns returns the entry before which everything has been written.
func (s *Logs) writeRuns(ctx context.Context, out *output, m *Manifest, from, to int64) (next int64, err error) {
	next = from
	for r, err := range s.runs(ctx, m, from, to, out.query) {
		if err != nil {
			return next, err
		}
		if err := ctx.Err(); err != nil {
			return next, err
		}
		if r.cut {
			err = s.writeBlock(ctx, out, r.segment, r.blocks[0], from, to)
		} else {
			err = s.copyBlocks(ctx, out, r)
		}
		if err != nil {
			return next, err
		}
		next = r.blocks[len(r.blocks)-1].End()
	}
	return to, nil
}

// copyBlocks copies the blocks of a run as they lie. Those of an object that was not compared with their digests yet, or
// that has changed since, are compared now, before they are sent; others are the kernel's to copy.
func (s *Logs) copyBlocks(ctx context.Context, out *output, r run) error {
	first, last := r.blocks[0], r.blocks[len(r.blocks)-1]
	o, err := s.bucket.Get(ctx, r.segment.Key, bucket.Range{Offset: first.Offset, Length: last.Offset + last.Length - first.Offset})
	if err != nil {
		return err
	}
	defer o.Close()
	known := s.blocksVerified(r.segment.Key, o.Version)
	if known.has(r.number, len(r.blocks)) {
		return out.copy(o)
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for i := range r.blocks {
		b := &r.blocks[i]
		data := slices.Grow((*buf)[:0], int(b.Length))[:b.Length]
		*buf = data
		if _, err := io.ReadFull(o, data); err != nil {
			return fmt.Errorf("block of %s at %d: %w", r.segment.Key, b.Offset, err)
		}
		if err := s.forgetIfForged(r.segment.Key, checkBlock(b, data, r.segment.Key)); err != nil {
			return err
		}
		if err := out.copy(bytes.NewReader(data)); err != nil {
			return err
		}
		known.add(r.number + i)
	}
	return nil
}

// writeBlock writes those entries [from, to) of a block that out selects.
func (s *Logs) writeBlock(ctx context.Context, out *output, seg Segment, b segment.Block, from, to int64) error {
	data, err := s.block(ctx, seg, b)
	if err != nil {
		return err
	}
	var keep func([]byte) bool
	if b.First < from || b.End() > to {
		next := b.First
		keep = func([]byte) bool { next++; return next > from && next <= to }
	}
	if err := out.cut(data, b.Raw, keep); err != nil {
		return fmt.Errorf("block of %s at %d: %w", seg.Key, b.Offset, err)
	}
	return nil
}
