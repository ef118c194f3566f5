package sequence

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
	"github.com/weirlog/weir/internal/wal"
)

// node is one process on a bucket. Sizes are tiny, so that a short history reaches every case.
type node struct {
	faulty    *bucketest.Faulty
	reader    *wal.Reader
	store     *tlog.Logs
	writer    *wal.Writer
	recorder  *record.Recorder
	sequencer *Sequencer
}

func startNode(b bucket.Bucket) *node {
	n := &node{faulty: &bucketest.Faulty{Bucket: b}}
	n.reader = wal.NewReader(n.faulty, seal.NewKey(make([]byte, 32)), 1<<16)
	n.store = tlog.NewLogs(n.faulty, n.reader, tlog.Options{Keys: proof.NewKeys(signingKey), Origin: "example.org",
		BlockBytes: 300, SegmentBytes: 64 << 10, MergeWidth: 2, HistorySegments: 2, Grace: time.Nanosecond,
		CacheBytes: 1 << 16})
	n.sequencer = New(n.faulty, n.reader, n.store, 0, Options{BatchBytes: 2000, Parallel: 1,
		Logger: slog.New(slog.DiscardHandler)})
	n.writer = wal.NewWriter(n.faulty, n.reader, 0, n.sequencer.Notify)
	n.recorder = record.New(n.faulty, n.store, []*wal.Writer{n.writer}, record.Options{Remembered: 8})
	return n
}

// signingKey is shared by all nodes.
var signingKey = sync.OnceValue(func() proof.Key {
	k, err := proof.GenerateKey()
	if err != nil {
		panic(err)
	}
	return k
})()

var errInjected = errors.New("injected")

// model is the specification: for each log, the events that were sent and those that were acknowledged.
type model struct {
	t      *rapid.T
	bucket *bucketest.Memory
	nodes  []*node
	logs   []string
	sent   map[string]map[string]sentEvent // by log and line
	acked  map[string]map[string]bool
	gone   map[string]bool     // lines whose only copy may be lost: a node may still remember them as recorded
	bad    map[string]bool     // WAL objects that do not verify
	before map[string][]string // the entries of each log when it was last checked
	serial int
}

type sentEvent struct {
	time      int64
	processor string
}

func makeEvent(serial int, time int64, processor string) (string, sentEvent) {
	uid := fmt.Sprintf("uid-%d", serial)
	line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q}}`, time, uid)
	if processor != "" {
		line = fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q},"entity":{"type":"Stream Processor","name":%q}}`, time,
			uid, processor)
	}
	return line, sentEvent{time, processor}
}

const epoch = 1_700_000_000_000

func (m *model) node() *node { return m.nodes[rapid.IntRange(0, len(m.nodes)-1).Draw(m.t, "node")] }
func (m *model) log() string { return rapid.SampledFrom(m.logs).Draw(m.t, "log") }

// faults makes the next calls of the node fail, some before and some after they take effect.
func (m *model) faults(n *node) {
	failing := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "", "", "before", "after"}), 0, 12).Draw(m.t, "faults")
	next := func(when string) error {
		if len(failing) == 0 {
			return nil
		}
		if failing[0] == when {
			failing = failing[1:]
			return errInjected
		}
		if when == "before" && failing[0] == "" {
			failing = failing[1:]
		}
		return nil
	}
	n.faulty.Before = func(context.Context, bucketest.Op, string) error { return next("before") }
	n.faulty.After = func(context.Context, bucketest.Op, string) error { return next("after") }
}

func (m *model) healthy(n *node) { n.faulty.Before, n.faulty.After = nil, nil }

func (m *model) record(t *rapid.T) { m.recordOn(t, m.node()) }

func (m *model) recordOn(t *rapid.T, n *node) {
	log := m.log()
	var lines []string
	for range rapid.IntRange(1, 6).Draw(t, "events") {
		serial := m.serial
		if m.serial > 0 && rapid.IntRange(0, 3).Draw(t, "retry") == 0 {
			serial = rapid.IntRange(0, m.serial-1).Draw(t, "which")
		} else {
			m.serial++
		}
		// The number of an event determines all of it, so a retry is the same event.
		line, sent := makeEvent(serial, epoch+int64(serial*37%100), []string{"", "a", "b", "c"}[serial*7%4])
		m.sent[log][line] = sent
		lines = append(lines, line)
	}
	m.faults(n)
	_, err := n.recorder.Record(context.Background(), eventtest.Batch(log, lines...))
	m.healthy(n)
	if err != nil {
		return // they may be recorded or not
	}
	for _, line := range lines {
		m.acked[log][line] = !m.gone[line]
	}
}

