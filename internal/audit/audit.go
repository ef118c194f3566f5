// Package audit reads everything in a bucket that belongs to logs, and reports each fault. It trusts only the keys that
// it is given. Package verify makes reports of its findings.
package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"strings"

	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Auditor checks the logs of a bucket. It only reads. It trusts only its keys, and computes everything else: each
// digest from its bytes, the tree from the lines, the root from the tree, and the objects beside a segment from its
// lines.
type Auditor struct {
	Bucket   bucket.Bucket
	Keys     *proof.Keys       // if nil, signatures are not checked, and the audit finds less
	Beside   []segment.Kind    // objects beside segments to make again and compare; of others, only digests are
	Progress func(bytes int64) // if not nil, it is called with the number of bytes that were read of segments
}

// Audit is the result for one log.
type Audit struct {
	Log        string
	Origin     string // of its checkpoint; empty if there is none
	Size       int64  // of the computed tree
	Root       proof.Hash
	Checkpoint string   // signed, of the highest manifest; empty if there is none
	Content    int64    // number of entries whose lines exist
	Removed    int64    // number of entries of which retention kept only the digests
	Rebuilt    bool     // whether the manifest is missing, and was computed from segments
	Unnamed    []string // keys of objects that no manifest names: left by merges and by dead writers
	Findings   []Finding

	tree    proof.Tree
	broken  bool                 // some leaf is unknown, and so are all roots after it
	roots   map[int64]proof.Hash // at the sizes in wanted, as far as the tree goes
	wanted  map[int64]bool
	signed  []signedHead // of all manifests
	entries int64        // number of entries by the manifest
	listed  int64        // highest version in the listing of manifests, readable or not
}

// Finding is one fault.
type Finding struct {
	Object  string // key
	Entry   int64  // index of the first entry concerned; -1 if it concerns no particular one
	What    string
	Missing bool // whether the object is missing, rather than different
}

type signedHead struct {
	key  string
	size int64
	root proof.Hash
}

func (a *Audit) find(object string, entry int64, err error) {
	what := strings.ReplaceAll(err.Error(), "\n", "; ")
	a.Findings = append(a.Findings, Finding{Object: object, Entry: entry, What: what,
		Missing: errors.Is(err, bucket.ErrNotExist)})
}

// RootAt returns the root of the tree at a size that was given to Log. ok is false if the tree did not reach this size.
func (a *Audit) RootAt(size int64) (proof.Hash, bool) {
	root, ok := a.roots[size]
	return root, ok
}

// Logs yields the ids of the logs in the bucket.
func (d *Auditor) Logs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all, after := layout.Manifest.Prefix(), ""
		for {
			next := ""
			for info, err := range d.Bucket.List(ctx, all, after) {
				if err != nil {
					yield("", err)
					return
				}
				next, _, _ = strings.Cut(strings.TrimPrefix(info.Key, all), "/")
				break
			}
			if next == "" || !yield(next, nil) {
				return
			}
			after = all + next + "0" // after all keys that begin with "logs/<next>/"
		}
	}
}

// Log audits one log, and records the roots that it had at these sizes. An error means that the audit could not be
// carried out; faults of the log are findings.
func (d *Auditor) Log(ctx context.Context, log string, sizes ...int64) (*Audit, error) {
	for {
		a, err := d.once(ctx, log, sizes)
		if err != nil {
			return nil, err
		}
		moved, err := d.moved(ctx, log, a)
		if err != nil || !moved {
			return a, err
		}
	}
}

// moved tells whether objects may be missing because the log has got a new manifest since its manifests were listed. A
// listed manifest that is damaged does not count as new.
func (d *Auditor) moved(ctx context.Context, log string, a *Audit) (bool, error) {
	if !a.Rebuilt && !slices.ContainsFunc(a.Findings, func(f Finding) bool { return f.Missing }) {
		return false, nil
	}
	for info, err := range d.Bucket.List(ctx, manifest.Prefix(log), manifest.Key(log, a.listed)) {
		if err != nil {
			return false, err
		}
		if _, err := manifest.VersionOf(log, info.Key); err == nil {
			return true, nil
		}
	}
	return false, nil
}

// cacheBytes bounds the objects that an audit keeps in memory.
const cacheBytes = 8 << 20

func (d *Auditor) objects() *manifest.Objects { return manifest.NewObjects(d.Bucket, cacheBytes) }

func (d *Auditor) once(ctx context.Context, log string, sizes []int64) (*Audit, error) {
	a := &Audit{Log: log, wanted: map[int64]bool{}, roots: map[int64]proof.Hash{}}
	for _, size := range sizes {
		a.wanted[size] = true
	}
	m, err := d.manifests(ctx, a)
	if err != nil {
		return nil, err
	}
	s := d.objects()
	if m == nil {
		m, err = d.rebuild(ctx, s, a)
		if err != nil {
			return nil, err
		}
	}
	a.entries = m.Entries
	a.note()
	named, err := d.content(ctx, s, m, a)
	if err != nil {
		return nil, err
	}
	a.Size, a.Root = a.tree.Size, a.tree.Root()
	a.compare()
	return a, d.unnamed(ctx, m, a, named)
}

