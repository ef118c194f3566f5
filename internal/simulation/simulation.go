// Package simulation runs many processes on one bucket with one clock, all in one operating-system process and from one
// seed, so that a history with a fault can be repeated.
//
// Each call to the bucket waits until the world lets it continue, one at a time, in an order that the seed decides. So
// anything may happen between two calls of a process: others continue; the process sleeps with outdated knowledge, or
// dies. A call may fail before or after its effect, take effect long after it failed, or get a late or incomplete
// reply. Listings come in small pages, as from a store, each from its own moment. Reads are never stale, since stores
// like S3 are consistent.
package simulation

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/simulation/seeds"
)

// Faults says how often each fault happens: once in this number of calls, or never if 0.
type Faults struct {
	Before int // a call fails without effect
	After  int // a change takes effect, and seems to fail
	Late   int // a change seems to fail and takes effect later, perhaps after its process has died
	Twice  int // a change that a client may repeat (Put or Delete) takes effect again later
	Slow   int // a reply comes late
	Cut    int // the reply of a Get ends in the middle
	Death  int // the process dies before or after the effect of a call
	Pause  int // the process is stopped in a call, and continues much later
	Storm  int // the process loses the bucket for a while: most calls fail, before or after their effect

	Trap  string // a process is often stopped just before it creates an object whose key has this prefix
	Often int    // once in this number of such calls
}

// Vary returns faults for one history of many. Each fault is rare, usual, frequent or absent, so that histories differ
// as much as possible, and there is a trap at one of the prefixes.
func (w *World) Vary(f Faults, prefixes ...string) Faults {
	for _, rate := range []*int{&f.Before, &f.After, &f.Late, &f.Twice, &f.Slow, &f.Cut, &f.Death, &f.Pause, &f.Storm} {
		*rate = []int{0, *rate / 3, *rate, *rate, *rate * 3}[w.rand.IntN(5)]
	}
	f.Trap, f.Often = prefixes[w.rand.IntN(len(prefixes))], 4
	return f
}

// Maximum durations.
const (
	maxCall  = 20 * time.Millisecond // between a step and the next
	maxIdle  = time.Second           // the same, while there are no calls
	maxReply = 10 * time.Second
	maxStorm = 20 * time.Second
	maxLate  = 40 * time.Second
	maxPause = 40 * time.Second
)

// World is a bucket, a clock and the processes.
type World struct {
	Bucket *bucketest.Memory
	Faults Faults
	// Check is called after each change of the bucket, before anything else happens. It returns an error if something
	// is wrong.
	Check func(op bucketest.Op, key string) error

	t       *testing.T
	seed    uint64
	rand    *rand.Rand
	mu      sync.Mutex
	waiting []*call
	late    []*call
	arrived int
	favour  *Process // continues for a while, as the others sleep
	wrong   error
	trace   uint64 // a digest of all steps

	processes []*Process
	ended     bool
}

// Run runs a history for each seed that the flags name. The test must not be parallel to others, since each history
// controls crypto/rand.
func Run(t *testing.T, history func(t *testing.T, w *World)) {
	// A history leaves little behind and makes much garbage: with more of it between collections, it takes two thirds of
	// the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	first := play(t, seeds.First(), history)
	if again := play(t, seeds.First(), history); sameEachTime && again != first && !t.Failed() {
		t.Errorf("seed %d: played again, it is another history: something besides the bucket decides what happens",
			seeds.First())
	}
	deadline, limited := t.Deadline()
	for s := seeds.First() + 1; s <= seeds.Last() && !t.Failed(); s++ {
		if limited && time.Until(deadline) < time.Minute {
			t.Errorf("the test's time is nearly over before history %d of %d, all well so far: give it more with "+
				"-timeout, 0 for no limit", s, seeds.Last())
		}
		play(t, s, history)
	}
}

// play runs the history of a seed, and returns a digest of its steps.
func play(t *testing.T, seed uint64, history func(t *testing.T, w *World)) (trace uint64) {
	t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that the work between two calls has a fixed order too
		synctest.Test(t, func(t *testing.T) {
			w := &World{Bucket: bucketest.NewMemory(), t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0))}
			history(t, w)
			trace = w.trace
		})
		if t.Failed() {
			t.Logf("to play this history again, with its steps: -sim.seed=%d -v", seed)
		}
	})
	return trace
}