func (m *model) sequence(*rapid.T) {
	n := m.node()
	m.faults(n)
	m.round(n)
}

func (m *model) round(n *node) {
	_, err := n.sequencer.Round(context.Background(), true)
	m.healthy(n)
	if err != nil && !errors.Is(err, errInjected) {
		m.t.Fatalf("round: %v", err)
	}
}

// sleep suspends a node somewhere in a round, while others record, sequence and clean up, and then wakes it.
func (m *model) sleep(t *rapid.T) {
	n := m.node()
	steps := rapid.IntRange(1, 40).Draw(t, "steps")
	n.faulty.Before = func(context.Context, bucketest.Op, string) error {
		if steps--; steps != 0 {
			return nil
		}
		for range rapid.IntRange(1, 12).Draw(t, "meanwhile") {
			other := startNode(m.bucket)
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1, 2:
				m.recordOn(t, other)
			case 3:
				m.lose(t)
			}
			m.round(other)
			other.writer.Close()
		}
		return nil
	}
	m.round(n)
}

// crash replaces a node by a new process with an empty memory.
func (m *model) crash(t *rapid.T) {
	i := rapid.IntRange(0, len(m.nodes)-1).Draw(t, "node")
	m.nodes[i].writer.Close()
	m.nodes[i] = startNode(m.bucket)
}

// lose deletes any object that is not the only copy of an event. No event may be lost by that.
func (m *model) lose(t *rapid.T) {
	var keys []string
	for info := range m.bucket.List(context.Background(), "plans/", "") {
		keys = append(keys, info.Key)
	}
	for _, log := range m.logs {
		var manifests []string
		for info := range m.bucket.List(context.Background(), "logs/"+log+"/manifest/", "") {
			manifests = append(manifests, info.Key)
		}
		if len(manifests) > 0 {
			keys = append(keys, manifests[:len(manifests)-1]...)
		}
	}
	m.take(t, keys)
}

// loseWAL deletes a WAL object. Its events may be lost unless a log or another object has them. No other event may be
// lost.
func (m *model) loseWAL(t *rapid.T) {
	var keys []string
	for info := range m.bucket.List(context.Background(), "wal/", "") {
		if !m.bad[info.Key] {
			keys = append(keys, info.Key)
		}
	}
	key := m.take(t, keys)
	for _, n := range m.nodes {
		n.reader.Forget(key)
	}
}

// forge stores a WAL object or a plan that a writer without the secret can make. No node may use it: its line is not
// among those that were sent.
func (m *model) forge(t *rapid.T) {
	ctx := context.Background()
	r := wal.NewReader(m.bucket, seal.NewKey(bytes.Repeat([]byte{1}, 32)), 1<<16)
	if rapid.Bool().Draw(t, "plan") {
		number, _, err := r.HighestPlan(ctx, 0)
		objects, listErr := r.List(ctx, 0)
		if err = errors.Join(err, listErr); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, o := range objects {
			keys = append(keys, o.Key)
		}
		if err := r.CreatePlan(ctx, 0, wal.NewPlan(number+1, keys)); err != nil {
			t.Fatal(err)
		}
		return
	}
	w := wal.NewWriter(m.bucket, r, 0, func(int64) {})
	defer w.Close()
	m.serial++
	line, _ := makeEvent(m.serial, epoch, "a")
	if err := w.Append(ctx, eventtest.Batch(m.log(), line)); err != nil {
		t.Fatal(err)
	}
	for info := range m.bucket.List(ctx, "wal/", "") {
		if sections, err := r.Sections(ctx, info.Key); err == nil && len(sections) > 0 {
			m.bad[info.Key] = true
		}
	}
}