// manifests reads all manifests of a log and returns the highest valid one, or nil.
func (d *Auditor) manifests(ctx context.Context, a *Audit) (*manifest.Manifest, error) {
	var highest *manifest.Manifest
	for info, err := range d.Bucket.List(ctx, manifest.Prefix(a.Log), "") {
		if err != nil {
			return nil, err
		}
		version, err := manifest.VersionOf(a.Log, info.Key)
		if err != nil {
			a.find(info.Key, -1, err)
			continue
		}
		a.listed = version
		data, err := bucket.Read(ctx, d.Bucket, info.Key, bucket.Range{})
		if errors.Is(err, bucket.ErrNotExist) {
			continue // deleted by a merge since the listing
		}
		if err != nil {
			return nil, err
		}
		m, err := manifest.Decode(data, a.Log, version)
		if err == nil {
			err = d.authentic(m, data)
		}
		if err != nil {
			a.find(info.Key, -1, err)
			if m == nil {
				continue
			}
		}
		highest = m
		if m.Tree != nil && m.Entries > 0 {
			a.signed = append(a.signed, signedHead{info.Key, m.Tree.Size, m.Tree.Root()})
			a.wanted[m.Tree.Size] = true
			a.Checkpoint, a.Origin = m.Checkpoint, proof.Origin(m.Checkpoint)
		}
	}
	return highest, nil
}

// authentic checks the signatures of a manifest.
func (d *Auditor) authentic(m *manifest.Manifest, data []byte) error {
	if d.Keys == nil {
		return nil
	}
	origin := proof.Origin(m.Checkpoint)
	if m.Entries > 0 && !strings.HasSuffix(origin, "/"+m.Log) {
		return fmt.Errorf("%w: its checkpoint is of %q", manifest.ErrNotAuthentic, origin)
	}
	return m.Verify(data, d.Keys, origin)
}

// note records the root of the tree at this size, if it is wanted.
func (a *Audit) note() {
	if a.wanted[a.tree.Size] && !a.broken {
		a.roots[a.tree.Size] = a.tree.Root()
	}
}

// append appends leaves to the tree.
func (a *Audit) append(leaves []proof.Hash, groups *[]byte) {
	for _, leaf := range leaves {
		if group, complete := a.tree.Append(leaf); complete && groups != nil {
			*groups = append(*groups, group[:]...)
		}
		a.note()
	}
}

// skip stands for unknown leaves. It allocates nothing for them, since a forged manifest may claim any count.
func (a *Audit) skip(count int64) {
	a.broken = true
	size := a.tree.Size + count
	a.tree = proof.Tree{Size: size, Edge: make([]proof.Hash, bits.OnesCount64(uint64(size)))}
}

// compare compares all signed roots with the computed tree.
func (a *Audit) compare() {
	if a.broken {
		return // a finding explains why
	}
	for _, h := range a.signed {
		if root, ok := a.roots[h.size]; !ok {
			a.find(h.key, a.Size, fmt.Errorf("it signs a tree of %d entries, but only %d are there: %w", h.size, a.Size,
				bucket.ErrNotExist))
		} else if root != h.root {
			a.find(h.key, -1, fmt.Errorf("it signs a tree of %d entries with the root %v; the lines give %v", h.size,
				h.root, root))
		}
	}
	if a.Size != a.entries {
		a.find(manifest.Prefix(a.Log), a.Size, fmt.Errorf("%d entries are there, not %d", a.Size, a.entries))
	}
}

// content reads all objects that a manifest names, appends them to the tree, and returns their keys.
func (d *Auditor) content(ctx context.Context, s *manifest.Objects, m *manifest.Manifest,
	a *Audit) (map[string]bool, error) {
	named := map[string]bool{}
	for _, r := range m.Removing {
		named[r.Key] = true
	}
	if err := d.removed(ctx, s, m, a, named); err != nil {
		return nil, err
	}
	work := newInOrder(ctx, runtime.GOMAXPROCS(0))
	defer work.wait() // for an early return
	add := func(seg manifest.Segment) {
		for key := range seg.Keys() {
			named[key] = true
		}
		for _, b := range seg.Beside {
			var err error
			work.do(func() { _, err = s.ReadSized(ctx, b.Key, b.Size, b.Sum) }, func() {
				if err != nil && !isFatal(err) {
					a.findBeside(b.Key, err)
				}
			})
		}
		d.segment(ctx, s, a, seg, work)
	}
	for _, h := range m.History {
		named[h.Key] = true
		segments, err := s.History(ctx, h)
		if isFatal(err) {
			return nil, err
		}
		if err != nil {
			work.do(nil, func() {
				a.find(h.Key, h.First, err)
				a.skip(h.Count)
			})
			continue
		}
		for _, seg := range segments {
			add(seg)
		}
	}
	for _, seg := range m.Segments {
		add(seg)
	}
	work.wait()
	return named, ctx.Err()
}

