package sequence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// leases is a Leases whose ranks a test sets.
type leases struct {
	mu      sync.Mutex
	rank    int // of all shards
	changed chan struct{}
}

func newLeases(rank int) *leases { return &leases{rank: rank, changed: make(chan struct{})} }

func (l *leases) Rank(int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rank
}

func (l *leases) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *leases) set(rank int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rank = rank
	close(l.changed)
	l.changed = make(chan struct{})
}

const groupShards = 4

// process is a group on a bucket that counts its requests.
type process struct {
	*Group
	t       *testing.T
	store   *tlog.Logs
	reader  *wal.Reader
	writers []*wal.Writer

	mu       sync.Mutex
	requests map[string]int // by operation and first part of the key
	broken   string         // which of them fail
}

func startProcess(t *testing.T, ctx context.Context, work *sync.WaitGroup, b bucket.Bucket, o Options) *process {
	m := &process{t: t, requests: map[string]int{}}
	faulty := &bucketest.Faulty{Bucket: b, Before: func(_ context.Context, op bucketest.Op, key string) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		part, _, _ := strings.Cut(key, "/")
		m.requests[fmt.Sprint(op, " ", part)]++
		if m.broken == fmt.Sprint(op, " ", part) {
			return errors.New("broken")
		}
		return nil
	}}
	m.reader = wal.NewReader(faulty, seal.NewKey(make([]byte, 32)), 1<<20)
	m.store = tlog.NewLogs(faulty, m.reader, tlog.Options{Keys: proof.NewKeys(signingKey), Origin: "example.org",
		Shards: groupShards, MergeWidth: 2})
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m.Group = NewGroup(faulty, m.reader, m.store, groupShards, o)
	for shard := range groupShards {
		m.writers = append(m.writers, wal.NewWriter(faulty, m.reader, shard, m.Shard(shard).Notify))
	}
	work.Go(func() {
		m.Run(ctx)
		for _, w := range m.writers {
			w.Close()
		}
	})
	return m
}

// took returns the number of requests of each kind, and resets them.
func (m *process) took() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests := m.requests
	m.requests = map[string]int{}
	return requests
}

const groupLog = "aaaaaaaaaaaaaaaaaaaaaaaa"

// record writes an event of about size bytes, which does not compress.
func (m *process) record(serial, size int) {
	m.t.Helper()
	line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":"u%d"},"x":"%s"}`, epoch+serial, serial, noise(serial, size))
	b := eventtest.Batch(groupLog, line)
	if err := m.writers[wal.ShardOf(groupLog, groupShards)].Append(m.t.Context(), b); err != nil {
		m.t.Fatal(err)
	}
}

// noise returns printable bytes that do not compress.
func noise(seed, size int) string {
	state := uint64(seed)*2862933555777941757 + 3037000493
	text := make([]byte, size)
	for i := range text {
		state = state*6364136223846793005 + 1442695040888963407
		text[i] = '0' + byte(state>>58)
		if text[i] == '\\' {
			text[i] = 'z'
		}
	}
	return string(text)
}

// sequenced returns the number of sequenced events in the log.
func (m *process) sequenced() int64 {
	m.t.Helper()
	d, err := m.store.Download(m.t.Context(), groupLog, tlog.Query{End: 1 << 60})
	if err != nil {
		m.t.Fatal(err)
	}
	return d.Head().Size
}

func play(t *testing.T, test func(t *testing.T, start func(o Options) *process)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := bucketest.NewMemory()
		var work sync.WaitGroup
		test(t, func(o Options) *process { return startProcess(t, ctx, &work, b, o) })
		stop()
		work.Wait()
	})
}

// An idle group lists the write-ahead log twice a minute, and sends no other request.
func TestIdleGroupOnlyLists(t *testing.T) {
	play(t, func(t *testing.T, start func(Options) *process) {
		m := start(Options{})
		time.Sleep(time.Hour)
		got := m.took()
		if lists := got["list wal"]; lists < 119 || lists > 122 || len(got) != 1 {
			t.Errorf("%v; want 120 listings of the WAL", got)
		}
	})
}

