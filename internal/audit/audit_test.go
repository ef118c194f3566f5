package audit

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
	"github.com/weirlog/weir/internal/wal"
)

// audited is a log with everything that a log can have: history, many segments, removed entries.
type audited struct {
	t    *testing.T
	b    *bucketest.Memory
	o    tlog.Options
	keys *proof.Keys
}

// small has logs of many small objects.
var small = tlog.Options{BlockBytes: 4 << 10, MergeWidth: 4, SegmentBytes: 32 << 10, Grace: time.Nanosecond,
	HistorySegments: 3}

func newStore(b bucket.Bucket, o tlog.Options) *tlog.Logs {
	return tlog.NewLogs(b, wal.NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20), o)
}

func read(t testing.TB, s *tlog.Logs, q tlog.Query) (lines []string) {
	t.Helper()
	r, err := s.Read(t.Context(), tlogtest.Log, q)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range r.Entries(t.Context(), r.First()) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(e.Line))
	}
	return lines
}

const auditedEntries = 8000

func newAudited(t *testing.T) *audited {
	o := small
	o.Keys, _ = tlogtest.NewKeys(t)
	o.Origin = tlogtest.Origin
	o.Beside = []segment.Kind{tlogtest.LineCounts{}}
	a := &audited{t, bucketest.NewMemory(), o, o.Keys}
	s := newStore(a.b, o)
	tlogtest.Fill(t, s, auditedEntries, 130, 3)
	if _, err := s.PruneTo(t.Context(), tlogtest.Log, 1_500_000, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), tlogtest.Log); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *audited) audit(sizes ...int64) *Audit {
	a.t.Helper()
	d := &Auditor{Bucket: a.b, Keys: a.keys}
	result, err := d.Log(a.t.Context(), tlogtest.Log, sizes...)
	if err != nil {
		a.t.Fatal(err)
	}
	return result
}

func (a *audited) object(key string) []byte {
	data, err := bucket.Read(a.t.Context(), a.b, key, bucket.Range{})
	if err != nil {
		a.t.Fatal(err)
	}
	return slices.Clone(data)
}

func (a *audited) put(key string, data []byte) {
	if err := a.b.Put(a.t.Context(), key, data); err != nil {
		a.t.Fatal(err)
	}
}