// isFatal tells whether an error ends the audit, rather than being a finding.
func isFatal(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// removed appends the digests of entries that retention has removed.
func (d *Auditor) removed(ctx context.Context, s *manifest.Objects, m *manifest.Manifest, a *Audit,
	named map[string]bool) error {
	for _, r := range m.Digests {
		named[r.Key] = true
		if r.First != a.tree.Size {
			a.find(r.Key, r.First, fmt.Errorf("the digests before it end at entry %d", a.tree.Size))
		}
		data, err := s.ReadSized(ctx, r.Key, r.Count*modtlog.HashSize, r.Sum)
		if err == nil && (len(data)%modtlog.HashSize != 0 || int64(len(data)/modtlog.HashSize) != r.Count) {
			err = fmt.Errorf("it has %d bytes for %d entries", len(data), r.Count)
		}
		if isFatal(err) {
			return err
		}
		if err != nil {
			a.find(r.Key, r.First, err)
			a.skip(r.Count)
			continue
		}
		a.Removed += r.Count
		leaves := make([]proof.Hash, r.Count)
		for i := range leaves {
			leaves[i] = proof.Leaf(proof.Hash(data[i*modtlog.HashSize:]))
		}
		a.append(leaves, nil)
	}
	if missing := m.Pruned.End() - a.tree.Size; missing > 0 {
		a.find(manifest.Prefix(a.Log), a.tree.Size, fmt.Errorf("the digests of %d removed entries: %w", missing,
			bucket.ErrNotExist))
		a.skip(missing)
	}
	return nil
}

// segment checks a segment, several of its blocks at a time, appends its lines to the tree, and compares the lines with
// the objects beside the segment.
func (d *Auditor) segment(ctx context.Context, s *manifest.Objects, a *Audit, seg manifest.Segment, work *inOrder) {
	x, err := s.Index(ctx, seg)
	var groups []byte
	if err == nil {
		_, err = s.Filters(ctx, seg, x)
	}
	if err == nil {
		groups, err = s.Groups(ctx, seg)
	}
	if err == nil {
		err = checkFrame(ctx, d.Bucket, seg, x)
	}
	if err != nil {
		work.do(nil, func() {
			a.find(seg.Key, seg.First, err)
			a.skip(seg.Count)
		})
		return
	}
	var computed []byte
	unread, differs := false, false
	beside := newDerived(d.Beside, seg, x)
	for i := range x.Blocks {
		b := x.Blocks[i]
		var leaves []proof.Hash
		var err error
		work.do(func() { leaves, err = blockLeaves(ctx, s, seg, b, beside.note(i)) }, func() {
			if d.Progress != nil {
				d.Progress(b.Length)
			}
			switch {
			case err == nil:
				a.Content += int64(b.Count)
			case len(leaves) == b.Count:
				a.find(seg.Key, b.First, err)
				a.broken, differs = true, true
			default:
				a.find(seg.Key, b.First, err)
				a.skip(int64(b.Count))
				unread, leaves = true, nil
			}
			a.append(leaves, &computed)
		})
	}
	work.do(nil, func() {
		if a.tree.Size != seg.End() {
			a.find(seg.Key, seg.First, fmt.Errorf("it ends at entry %d, not at %d", a.tree.Size, seg.End()))
		}
		if !unread && !bytes.Equal(groups, computed) {
			group := seg.First/proof.Group + int64(firstDifference(groups, computed)/modtlog.HashSize)
			a.narrow(seg.Key, max(seg.First, group*proof.Group))
		}
		if !unread && !differs {
			beside.compare(a, seg)
		}
	})
}

// narrow reports the group of 256 entries in which the lines of an object do not give the hashes of the segment.
func (a *Audit) narrow(key string, entry int64) {
	for i, f := range a.Findings {
		if f.Object == key { // another digest has shown it
			a.Findings[i].Entry = max(f.Entry, entry)
			return
		}
	}
	a.find(key, entry, errors.New("the hashes of its groups of 256 entries are not those of its lines"))
}

// blockLeaves returns the leaves of a block's lines. If see is not nil, it is called with the lines. With an error, the
// leaves may be those of damaged lines.
func blockLeaves(ctx context.Context, s *manifest.Objects, seg manifest.Segment, b segment.Block,
	see func(lines []byte)) ([]proof.Hash, error) {
	data, err := s.ReadExactly(ctx, seg.Key, b.Offset, b.Length)
	if err != nil {
		return nil, err
	}
	differs := s.CheckBlock(seg, &b, data)
	digests, err := s.DigestsOf(seg, b, data, see)
	for i, d := range digests {
		digests[i] = proof.Leaf(d)
	}
	return digests, errors.Join(differs, err)
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// unnamed lists the objects of the log that no manifest names.
func (d *Auditor) unnamed(ctx context.Context, m *manifest.Manifest, a *Audit, named map[string]bool) error {
	for _, prefix := range []string{manifest.SegmentPrefix(a.Log), manifest.BesidePrefix(a.Log),
		manifest.HistoryPrefix(a.Log), manifest.DigestsPrefix(a.Log)} {
		for info, err := range d.Bucket.List(ctx, prefix, "") {
			if err != nil {
				return err
			}
			if !named[info.Key] {
				a.Unnamed = append(a.Unnamed, info.Key)
			}
		}
	}
	return nil
}