// An event that one process writes is sequenced by another within the delay, whenever it is written, and not much
// sooner.
func TestDelayAcrossProcesses(t *testing.T) {
	play(t, func(t *testing.T, start func(Options) *process) {
		writer, holder := start(Options{Leases: newLeases(1)}), start(Options{})
		for i := range 20 {
			time.Sleep(time.Duration(i) * 3700 * time.Millisecond)
			before := holder.sequenced()
			writer.record(i, 10)
			time.Sleep(30 * time.Second)
			if holder.sequenced() != before {
				t.Errorf("event %d is sequenced after 30 seconds: too many small segments", i)
			}
			time.Sleep(30 * time.Second)
			if got := holder.sequenced(); got != before+1 {
				t.Errorf("event %d is not sequenced after a minute", i)
			}
		}
		if got := writer.took(); got["list plans"]+got["put new plans"]+got["put new logs"] > 0 {
			t.Errorf("the writer, which holds nothing, did the holder's work: %v", got)
		}
	})
}

// A process that gets a lease while an object waits sequences it in time.
func TestNewHolderSequencesInTime(t *testing.T) {
	play(t, func(t *testing.T, start func(Options) *process) {
		l := newLeases(3)
		m := start(Options{Leases: l})
		time.Sleep(time.Second)
		m.record(1, 10)
		time.Sleep(70 * time.Second)
		if m.sequenced() != 0 {
			t.Error("sequenced without a lease")
		}
		l.set(0)
		synctest.Wait()
		if m.sequenced() != 1 {
			t.Error("not sequenced although it is due and the lease is here")
		}
	})
}

// If the holder hangs, the next process sequences within twice the delay, the one behind it later, and a spectator
// never.
func TestOthersSequenceIfTheHolderHangs(t *testing.T) {
	for rank, within := range map[int]time.Duration{1: 2 * time.Minute, 2: 150 * time.Second, -1: 0} {
		play(t, func(t *testing.T, start func(Options) *process) {
			m := start(Options{Leases: newLeases(rank)})
			time.Sleep(13 * time.Second)
			m.record(1, 10)
			time.Sleep(85 * time.Second)
			if m.sequenced() != 0 {
				t.Errorf("rank %d: sequenced what is another's, after 85 seconds", rank)
			}
			time.Sleep(within - 85*time.Second)
			if got := m.sequenced(); got != min(1, int64(within)) {
				t.Errorf("rank %d: %d events sequenced after %v", rank, got, within)
			}
			if rank < 0 {
				time.Sleep(time.Hour)
				if m.sequenced() != 0 {
					t.Error("a spectator sequenced")
				}
			}
		})
	}
}

// While the holder works, however late it is, other processes do not sequence.
func TestOthersLeaveALateHolderAlone(t *testing.T) {
	play(t, func(t *testing.T, start func(Options) *process) {
		l := newLeases(0)
		holder, other := start(Options{Leases: l}), start(Options{Leases: newLeases(1)})
		for i := range 40 { // ten minutes, in which an object waits all the time
			holder.record(i, 10)
			time.Sleep(15 * time.Second)
		}
		if got := other.took(); got["list plans"] > 0 {
			t.Errorf("%v", got)
		}
		if holder.sequenced() < 30 {
			t.Errorf("%d events are sequenced", holder.sequenced())
		}
	})
}