// keysOf returns the keys of the log's objects that begin with kind.
func (a *audited) keysOf(kind string) (keys []string) {
	for info, err := range a.b.List(a.t.Context(), manifest.LogPrefix(tlogtest.Log)+kind, "") {
		if err != nil {
			a.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// highest returns the log's highest manifest.
func (a *audited) highest() *manifest.Manifest {
	a.t.Helper()
	version, err := manifest.Highest(a.t.Context(), a.b, tlogtest.Log, 0)
	if err != nil {
		a.t.Fatal(err)
	}
	m, err := manifest.Decode(a.object(manifest.Key(tlogtest.Log, version)), tlogtest.Log, version)
	if err != nil {
		a.t.Fatal(err)
	}
	return m
}

// named returns one key for each kind of object that the highest manifest names.
func (a *audited) named() map[string]string {
	m := a.highest()
	if len(m.Digests) == 0 || len(m.History) == 0 || len(m.Segments) == 0 {
		a.t.Fatalf("the log lacks a kind of object: %d, %d, %d", len(m.Digests), len(m.History), len(m.Segments))
	}
	old, err := manifest.NewObjects(a.b, 1<<20).History(a.t.Context(), m.History[0])
	if err != nil {
		a.t.Fatal(err)
	}
	return map[string]string{"manifest": manifest.Key(tlogtest.Log, m.Version), "history": m.History[0].Key,
		"digests":     m.Digests[0].Key,
		"old segment": old[0].Key, "segment": m.Segments[len(m.Segments)-1].Key,
		"object beside a segment": m.Segments[len(m.Segments)-1].Beside[0].Key}
}

func TestAuditOfAWholeLog(t *testing.T) {
	a := newAudited(t)
	r := tlogtest.NewReference(t, auditedEntries)
	result := a.audit(1000, 130)
	if len(result.Findings) > 0 || result.Size != auditedEntries || result.Root != r.Root(t, auditedEntries) ||
		result.Removed == 0 ||
		result.Content+result.Removed != auditedEntries || result.Origin != "example.org/"+tlogtest.Log {
		t.Errorf("%d entries, %d removed, %d there; %+v", result.Size, result.Removed, result.Content, result.Findings)
	}
	for _, size := range []int64{130, 1000} {
		if root, ok := result.RootAt(size); !ok || root != r.Root(t, size) {
			t.Errorf("root of size %d: %v, %t", size, root, ok)
		}
	}
	var logs []string
	a.b.AllowAnyKeys()
	a.put("logs/6a793f48c0eb9e7a17712f0a/manifest/x", nil)
	for log, err := range (&Auditor{Bucket: a.b}).Logs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, log)
	}
	if !slices.Equal(logs, []string{tlogtest.Log, "6a793f48c0eb9e7a17712f0a"}) {
		t.Errorf("logs %v", logs)
	}
}

// Any flipped bit, removed object or exchange is found, in the object that has it, and is never served as good.
func TestAuditFindsDamage(t *testing.T) {
	a := newAudited(t)
	want := read(t, newStore(a.b, a.o), tlog.All)
	for kind, key := range a.named() {
		good := a.object(key)
		damages := map[string]func(){
			"removed": func() {
				if err := a.b.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			},
			"empty": func() { a.put(key, nil) },
			"cut":   func() { a.put(key, good[:len(good)/2]) },
			"more":  func() { a.put(key, append(slices.Clone(good), 'x')) },
		}
		bits := 25
		if testing.Short() {
			bits = 3
		}
		step := max(1, len(good)/bits)
		for at := 0; at < len(good); at += step {
			damages[fmt.Sprintf("bit of byte %d", at)] = func() {
				bad := slices.Clone(good)
				bad[at] ^= 1 << (at % 8)
				a.put(key, bad)
			}
		}
		for name, damage := range damages {
			damage()
			result := a.audit()
			found := slices.ContainsFunc(result.Findings, func(f Finding) bool { return f.Object == key })
			// That takes a checkpoint kept elsewhere.
			if rollback := name == "removed" && kind == "manifest"; !rollback {
				if !found {
					t.Errorf("%s %s, %s: found only %+v", kind, key, name, result.Findings)
				}
				a.neverServed(kind+", "+name, want)
			}
			a.put(key, good)
		}
	}
}

// neverServed checks that a download returns everything that was there, or fails.
func (a *audited) neverServed(what string, want []string) {
	a.t.Helper()
	d, err := newStore(a.b, a.o).Download(context.Background(), tlogtest.Log, tlog.All)
	if err != nil {
		return
	}
	var file bytes.Buffer
	if err := d.WriteTo(context.Background(), &file); err != nil {
		return
	}
	if got := read(a.t, newStore(a.b, a.o), tlog.All); !slices.Equal(got, want) {
		a.t.Errorf("%s: served as good with %d lines", what, len(got))
	}
}

// forge makes a segment like the one at key, with changed lines and matching digests.
func (a *audited) forge(key string, change func(lines [][]byte)) []byte {
	s := manifest.NewObjects(a.b, 1<<20)
	seg, err := readTrailer(a.t.Context(), a.b, bucket.Sized(key, int64(len(a.object(key)))))
	if err != nil {
		a.t.Fatal(err)
	}
	x, err := s.Index(a.t.Context(), seg)
	if err != nil {
		a.t.Fatal(err)
	}
	tree := proof.Tree{}
	for range seg.First { // a tree of the right size, with any hashes
		tree.Append(proof.Hash{})
	}
	w := segment.New(&tree, small.BlockBytes)
	var entries []tlogtest.Entry
	for _, b := range x.Blocks {
		more, err := s.Entries(a.t.Context(), seg, b)
		if err != nil {
			a.t.Fatal(err)
		}
		for i, e := range more.Entries {
			entries = append(entries, tlogtest.Entry{Entry: e, Line: bytes.TrimSuffix(more.Line(i), []byte("\n"))})
		}
	}
	lines := make([][]byte, len(entries))
	for i, e := range entries {
		lines[i] = e.Line
	}
	change(lines)
	for i, e := range entries {
		e.Line = lines[i]
		w.Add(e.Split())
	}
	data, _, _, err := w.Finish()
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

// An attacker that can write the bucket and knows its format, but has no key, cannot change anything unnoticed.
func TestAuditFindsForgery(t *testing.T) {
	a := newAudited(t)
	want := read(t, newStore(a.b, a.o), tlog.All)
	for _, kind := range []string{"segment", "old segment"} {
		key := a.named()[kind]
		good := a.object(key)
		for name, change := range map[string]func(lines [][]byte){
			"swapped lines": func(l [][]byte) { l[20], l[21] = l[21], l[20] },
			"another line":  func(l [][]byte) { l[0] = bytes.Replace(l[0], []byte("filler"), []byte("forged"), 1) },
		} {
			a.put(key, a.forge(key, change))
			if result := a.audit(); !slices.ContainsFunc(result.Findings,
				func(f Finding) bool { return f.Object == key && f.Entry >= 0 }) {
				t.Errorf("%s, %s: %+v", kind, name, result.Findings)
			}
			a.neverServed(kind+", "+name, want)
			a.put(key, good)
		}
	}
	m := a.highest()
	highest := manifest.Key(tlogtest.Log, m.Version)
	good := a.object(highest)
	other, _ := tlogtest.NewKeys(t)
	for name, by := range map[string]*proof.Keys{"no key": nil, "another key": other} {
		forged := m.Clone()
		forged.Segments[len(forged.Segments)-1].MaxTime++
		data, err := forged.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		a.put(highest, data)
		if result := a.audit(); !slices.ContainsFunc(result.Findings,
			func(f Finding) bool { return f.Object == highest }) {
			t.Errorf("manifest by %s: %+v", name, result.Findings)
		}
		a.neverServed("manifest by "+name, nil)
	}
	a.put(highest, bytes.Replace(good, []byte(`"log":"`+tlogtest.Log), []byte(`"log":"6a793f48c0eb9e7a17712f0f`), 1))
	if result := a.audit(); !slices.ContainsFunc(result.Findings, func(f Finding) bool { return f.Object == highest }) {
		t.Errorf("manifest of another log: %+v", result.Findings)
	}
	a.put(highest, good)
	if result := a.audit(); len(result.Findings) > 0 {
		t.Errorf("%+v", result.Findings)
	}
}

// If all manifests are missing, the log is rebuilt from segments and digests.
func TestAuditRebuilds(t *testing.T) {
	a := newAudited(t)
	r := tlogtest.NewReference(t, auditedEntries)
	for _, key := range append(a.keysOf("manifest/"), a.keysOf("history/")...) {
		if err := a.b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	result := a.audit(1000)
	if !result.Rebuilt || result.Size != auditedEntries || result.Root != r.Root(t, auditedEntries) ||
		len(result.Findings) > 0 {
		t.Errorf("%d entries, %d removed, %d there; %+v", result.Size, result.Removed, result.Content, result.Findings)
	}
	if root, ok := result.RootAt(1000); !ok || root != r.Root(t, 1000) {
		t.Errorf("%v, %t", root, ok)
	}
	if _, err := newStore(a.b, a.o).Download(t.Context(), tlogtest.Log, tlog.All); err == nil {
		t.Error("a log without its manifest is served, as if it were empty")
	}
	segments := a.keysOf("segments/")
	middle := segments[len(segments)/2]
	if err := a.b.Delete(t.Context(), middle); err != nil {
		t.Fatal(err)
	}
	first, err := firstOf(middle)
	if err != nil {
		t.Fatal(err)
	}
	if result := a.audit(); !slices.ContainsFunc(result.Findings, func(f Finding) bool {
		return f.Entry == first &&
			f.Missing
	}) {
		t.Errorf("the segment with entry %d is gone: %+v", first, result.Findings)
	}
}

// TestForgedCountsCostNoMemory forges manifests that name more entries than fit in memory.
func TestForgedCountsCostNoMemory(t *testing.T) {
	const many = 1 << 39
	for what, forge := range map[string]func(m *manifest.Manifest){
		"history": func(m *manifest.Manifest) {
			m.History, m.Segments = []manifest.History{{Key: "gone", First: m.Pruned.End(), Count: many}}, nil
		},
		"segment": func(m *manifest.Manifest) {
			seg := m.Segments[0]
			seg.Key, seg.First, seg.Count = "gone", m.Pruned.End(), many
			m.History, m.Segments = nil, []manifest.Segment{seg}
		},
		"digests": func(m *manifest.Manifest) {
			m.Digests[0].Count = many
		},
		"digests of which the bytes are as many as none": func(m *manifest.Manifest) {
			m.Digests[0].Key, m.Digests[0].Count, m.Digests[0].Sum = "empty", 1<<59, proof.Digest(nil)
		},
		"removed entries": func(m *manifest.Manifest) {
			m.Pruned.Entries, m.Digests, m.History, m.Segments = many, nil, nil, nil
		},
	} {
		a := newAudited(t)
		m := a.highest().Clone()
		m.Version++
		forge(m)
		m.Entries = m.Pruned.End()
		for _, h := range m.History {
			m.Entries += h.Count
		}
		for _, seg := range m.Segments {
			m.Entries += seg.Count
		}
		m.Tree = &proof.Tree{Size: m.Entries, Edge: make([]proof.Hash, bits.OnesCount64(uint64(m.Entries)))}
		data, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		a.b.AllowAnyKeys()
		a.put("empty", nil)
		a.put(manifest.Key(tlogtest.Log, m.Version), data)
		if result := a.audit(); len(result.Findings) == 0 {
			t.Errorf("%s: nothing was found", what)
		}
	}
}
