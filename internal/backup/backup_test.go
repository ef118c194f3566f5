package backup

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// seals is the key of the nodes that wrote the bucket.
var seals = nodetest.Seals

const shards = 2

var logs = []string{"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccc"}

// weir is a process that works on a bucket. Sizes are tiny, so that a short history reaches all cases.
type weir struct {
	*nodetest.Node
	t        *testing.T
	accounts *account.Directory
}

func startWeir(t *testing.T, b bucket.Bucket, keys *proof.Keys) *weir {
	return &weir{t: t, accounts: account.NewDirectory(seal.NewBucket(b, seals)),
		Node: nodetest.New(t, b, nodetest.Options{
			Logs: tlog.Options{Keys: keys, Origin: "example.org", Shards: shards, BlockBytes: 300, MergeWidth: 2,
				HistorySegments: 2, KeepManifests: 2, Grace: time.Nanosecond, CacheBytes: 1 << 16},
			Sequencing: sequence.Options{BatchBytes: 2000, Parallel: 1, KeepPlans: 1},
			Recording:  record.Options{Remembered: 8}, WALCache: 1 << 16})}
}

// line returns event n.
func line(n int) string {
	uid, ms := fmt.Sprintf("uid-%d", n), int64(1_700_000_000_000+n*37%100)
	return fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q}}`, ms, uid)
}

// record records events. Numbers that were used before give duplicates.
func (w *weir) record(log string, numbers ...int) {
	w.t.Helper()
	var lines []string
	for _, n := range numbers {
		lines = append(lines, line(n))
	}
	b := eventtest.Batch(log, lines...)
	if _, err := w.Recorder.Record(context.Background(), b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *weir) round(shard int) {
	w.t.Helper()
	if _, err := w.Sequencers[shard].Round(context.Background(), true); err != nil {
		w.t.Fatal(err)
	}
}

func (w *weir) download(log string) []string {
	w.t.Helper()
	d, err := w.Logs.Download(context.Background(), log, tlog.Query{Start: math.MinInt64, End: math.MaxInt64})
	var file bytes.Buffer
	if err == nil {
		err = d.WriteTo(context.Background(), &file)
	}
	var z *gzip.Reader
	if err == nil {
		z, err = gzip.NewReader(&file)
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(z)
	}
	if err != nil {
		w.t.Fatalf("download of %s: %v", log, err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// source is a bucket in use: something may happen between any two calls of the copier.
type source struct {
	*weir
	rnd    *rand.Rand
	memory *bucketest.Memory
	serial int
	acked  map[string]map[string]bool // by log and line
	docs   int
	states map[string]*doc.Kept[deliver.State] // of a delivery, by log
}

var errInjected = errors.New("injected")

// live does something at random, or nothing.
func (s *source) live() {
	switch log := logs[s.rnd.IntN(len(logs))]; s.rnd.IntN(12) {
	case 0, 1:
		var numbers []int
		for range 1 + s.rnd.IntN(4) {
			n := s.serial
			if n > 0 && s.rnd.IntN(4) == 0 {
				n = s.rnd.IntN(n)
			} else {
				s.serial++
			}
			numbers = append(numbers, n)
		}
		s.record(log, numbers...)
		for _, n := range numbers {
			text := line(n)
			s.acked[log][text] = true
		}
	case 2, 3:
		s.round(s.rnd.IntN(shards))
	case 4:
		if s.docs++; s.docs < 30 {
			o := account.Organization{ID: account.NewID(time.Now()), Name: fmt.Sprint("o", s.docs),
				Log: account.NewID(time.Now())}
			if err := s.accounts.CreateOrganization(context.Background(), o); err != nil {
				s.t.Fatal(err)
			}
		}
	case 5, 6:
		s.deliver(log)
	}
}

const delivery = "dddddddddddddddddddddddd"

// deliver has a delivery come to the end of a log.
func (s *source) deliver(log string) {
	r, err := s.Logs.ReadSequenced(context.Background(), log, tlog.All)
	if err == nil {
		s.states[log].Value.Next = r.Next()
		err = s.states[log].Keep(context.Background())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func newSource(t *testing.T, seed uint64, keys *proof.Keys) *source {
	s := &source{rnd: rand.New(rand.NewPCG(seed, 0)), memory: bucketest.NewMemory(),
		acked: map[string]map[string]bool{}, states: map[string]*doc.Kept[deliver.State]{}}
	s.weir = startWeir(t, s.memory, keys)
	if err := s.accounts.Initialise(t.Context(), account.Settings{Shards: shards, Origin: "example.org"}); err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		s.acked[log] = map[string]bool{}
		s.states[log] = doc.NewKept[deliver.State](seal.NewBucket(s.memory, seals), "deliverystate/"+delivery+"/"+log)
	}
	for range 120 {
		s.live()
	}
	return s
}

// copyTo copies until the copy is complete, while the source is in use, with failures and interruptions. It returns the
// events that were acknowledged, and how far the delivery had come, before the last try began.
func (s *source) copyTo(to *bucketest.Memory) (acked map[string]map[string]bool, delivered map[string]int64) {
	s.t.Helper()
	for try := 0; ; try++ {
		broken := 0
		if try < 3 {
			broken = 1 + s.rnd.IntN(120)
		}
		calls := 0
		fault := func(context.Context, bucketest.Op, string) error {
			for range s.rnd.IntN(3) {
				s.live()
			}
			if calls++; calls == broken || broken > 0 && s.rnd.IntN(60) == 0 {
				return errInjected
			}
			return nil
		}
		before, delivered := map[string]map[string]bool{}, map[string]int64{}
		for log, lines := range s.acked {
			before[log] = maps.Clone(lines)
			delivered[log] = s.states[log].Value.Next
		}
		c := &Copier{From: &bucketest.Faulty{Bucket: s.memory, Before: fault}, To: &bucketest.Faulty{Bucket: to,
			Before: fault}}
		_, err := c.Run(s.t.Context())
		if err == nil {
			return before, delivered
		}
		if !errors.Is(err, errInjected) {
			s.t.Fatalf("copy: %v", err)
		}
		if err := Check(s.t.Context(), to); try > 5 || err != nil && !errors.Is(err, ErrIncomplete) {
			s.t.Fatal(err)
		}
	}
}

// checkCopy checks a copy with a node that starts on it: each event is there once and proven, and more can be recorded.
// The node works on a copy of the copy, so that the copy does not change.
func (s *source) checkCopy(to *bucketest.Memory, acked map[string]map[string]bool, keys *proof.Keys) {
	s.t.Helper()
	there := bucketest.NewMemory()
	for info := range to.List(s.t.Context(), "", "") {
		data, err := bucket.Read(s.t.Context(), to, info.Key, bucket.Range{})
		if err == nil {
			err = there.Put(s.t.Context(), info.Key, data)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := Check(s.t.Context(), there); err != nil {
		s.t.Fatal(err)
	}
	n := startWeir(s.t, there, keys)
	defer n.Close()
	for range 3 {
		for _, log := range logs {
			got := map[string]int{}
			for _, text := range n.download(log) {
				got[text]++
				if got[text] > 1 {
					s.t.Fatalf("log %s: %s is there twice", log, text)
				}
			}
			for text := range acked[log] {
				if got[text] != 1 {
					s.t.Fatalf("log %s: %s was acknowledged before the copy began, and is missing", log, text)
				}
			}
			n.record(log, s.serial+1_000_000+len(got))
		}
		for shard := range shards {
			for range 4 {
				n.round(shard)
			}
		}
	}
	for _, log := range logs {
		here, err := (&audit.Auditor{Bucket: s.memory, Keys: keys}).Log(s.t.Context(), log)
		if err != nil {
			s.t.Fatal(err)
		}
		a, err := (&audit.Auditor{Bucket: to, Keys: keys}).Log(s.t.Context(), log)
		if err != nil || len(a.Findings) > 0 {
			s.t.Fatalf("log %s: %+v, %v", log, a, err)
		}
		again, err := (&audit.Auditor{Bucket: s.memory, Keys: keys}).Log(s.t.Context(), log, a.Size)
		if root, ok := again.RootAt(a.Size); err != nil || !ok || root != a.Root || here.Size < a.Size {
			s.t.Fatalf("log %s: the copy's tree of %d entries is not one that the source had, %v", log, a.Size, err)
		}
	}
}

// checkDelivered checks that a delivery goes on in the copy where it was when the copy began, or later, but not behind
// the end of a log.
func (s *source) checkDelivered(to *bucketest.Memory, atLeast map[string]int64) {
	s.t.Helper()
	for _, log := range logs {
		st, err := deliver.ReadState(s.t.Context(), seal.NewBucket(to, seals), delivery, log)
		if err != nil {
			s.t.Fatal(err)
		}
		contents, err := (&audit.Auditor{Bucket: to}).Log(s.t.Context(), log)
		if err != nil {
			s.t.Fatal(err)
		}
		if st.Next < atLeast[log] || st.Next > contents.Size {
			s.t.Errorf("log %s: delivered up to %d, in the copy up to %d, where the log has %d entries", log,
				atLeast[log], st.Next, contents.Size)
		}
	}
}

// A bucket in use is copied with interruptions, and the copy is extended later. Every event that was acknowledged
// before the copy began is there once, the checkpoints are the source's, and a node can continue with the copy.
func TestCopyOfALiveBucket(t *testing.T) {
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := proof.NewKeys(key)
	seeds := uint64(40)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			s := newSource(t, seed, keys)
			defer s.Close()
			to := bucketest.NewMemory()
			for range 3 {
				acked, delivered := s.copyTo(to)
				s.checkCopy(to, acked, keys)
				s.checkDelivered(to, delivered)
				for range 30 {
					s.live()
				}
			}
		})
	}
}

// A copy never overwrites something else.
func TestCopyRefusesOtherDestinations(t *testing.T) {
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := proof.NewKeys(key)
	for name, change := range map[string]func(s *source, to *bucketest.Memory){
		"another bucket": func(s *source, to *bucketest.Memory) {
			if err := to.Put(t.Context(), stateKey,
				[]byte(`{"origin":"another.example.org","complete":true}`)); err != nil {
				t.Fatal(err)
			}
		},
		"something that is no bucket": func(s *source, to *bucketest.Memory) {
			if err := to.Delete(t.Context(), stateKey); err != nil {
				t.Fatal(err)
			}
		},
		"events were recorded there": func(s *source, to *bucketest.Memory) {
			n := startWeir(t, to, keys)
			n.record(logs[0], 5_000_000)
			n.Close()
		},
		"and sequenced": func(s *source, to *bucketest.Memory) {
			n := startWeir(t, to, keys)
			n.record(logs[0], 5_000_000)
			n.round(wal.ShardOf(logs[0], shards))
			n.Close()
		},
		"an organization was made there": func(s *source, to *bucketest.Memory) {
			if err := account.NewDirectory(seal.NewBucket(to, seals)).CreateOrganization(t.Context(),
				account.Organization{ID: "new", Name: "n"}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, 1, keys)
			defer s.Close()
			to := bucketest.NewMemory()
			if _, err := (&Copier{From: s.memory, To: to}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			change(s, to)
			if _, err := (&Copier{From: s.memory, To: to}).Run(t.Context()); !errors.Is(err, ErrOther) {
				t.Errorf("%v; want ErrOther", err)
			}
		})
	}
}