// A process that does not sequence learns soon that its objects no longer wait. The load is 4 MiB a second, at which it
// would refuse events within a minute if it did not learn that (with -short in a quarter of an hour). The holder, which
// writes nothing, keeps up.
func TestWritersLearnWhatOthersHaveSequenced(t *testing.T) {
	play(t, func(t *testing.T, start func(Options) *process) {
		holder, writer := start(Options{}), start(Options{Leases: Spectator{}})
		time.Sleep(time.Hour)
		holder.took()
		second := 4 << 20
		if testing.Short() {
			second = 256 << 10
		}
		var first, most int64
		for i := range 90 {
			writer.record(i, second)
			time.Sleep(time.Second)
			if i < 45 { // the holder may look only after half a minute
				first = max(first, writer.Waiting())
			} else {
				most = max(most, writer.Waiting())
			}
		}
		if first < 8<<20 || first > 130<<20 || most > 32<<20 {
			t.Errorf("%d MiB seemed to wait at most, later %d MiB", first>>20, most>>20)
		}
		if got := holder.took()["list wal"]; got > 5*90 {
			t.Errorf("%d listings in 90 seconds", got)
		}
		time.Sleep(time.Minute)
		if writer.Waiting() != 0 || holder.Waiting() != 0 || holder.sequenced() != 90 {
			t.Errorf("%d and %d bytes wait; %d events are sequenced", writer.Waiting(), holder.Waiting(),
				holder.sequenced())
		}
	})
}

// If the clock of the writer of an event is an hour ahead, the event does not wait for an hour. Each play begins at the
// same time.
func TestClockAheadDelaysNothing(t *testing.T) {
	b := bucketest.NewMemory()
	play(t, func(t *testing.T, start func(Options) *process) {
		var work sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		ahead := startProcess(t, ctx, &work, b, Options{Leases: Spectator{}})
		time.Sleep(time.Hour)
		ahead.record(1, 10)
		stop()
		work.Wait()
		objects, err := ahead.reader.List(t.Context(), wal.ShardOf(groupLog, groupShards))
		if err != nil || len(objects) != 1 {
			t.Fatalf("%v, %v", objects, err)
		}
	})
	play(t, func(t *testing.T, start func(Options) *process) {
		var work sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		m := startProcess(t, ctx, &work, b, Options{})
		time.Sleep(time.Minute)
		if m.sequenced() != 1 {
			t.Error("it waits until the clock is there")
		}
		stop()
		work.Wait()
	})
}

// Objects that a merge replaced are deleted after the grace period, even if nothing is recorded any more.
func TestTidyWithoutRecording(t *testing.T) {
	play(t, func(t *testing.T, start func(Options) *process) {
		m := start(Options{})
		for i := range 4 {
			m.record(i, 10)
			time.Sleep(time.Minute)
		}
		m.took()
		time.Sleep(m.store.Grace() + time.Minute)
		if got := m.took(); got["delete logs"] == 0 {
			t.Errorf("%v: nothing was deleted", got)
		}
		time.Sleep(time.Hour)
		if got := m.took(); got["list wal"] > 122 || len(got) != 1 {
			t.Errorf("%v: it does not come to rest", got)
		}
	})
}

// A failure that repeats each second for hours is in the log once an hour.
func TestLastingFailuresAreLoggedSeldom(t *testing.T) {
	for broken, says := range map[string]string{"list wal": "cannot see", "put new plans": "sequencing failed"} {
		t.Run(broken, func(t *testing.T) {
			play(t, func(t *testing.T, start func(Options) *process) {
				var lines bytes.Buffer
				m := start(Options{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
				m.record(1, 10)
				m.mu.Lock()
				m.broken = broken
				m.mu.Unlock()
				time.Sleep(3*time.Hour - 10*time.Minute)
				synctest.Wait()
				if n := strings.Count(lines.String(), says); n != 3 {
					t.Errorf("logged %d times in three hours, which begin when it first fails: %.500s", n, lines.String())
				}
				m.mu.Lock()
				m.broken = ""
				m.mu.Unlock()
				time.Sleep(time.Minute)
				if m.sequenced() != 1 {
					t.Error("it does not go on when all is mended")
				}
			})
		})
	}
}
