package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// world is some logs in a bucket, and what is delivered of them.
type world struct {
	*testing.T
	memory *bucketest.Memory
	faulty *bucketest.Faulty // what the engine has of it
	logs   *tlog.Logs
	set    Set
	sizes  map[string]int // entries, by log
	plan   int64
	pad    string // of each line

	mu       sync.Mutex
	places   map[string]*place // by delivery
	subjects []Subject
	missed   [][2]int64
	looks    int // at the deliveries

	logger   *slog.Logger
	registry *prometheus.Registry
	engine   *Engine
	stop     func()
}

func newWorld(t *testing.T, logs int) *world {
	b := bucketest.NewMemory()
	w := &world{T: t, memory: b, faulty: &bucketest.Faulty{Bucket: b}, sizes: map[string]int{},
		places: map[string]*place{}, set: Set{Project: "6a793f48c0eb9e7a17712e00"}}
	w.logs = tlog.NewLogs(w.faulty, wal.NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20),
		tlog.Options{BlockBytes: 400, SegmentBytes: 1, Grace: time.Nanosecond})
	for i := range logs {
		w.subjects = append(w.subjects, Subject{fmt.Sprintf("6a793f48c0eb9e7a177120%02d", i), fmt.Sprint("log", i)})
	}
	t.Cleanup(w.end)
	return w
}

// add adds a delivery of all logs.
func (w *world) add(d Delivery) *place {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.ID == "" {
		d.ID = fmt.Sprintf("6a793f48c0eb9e7a177130%02d", len(w.set.Deliveries))
	}
	d.Generation, d.Type = 1, "TEST"
	w.set.Deliveries = append(w.set.Deliveries, d)
	p := &place{w: w, got: map[string][]int64{}, refuses: map[string]bool{}}
	w.places[d.ID] = p
	return p
}

// change changes a delivery.
func (w *world) change(i int, change func(*Delivery)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set.Deliveries = slices.Clone(w.set.Deliveries)
	w.set.Deliveries[i].Generation++
	change(&w.set.Deliveries[i])
}

// begin starts the engine.
func (w *world) begin() {
	ctx, cancel := context.WithCancel(w.Context())
	o := Options{Bucket: w.faulty, Logs: w.logs, Source: w, Logger: w.logger, Types: []string{"TEST"}}
	if w.registry != nil {
		o.Registerer = w.registry
	}
	engine := New(o)
	w.engine = engine
	done := make(chan struct{})
	go func() {
		defer close(done)
		engine.Run(ctx)
	}()
	w.stop = func() {
		cancel()
		<-done
	}
}

// end stops the engine.
func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// kill stops the engine as a power cut does: nothing is written any more.
func (w *world) kill() {
	before := w.faulty.Before
	w.faulty.Before = func(context.Context, bucketest.Op, string) error { return errors.New("killed") }
	w.end()
	w.faulty.Before = before
}

// grow appends entries to a log.
func (w *world) grow(log int, n int) {
	w.Helper()
	id := w.subjects[log].Log
	var lines []string
	for range n {
		i := w.sizes[id]
		lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%s-%d"},"even":%v%s}`, i, id, i, i%2 == 0,
			w.pad))
		w.sizes[id]++
	}
	w.plan++
	if err := w.logs.Append(w.Context(), w.plan, "n", eventtest.Batch(id, lines...)); err != nil {
		w.Fatal(err)
	}
	if w.engine != nil {
		w.engine.Committed(id)
	}
}

// wait lets time pass, in which everything is done that can be. What the test did before comes before that.
func (w *world) wait(d time.Duration) {
	func() {
		w.mu.Lock()
		defer w.mu.Unlock()
	}()
	time.Sleep(d)
	synctest.Wait()
}

// Changed implements Source. Nobody changes deliveries but the test.
func (w *world) Changed() <-chan struct{} { return nil }