// Rand returns a source of random numbers for this name.
func (w *World) Rand(name string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, name)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// Wrong records an error, which ends the history.
func (w *World) Wrong(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == nil {
		w.wrong = err
	}
}

// Play lets the processes continue until a condition holds, or something is wrong.
func (w *World) Play(until func() bool) error {
	for {
		synctest.Wait()
		w.mu.Lock()
		wrong := w.wrong
		w.mu.Unlock()
		if wrong != nil || until() {
			return wrong
		}
		w.step()
	}
}

// PlayFor lets the processes continue for a time of the clock.
func (w *World) PlayFor(d time.Duration) error {
	end := time.Now().Add(d)
	return w.Play(func() bool { return time.Now().After(end) })
}

// Heal ends all faults and their consequences: no process sleeps any more, and late effects happen now.
func (w *World) Heal() {
	w.Faults = Faults{}
	for _, c := range w.late {
		w.effect(c)
	}
	w.late = nil
	for _, c := range w.waiting {
		c.process.asleep, c.process.storm, c.ready = time.Time{}, time.Time{}, time.Time{}
	}
}

// End kills all processes, including later ones, so that nobody waits for one any more.
func (w *World) End() {
	w.mu.Lock()
	w.ended = true
	all := slices.Clone(w.processes)
	w.mu.Unlock()
	for _, p := range all {
		p.Kill()
	}
}

// step lets one possible call continue, or lets time pass.
func (w *World) step() {
	now := time.Now()
	possible := w.possible(now)
	if len(possible) == 0 {
		time.Sleep(1 + time.Duration(w.rand.Int64N(int64(maxIdle))))
		return
	}
	c := possible[w.rand.IntN(len(possible))]
	if w.rand.IntN(8) == 0 {
		w.favour = c.process
	}
	w.do(c, now)
	// Each step has its own time, since timers of the bubble that expire at the same time run in any order.
	synctest.Wait()
	time.Sleep(1 + time.Duration(w.rand.Int64N(int64(maxCall)/[]int64{1, 2, 1 << 20}[w.rand.IntN(3)])))
}

// possible returns the calls that can continue, in an order that depends only on the seed.
func (w *World) possible(now time.Time) []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all, favoured []*call
	for _, c := range slices.Concat(w.waiting, w.late) {
		if c.ready.After(now) || !c.failed && c.process.asleep.After(now) {
			continue
		}
		all = append(all, c)
		if c.process == w.favour {
			favoured = append(favoured, c)
		}
	}
	if len(favoured) > 0 {
		all = favoured
	}
	slices.SortStableFunc(all, func(a, b *call) int { return cmp.Or(a.compare(b), cmp.Compare(a.arrival, b.arrival)) })
	return slices.CompactFunc(all, func(a, b *call) bool { return a.twin(b) })
}

// compare orders calls by their arguments.
func (c *call) compare(other *call) int {
	return cmp.Or(cmp.Compare(c.process.name, other.process.name), cmp.Compare(c.op, other.op),
		cmp.Compare(c.key, other.key), cmp.Compare(c.part, other.part))
}

// twin tells whether two calls differ only in the caller. Then their order is not defined, and the same happens to
// both. Only reads have twins. Equal changes by different callers are rare, and their effects differ.
func (c *call) twin(other *call) bool {
	return !changes(c.op) && c.key == other.key && c.compare(other) == 0 && c.done == other.done &&
		c.failed == other.failed && c.ready.Equal(other.ready)
}

