// Package audit reads everything that a bucket has of logs and says what is not as it must be. It trusts nothing but
// the keys that it is given. Package verify reports what it finds.
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
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Auditor checks everything that a bucket has of logs. It reads only, believes nothing but its keys, and computes what
// can be computed: each digest from its bytes, the tree from the lines, the root from the tree, what stands beside a
// segment from its lines.
type Auditor struct {
	Bucket   bucket.Bucket
	Keys     *proof.Keys       // nil: signatures are not checked, and the audit can tell less
	Beside   []segment.Kind    // of objects beside segments that are made again and compared; of others digests are
	Progress func(bytes int64) // called as segments are read; nil: not
}

// Audit is what was found of one log.
type Audit struct {
	Log        string
	Origin     string // of its checkpoint; empty: it has none
	Size       int64  // of the tree that was computed
	Root       proof.Hash
	Checkpoint string   // signed, of the highest manifest; empty: there is none
	Content    int64    // entries whose lines are there
	Removed    int64    // entries of which retention left the digests
	Rebuilt    bool     // there is no manifest to go by
	Unnamed    []string // keys of objects that no manifest names: left by merges and by writers that died
	Findings   []Finding

	tree    proof.Tree
	broken  bool                 // some leaf is not known, so neither is any root behind it
	roots   map[int64]proof.Hash // of the sizes in wanted, as far as the tree grew
	wanted  map[int64]bool
	signed  []signedHead // of all manifests
	entries int64        // that the manifest says there are
	listed  int64        // the highest version in the listing of manifests, readable or not
}

// Finding is something that is not as it must be.
type Finding struct {
	Object  string // key
	Entry   int64  // the first index concerned; -1: none in particular
	What    string
	Missing bool // it is not there, rather than another
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

// RootAt returns the root that the tree had at a size that the audit was asked for.
func (a *Audit) RootAt(size int64) (proof.Hash, bool) {
	root, ok := a.roots[size]
	return root, ok
}

// Logs yields the ids of the logs in the bucket.
func (d *Auditor) Logs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		after := ""
		for {
			next := ""
			for info, err := range d.Bucket.List(ctx, "logs/", after) {
				if err != nil {
					yield("", err)
					return
				}
				next, _, _ = strings.Cut(strings.TrimPrefix(info.Key, "logs/"), "/")
				break
			}
			if next == "" || !yield(next, nil) {
				return
			}
			after = "logs/" + next + "0" // behind everything that begins with "logs/<next>/"
		}
	}
}

// Log audits one log, and notes the roots that it had at some sizes. An error means that the audit could not be carried
// out; what is wrong with the log are findings.
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

// moved tells whether what is missing may be so because the log has got a new manifest since its manifests were listed.
// A manifest that was listed and is damaged is not a new one.
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

// cacheBytes bounds what an audit keeps in memory of the objects that it has read.
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

// manifests reads all manifests of a log and returns the highest that is one; nil if there is none.
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
			continue // cleaned away since it was listed
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

// note notes the root of the tree as it is now, if it is wanted.
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

// skip stands for leaves that cannot be known. It holds nothing for each: the count may be that of a forged manifest.
func (a *Audit) skip(count int64) {
	a.broken = true
	size := a.tree.Size + count
	a.tree = proof.Tree{Size: size, Edge: make([]proof.Hash, bits.OnesCount64(uint64(size)))}
}

// compare compares all that was signed with the tree that was computed.
func (a *Audit) compare() {
	if a.broken {
		return // a finding says why
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

// content reads all that a manifest names, and appends it to the tree. It returns the keys.
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
	defer work.wait() // for who gives up early
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

// isFatal tells whether an error keeps the audit from going on, rather than being something to find.
func isFatal(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// removed appends the digests of what retention has removed.
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

// segment checks a segment, its blocks side by side, appends its lines to the tree, and compares them with what stands
// beside it.
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

// narrow says of an object in which group of 256 entries its lines are not those that its hashes stand for.
func (a *Audit) narrow(key string, entry int64) {
	for i, f := range a.Findings {
		if f.Object == key { // found by another digest already
			a.Findings[i].Entry = max(f.Entry, entry)
			return
		}
	}
	a.find(key, entry, errors.New("the hashes of its groups of 256 entries are not those of its lines"))
}

// blockLeaves returns the leaves of a block's lines, which it gives see, if that is not nil. With an error there may be
// leaves of what is there instead.
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

// unnamed counts the objects of the log that nothing names.
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