// take deletes or damages one of the objects, and returns its key.
func (m *model) take(t *rapid.T, keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	key := rapid.SampledFrom(keys).Draw(t, "lost")
	if strings.HasPrefix(key, "wal/") {
		for _, line := range gunzip(t, m.object(t, key)) {
			for _, log := range m.logs {
				delete(m.acked[log], line)
				m.gone[line] = true
			}
		}
	}
	if !strings.HasPrefix(key, "logs/") && rapid.Bool().Draw(t, "damaged") {
		m.bad[key] = true
		data := m.object(t, key)
		data[rapid.IntRange(0, len(data)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		m.bucket.Put(context.Background(), key, data)
		return key
	}
	m.bucket.Delete(context.Background(), key)
	return key
}

func (m *model) download(t *rapid.T) {
	log := m.log()
	q := tlog.Query{Start: math.MinInt64, End: math.MaxInt64}
	if rapid.Bool().Draw(t, "range") {
		q.Start = epoch + rapid.Int64Range(-5, 105).Draw(t, "start")
		q.End = q.Start + rapid.Int64Range(0, 110).Draw(t, "length")
	}
	if rapid.Bool().Draw(t, "filter") {
		q.Processor = rapid.SampledFrom([]string{"a", "b", "c", "none"}).Draw(t, "processor")
	}
	n := m.node()
	d, err := n.store.Download(context.Background(), log, q)
	if err != nil {
		t.Fatalf("download: %v", err)
	}
	r, err := n.store.Read(context.Background(), log, q)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	must := map[string]bool{} // the events that were acknowledged before the download starts
	for line, certain := range m.acked[log] {
		if !certain {
			continue
		}
		if e := m.sent[log][line]; e.time >= q.Start && e.time < q.End &&
			(q.Processor == "" || q.Processor == e.processor) {
			must[line] = true
		}
	}
	// Other nodes continue between the view and the copying.
	for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
		if rapid.Bool().Draw(t, "record") {
			m.record(t)
		} else {
			m.sequence(t)
		}
	}
	var file bytes.Buffer
	err = d.WriteTo(context.Background(), &file)
	if errors.Is(err, seal.ErrForged) {
		// The download broke off at a part that was damaged after the node had read it. The next download is without
		// that part.
		return
	}
	if err != nil {
		t.Fatalf("download: %v", err)
	}
	if d.Size() >= 0 && d.Size() != int64(file.Len()) {
		t.Fatalf("%d bytes, announced were %d", file.Len(), d.Size())
	}
	if _, err := tlogtest.Lines(file.Bytes()); err != nil {
		t.Fatalf("download: %v", err)
	}
	m.checkRead(t, log, q, maps.Clone(must), gunzip(t, file.Bytes()))
	lines, err := readAll(r)
	if errors.Is(err, seal.ErrForged) {
		return
	}
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	m.checkRead(t, log, q, must, lines)
}

// readAll returns the lines of a Reader, first the sequenced ones, then those that wait.
func readAll(r *tlog.Reader) (lines []string, err error) {
	for _, all := range []iter.Seq2[tlog.Indexed, error]{r.Entries(context.Background(), 0),
		r.Waiting(context.Background())} {
		for e, err := range all {
			if err != nil {
				return nil, err
			}
			lines = append(lines, strings.TrimSuffix(string(e.Line), "\n"))
		}
	}
	return lines, nil
}

// checkRead checks that lines are lines of a log that a query selects, without repetition, and include all lines of
// must.
func (m *model) checkRead(t *rapid.T, log string, q tlog.Query, must map[string]bool, lines []string) {
	seen := map[string]bool{}
	for _, line := range lines {
		e, ok := m.sent[log][line]
		switch {
		case !ok:
			t.Fatalf("an event that was never sent to this log: %s", line)
		case seen[line]:
			t.Fatalf("twice in one download: %s", line)
		case e.time < q.Start || e.time >= q.End || q.Processor != "" && e.processor != q.Processor:
			t.Fatalf("not selected by %+v: %s", q, line)
		}
		seen[line] = true
		delete(must, line)
	}
	if len(must) > 0 {
		t.Fatalf("acknowledged, but missing from the download %+v: %v", q, must)
	}
}

// fataler is the part of *testing.T and *rapid.T that is used here.
type fataler interface{ Fatalf(string, ...any) }

func gunzip(t fataler, file []byte) []string {
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("gunzip: %v", err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("gunzip: %v", err)
	}
	if len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// check reads each log without weir's code, segment by segment. Entries never change their places or bytes (I3), and
// the segments alone are readable (I7).
func (m *model) check(t *rapid.T) {
	for _, log := range m.logs {
		entries := m.sequenced(t, log)
		if before := m.before[log]; len(entries) < len(before) || !slices.Equal(entries[:len(before)], before) {
			t.Fatalf("log %s was\n%q\nand has become\n%q", log, before, entries)
		}
		m.before[log] = entries
		if sorted := slices.Sorted(slices.Values(entries)); len(slices.Compact(sorted)) != len(entries) {
			t.Fatalf("log %s has an event twice: %q", log, entries)
		}
	}
}

// sequenced returns the lines of a log's segments, read as docs/format.md describes: the highest manifest, the segments
// that it names, and those that its history names, through gunzip.
func (m *model) sequenced(t fataler, log string) []string {
	var highest string
	for info := range m.bucket.List(context.Background(), "logs/"+log+"/manifest/", "") {
		highest = info.Key
	}
	if highest == "" {
		return nil
	}
	var manifest struct{ History, Segments []struct{ Key string } }
	m.decode(t, highest, &manifest)
	var lines []string
	segments := manifest.Segments
	for _, h := range slices.Backward(manifest.History) {
		var older []struct{ Key string }
		m.decode(t, h.Key, &older)
		segments = append(older, segments...)
	}
	for _, s := range segments {
		lines = append(lines, gunzip(t, m.object(t, s.Key))...)
	}
	m.checkTrees(t, log, lines)
	return lines
}

// checkTrees checks every checkpoint of a log in the bucket against the log's lines, whether or not its manifest
// counts. If all match, they are consistent with each other (I3).
func (m *model) checkTrees(t fataler, log string, lines []string) {
	roots := map[int64]proof.Hash{}
	var tree proof.Tree
	for _, line := range lines {
		tree.Append(proof.Leaf(proof.Digest([]byte(line))))
		roots[tree.Size] = tree.Root()
	}
	for info := range m.bucket.List(context.Background(), "logs/"+log+"/manifest/", "") {
		var manifest struct {
			Entries    int64
			Checkpoint string
		}
		m.decode(t, info.Key, &manifest)
		text, _, _ := strings.Cut(manifest.Checkpoint, "\n\n")
		c, err := torchwood.ParseCheckpoint(text + "\n")
		if root, ok := roots[c.N]; manifest.Entries > 0 && (err != nil || c.N != manifest.Entries || !ok ||
			c.Hash != root) {
			t.Fatalf("%s: %d entries, checkpoint %q, %v; the log's root is %v", info.Key, manifest.Entries,
				manifest.Checkpoint, err, root)
		}
	}
}

func (m *model) object(t fataler, key string) []byte {
	data, err := bucket.Read(context.Background(), m.bucket, key, bucket.Range{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return data
}

func (m *model) decode(t fataler, key string, v any) {
	// The signature of a manifest follows its JSON.
	if err := json.NewDecoder(bytes.NewReader(m.object(t, key))).Decode(v); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
}

// Any interleaving of recording, retries, sequencing, merging, crashes, faults and downloads on several nodes has the
// same result as a slice of events: I1 durable, I2 once, I3 immutable, I4 whole.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: rt, bucket: bucketest.NewMemory(),
			logs: []string{"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"},
			sent: map[string]map[string]sentEvent{}, acked: map[string]map[string]bool{}, before: map[string][]string{},
			gone: map[string]bool{}, bad: map[string]bool{}}
		for _, log := range m.logs {
			m.sent[log], m.acked[log] = map[string]sentEvent{}, map[string]bool{}
		}
		m.nodes = []*node{startNode(m.bucket), startNode(m.bucket)}
		defer func() {
			for _, n := range m.nodes {
				n.writer.Close()
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"record":   m.record,
			"sequence": m.sequence,
			"sleep":    m.sleep,
			"crash":    m.crash,
			"download": m.download,
			"lose":     m.lose,
			"lose WAL": m.loseWAL,
			"forge":    m.forge,
			"":         m.check,
		})
	})
}