// twins returns a waiting call, and its twins.
func (w *World) twins(c *call) (all []*call) {
	if c.failed || changes(c.op) {
		return []*call{c}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.waiting {
		if c == other || c.twin(other) {
			all = append(all, other)
		}
	}
	return all
}

func (w *World) once(in int) bool { return in > 0 && w.rand.IntN(in) == 0 }

func (w *World) in(d time.Duration, now time.Time) time.Time {
	return now.Add(1 + time.Duration(w.rand.Int64N(int64(d))))
}

// do lets a call continue.
func (w *World) do(c *call, now time.Time) {
	f, p := w.Faults, c.process
	if w.once(f.Storm) {
		p.storm = w.in(maxStorm, now)
	}
	if p.storm.After(now) {
		f.Before, f.After, f.Late = 2, 2, 4
	}
	switch {
	case c.failed:
		w.note(c, "takes effect late")
		w.effect(c)
		w.late = without(w.late, c)
	case c.done:
		w.reply(c, "is answered late", c.result)
	case w.abandoned(c) && w.rand.IntN(2) == 0:
		w.reply(c, "was given up", nil)
	case w.once(f.Pause) || c.op == bucketest.PutNew && strings.HasPrefix(c.key, f.Trap) && w.once(f.Often):
		w.note(c, "finds its process stopped")
		p.asleep = w.in(maxPause, now)
	case w.once(f.Death):
		if w.rand.IntN(2) == 0 {
			w.effect(c)
		}
		w.note(c, "finds its process dead")
		p.Kill()
	case w.once(f.Before):
		w.reply(c, "fails", errInjected)
	case changes(c.op) && w.once(f.Late):
		w.late = append(w.late, &call{process: p, op: c.op, key: c.key, run: c.run, failed: true,
			ready: w.in(maxLate, now)})
		w.reply(c, "fails, for now", errInjected)
	default:
		w.effect(c)
		switch {
		case changes(c.op) && w.once(f.After):
			w.reply(c, "takes effect and fails", errInjected)
		case w.once(f.Slow):
			ready := w.in(maxReply, now)
			for _, twin := range w.twins(c) {
				twin.done, twin.ready = true, ready
			}
			w.note(c, "takes effect")
		default:
			w.reply(c, "", c.result)
		}
		if repeatable(c.op) && w.once(f.Twice) {
			w.late = append(w.late, &call{process: p, op: c.op, key: c.key, run: c.run, failed: true,
				ready: w.in(maxLate, now)})
		}
	}
}

// abandoned tells whether no caller waits for a call any more.
func (w *World) abandoned(c *call) bool {
	all := w.twins(c)
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(all, func(twin *call) bool { return !twin.abandoned })
}

// effect executes a call.
func (w *World) effect(c *call) {
	luck := w.rand.Uint64()
	for _, twin := range w.twins(c) {
		twin.result = twin.run(luck)
	}
	if c.result == nil && changes(c.op) && w.Check != nil {
		if err := w.Check(c.op, c.key); err != nil {
			w.note(c, err.Error())
			w.Wrong(fmt.Errorf("after %s %s of %s: %w", c.op, c.key, c.process.name, err))
		}
	}
}

func (w *World) reply(c *call, what string, result error) {
	all := w.twins(c)
	w.note(c, what)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, twin := range all {
		w.waiting = without(w.waiting, twin)
		twin.result = result
		close(twin.released)
	}
}

// note adds a step to the trace.
func (w *World) note(c *call, what string) {
	now, h := time.Now(), fnv.New64a()
	for _, number := range []uint64{w.trace, uint64(now.UnixNano())} {
		h.Write(binary.BigEndian.AppendUint64(nil, number))
	}
	for _, word := range []string{c.process.name, string(c.op), c.key, what} {
		io.WriteString(h, word)
	}
	w.trace = h.Sum64()
	if seeds.First() == seeds.Last() && testing.Verbose() {
		w.t.Log(now.Format("15:04:05.000"), c.process.name, c.op, c.key, what)
	}
}

func without(calls []*call, c *call) []*call {
	return slices.DeleteFunc(calls, func(other *call) bool { return other == c })
}

// ErrDead is returned (wrapped) by all calls of a dead process.
var ErrDead = errors.New("this process is dead")

var errInjected = errors.New("injected")

// Expected tells whether an error comes from the faults of the world.
func Expected(err error) bool { return errors.Is(err, errInjected) || errors.Is(err, ErrDead) }