// All implements Source.
func (w *world) All(context.Context) iter.Seq2[*Set, error] {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	sets := []*Set{{Project: w.set.Project}}
	for _, d := range w.set.Deliveries {
		project := cmp.Or(d.Project, w.set.Project)
		i := slices.IndexFunc(sets, func(s *Set) bool { return s.Project == project })
		if i < 0 {
			i, sets = len(sets), append(sets, &Set{Project: project})
		}
		sets[i].Deliveries = append(sets[i].Deliveries, d)
	}
	return func(yield func(*Set, error) bool) {
		for _, set := range sets {
			if !yield(set, nil) {
				return
			}
		}
	}
}

// Subjects implements Source.
func (w *world) Subjects(context.Context, *Delivery) ([]Subject, error) { return w.subjects, nil }

// Open implements Source.
func (w *world) Open(d *Delivery) (Sink, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p := w.places[d.ID]; {
	case p.steady:
		return steadyPlace{p}, nil
	case p.holds > 0:
		return holding{p}, nil
	case p.ack > 0:
		return acknowledging{p}, nil
	default:
		return p, nil
	}
}

// Missed implements Source.
func (w *world) Missed(_ context.Context, _ *Delivery, _ Subject, first, end int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed = append(w.missed, [2]int64{first, end})
	return nil
}

// place is a Sink that notes what it accepts.
type place struct {
	w       *world
	got     map[string][]int64 // indexes, by log, in the order of acceptance
	batches [][2]int64         // first and last index
	sends   int
	refuses map[string]bool // ids of events that it refuses alone
	most    int             // events that it takes at once; if 0, any number
	steady  bool
	holds   int64 // bytes, between two batches
	closed  int
	ack     time.Duration // after which it acknowledges a batch, if above 0

	fault func(context.Context, []Event) (accept bool, err error) // of one Send; if nil, it has no fault
}

type steadyPlace struct{ *place }

func (steadyPlace) Steady() {}

type acknowledging struct{ *place }

func (a acknowledging) Acknowledged(ctx context.Context) error {
	a.w.mu.Lock()
	timer := time.NewTimer(a.ack)
	a.w.mu.Unlock()
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send implements Sink.
func (p *place) Send(ctx context.Context, batch []Event) ([]Refusal, error) {
	p.w.mu.Lock()
	p.sends++
	fault := p.fault
	p.w.mu.Unlock()
	accept, err := true, error(nil)
	if fault != nil {
		accept, err = fault(ctx, batch)
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.most > 0 && len(batch) > p.most {
		return nil, fmt.Errorf("%d events: %w", len(batch), ErrTooMuch)
	}
	if !accept {
		return nil, err
	}
	p.batches = append(p.batches, [2]int64{batch[0].Index, batch[len(batch)-1].Index})
	var refused []Refusal
	for i, e := range batch {
		if want := fmt.Sprintf(`"uid":"%s-%d"`, e.Log, e.Index); !strings.Contains(string(e.Line), want) ||
			e.Time != e.Index {
			p.w.Errorf("event %s is %s, at %d", e.ID(), e.Line, e.Time)
		}
		if p.refuses[e.ID()] {
			refused = append(refused, Refusal{i, "it is refused"})
			continue
		}
		p.got[e.Log] = append(p.got[e.Log], e.Index)
	}
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// Close implements Sink.
func (p *place) Close() error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.closed++
	return nil
}

// expect checks that the place has accepted each of the entries of a log, in order, but for some. Repeats are allowed.
func (p *place) expect(log int, but ...int64) {
	p.w.Helper()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	id := p.w.subjects[log].Log
	next := int64(0)
	for _, i := range p.got[id] {
		for slices.Contains(but, next) {
			next++
		}
		if i > next {
			p.w.Fatalf("log %d: the place was given %d before %d", log, i, next)
		}
		next = max(next, i+1)
	}
	for slices.Contains(but, next) {
		next++
	}
	if next != int64(p.w.sizes[id]) {
		p.w.Fatalf("log %d: the place has %d of %d entries", log, next, p.w.sizes[id])
	}
}

// once checks that nothing was accepted twice.
func (p *place) once() {
	p.w.Helper()
	for log, all := range p.got {
		if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
			p.w.Errorf("log %s: accepted twice: %d", log, all)
		}
	}
}

func (w *world) state(delivery, log int) State {
	w.Helper()
	s, err := ReadState(w.Context(), w.memory, w.set.Deliveries[delivery].ID, w.subjects[log].Log)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func bubble(t *testing.T, f func(t *testing.T)) {
	eventtest.PassTime()
	synctest.Test(t, f)
}

func TestEachEventIsDeliveredOnceInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 3)
		p := w.add(Delivery{})
		w.grow(0, 50)
		w.begin()
		for i := range 40 {
			w.grow(i%3, 1+i)
			w.wait(time.Duration(i) * time.Second)
		}
		w.wait(time.Minute)
		for log := range 3 {
			p.expect(log)
		}
		p.once()
		w.end()
		if s := w.state(0, 0); s.Next != int64(w.sizes[w.subjects[0].Log]) || s.Accepted != s.Next || s.Failure != nil {
			t.Errorf("state %+v", s)
		}
		w.begin() // another node goes on where this one was
		w.grow(0, 5)
		w.wait(time.Minute)
		p.expect(0)
		p.once()
	})
}

func TestFilterChoosesWhatIsDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{Filter: "even:true"})
		w.begin()
		w.grow(0, 100)
		w.wait(time.Minute)
		w.end()
		got := p.got[w.subjects[0].Log]
		for i, n := range got {
			if n != int64(2*i) {
				t.Fatalf("delivered %d", got)
			}
		}
		if s := w.state(0, 0); len(got) != 50 || s.Next != 100 {
			t.Errorf("%d delivered, state %+v", len(got), s)
		}
	})
}

// A place that fails before it accepts, or after, that hangs, panics or answers nonsense, gets each event all the same,
// in order.
func TestAPlaceThatFailsMissesNothing(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { playFaults(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func playFaults(t *testing.T, rnd *rand.Rand) {
	w := newWorld(t, 2)
	p := w.add(Delivery{Batch: Batch{Events: 1 + rnd.IntN(20), Bytes: 100 + rnd.IntN(5000)}})
	p.most = rnd.IntN(8)
	p.steady = rnd.IntN(2) == 0
	healthy, faults := false, rand.New(rand.NewPCG(rnd.Uint64(), 1))
	draw := func(n int) int { // 0 once all is healthy
		w.mu.Lock()
		defer w.mu.Unlock()
		if healthy {
			return 0
		}
		return faults.IntN(n)
	}
	p.fault = func(ctx context.Context, _ []Event) (bool, error) {
		switch draw(9) {
		case 1:
			return false, errors.New("it fails before it accepts")
		case 2:
			return true, errors.New("it fails after it has accepted")
		case 3:
			<-ctx.Done()
			return false, ctx.Err()
		case 4:
			<-ctx.Done()
			return true, ctx.Err()
		case 5:
			panic("a fault of a sink")
		case 6:
			return false, &RetryAfter{time.Duration(draw(100)) * time.Second, errors.New("later")}
		}
		return true, nil
	}
	w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if strings.HasPrefix(key, "deliverystate/") && draw(6) == 1 {
			return errors.New("the bucket fails")
		}
		return nil
	}
	w.begin()
	for range 20 {
		w.grow(rnd.IntN(2), 1+rnd.IntN(30))
		w.wait(time.Duration(rnd.IntN(60)) * time.Second)
		for log := range 2 {
			w.notAhead(p, log)
		}
		switch rnd.IntN(4) {
		case 0:
			w.kill()
			w.begin()
		case 1:
			w.end()
			w.begin()
		}
	}
	w.mu.Lock()
	healthy = true
	w.mu.Unlock()
	w.wait(20 * time.Minute)
	p.expect(0)
	p.expect(1)
}

// notAhead checks that what is kept is not ahead of what was accepted.
func (w *world) notAhead(p *place, log int) {
	w.Helper()
	s := w.state(0, log)
	w.mu.Lock()
	defer w.mu.Unlock()
	for next := range s.Next {
		if !slices.Contains(p.got[w.subjects[log].Log], next) {
			w.Fatalf("log %d: the state is at %d, but %d was not accepted", log, s.Next, next)
		}
	}
}
