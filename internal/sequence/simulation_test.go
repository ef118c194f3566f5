package sequence

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

var (
	simSeeds = flag.Int("sim.seeds", 150, "how many histories TestSimulation plays")
	simSeed  = flag.Uint64("sim.seed", 0, "play this history only")
)

// simulation plays writers, sequencers and readers on one bucket, interleaved at random: before each of its calls to the
// bucket an actor waits for its turn, and others may do anything meanwhile. Some sleep for long, some die between two
// calls, some replies are lost. Only one actor runs at a time.
type simulation struct {
	rnd    *rand.Rand
	bucket *bucket.Memory
	actors []*actor
	ticks  int

	sent, acked map[string]map[string]bool // by log and line
	entries     map[string][]string        // of each log, when last looked at
	serial      int
	wrong       []string
}

// actor is a process with a script. Its node is replaced when it dies.
type actor struct {
	sim   *simulation
	node  *node
	dead  bool
	turn  chan struct{} // it may go on
	ready chan bool     // it waits for its turn (true), or has ended (false)
	until int           // it sleeps until this tick
}

var errDead = errors.New("this process is dead")

// before is called before each call to the bucket.
func (a *actor) before(context.Context, bucketest.Op, string) error {
	if a.dead {
		return errDead
	}
	a.ready <- true
	<-a.turn
	if a.sim.rnd.IntN(150) == 0 {
		a.dead = true
		return errDead
	}
	return nil
}

// after loses some replies of what took effect.
func (a *actor) after(context.Context, bucketest.Op, string) error {
	if !a.dead && a.sim.rnd.IntN(20) == 0 {
		return errInjected
	}
	return nil
}

// restart gives the actor a new node if the last one died.
func (a *actor) restart() {
	if a.node != nil && !a.dead {
		return
	}
	if a.node != nil {
		a.node.writer.Close()
	}
	a.dead = false
	a.node = startNode(a.sim.bucket)
	a.node.faulty.Before, a.node.faulty.After = a.before, a.after
}

func (s *simulation) start(script func(*actor)) {
	a := &actor{sim: s, turn: make(chan struct{}), ready: make(chan bool)}
	s.actors = append(s.actors, a)
	go func() {
		<-a.turn
		a.restart()
		script(a)
		a.node.writer.Close()
		a.ready <- false
	}()
}

// play gives turns until all actors have ended.
func (s *simulation) play() {
	for len(s.actors) > 0 {
		a := s.actors[s.rnd.IntN(len(s.actors))]
		if s.ticks++; a.until > s.ticks && len(s.actors) > 1 {
			continue
		}
		if s.rnd.IntN(200) == 0 {
			a.until = s.ticks + s.rnd.IntN(3000)
		}
		for range []int{1, 1, 1, 5, 20}[s.rnd.IntN(5)] { // bursts leave the others asleep
			a.turn <- struct{}{}
			if !<-a.ready {
				s.actors = slices.DeleteFunc(s.actors, func(b *actor) bool { return a == b })
				break
			}
		}
	}
}

var simLogs = []string{"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"}

func (s *simulation) writer(a *actor) {
	for range 15 {
		a.restart()
		b := wal.Batch{Log: simLogs[s.rnd.IntN(2)]}
		var lines []string
		for range 1 + s.rnd.IntN(3) {
			serial := s.serial
			if s.serial > 0 && s.rnd.IntN(4) == 0 {
				serial = s.rnd.IntN(s.serial) // a producer's retry
			} else {
				s.serial++
			}
			line, _, entry := makeEvent(serial, epoch+int64(serial*37%100), "")
			s.sent[b.Log][line] = true
			lines = append(lines, line)
			b.Lines = append(append(b.Lines, line...), '\n')
			b.Entries = append(b.Entries, entry)
		}
		if _, err := a.node.recorder.Record(context.Background(), b); err != nil {
			continue
		}
		for _, line := range lines {
			s.acked[b.Log][line] = true
		}
	}
}

func (s *simulation) sequencer(a *actor) {
	for range 25 {
		a.restart()
		_, err := a.node.sequencer.Round(context.Background(), true)
		if err != nil && !errors.Is(err, errDead) && !errors.Is(err, errInjected) && !errors.Is(err, bucket.ErrNotExist) {
			s.wrong = append(s.wrong, fmt.Sprintf("round: %v", err))
		}
	}
}

func (s *simulation) reader(a *actor) {
	for range 12 {
		a.restart()
		log := simLogs[s.rnd.IntN(2)]
		must := maps.Clone(s.acked[log])
		d, err := a.node.store.Download(context.Background(), log, tlog.Query{Start: math.MinInt64, End: math.MaxInt64})
		var file bytes.Buffer
		if err == nil {
			err = d.WriteTo(context.Background(), &file)
		}
		if err != nil {
			if !errors.Is(err, errDead) && !errors.Is(err, errInjected) {
				s.wrong = append(s.wrong, fmt.Sprintf("download: %v", err))
			}
			continue
		}
		s.checkDownload(log, must, gunzip(fatal{s}, file.Bytes()))
	}
}

func (s *simulation) checkDownload(log string, must map[string]bool, lines []string) {
	seen := map[string]bool{}
	for _, line := range lines {
		if seen[line] {
			s.wrong = append(s.wrong, "twice in one download: "+line)
		}
		if !s.sent[log][line] {
			s.wrong = append(s.wrong, "never sent: "+line)
		}
		seen[line] = true
		delete(must, line)
	}
	for line := range must {
		s.wrong = append(s.wrong, "acknowledged and missing: "+line)
	}
}

// watcher looks at the segments from outside, as the model does: what was there stays as it is.
func (s *simulation) watcher(a *actor) {
	m := &model{bucket: s.bucket}
	for range 60 {
		a.restart()
		if a.before(context.Background(), bucketest.List, "") != nil {
			continue
		}
		for _, log := range simLogs {
			lines := m.sequenced(fatal{s}, log)
			if before := s.entries[log]; len(lines) < len(before) || !slices.Equal(lines[:len(before)], before) {
				s.wrong = append(s.wrong, fmt.Sprintf("log %s was\n%q\nand has become\n%q", log, before, lines))
			}
			s.entries[log] = lines
		}
	}
}

// fatal notes what a check of the model finds.
type fatal struct{ sim *simulation }

func (f fatal) Fatalf(format string, args ...any) {
	f.sim.wrong = append(f.sim.wrong, fmt.Sprintf(format, args...))
}

func simulate(seed uint64) []string {
	s := &simulation{rnd: rand.New(rand.NewPCG(seed, 0)), bucket: bucket.NewMemory(), sent: map[string]map[string]bool{},
		acked: map[string]map[string]bool{}, entries: map[string][]string{}}
	for _, log := range simLogs {
		s.sent[log], s.acked[log] = map[string]bool{}, map[string]bool{}
	}
	for _, script := range []func(*actor){s.writer, s.writer, s.sequencer, s.sequencer, s.sequencer, s.reader, s.reader, s.watcher} {
		s.start(script)
	}
	s.play()
	// In the end, on a healthy node, everything is there.
	n := startNode(s.bucket)
	defer n.writer.Close()
	for _, log := range simLogs {
		d, err := n.store.Download(context.Background(), log, tlog.Query{Start: math.MinInt64, End: math.MaxInt64})
		var file bytes.Buffer
		if err == nil {
			err = d.WriteTo(context.Background(), &file)
		}
		if err != nil {
			s.wrong = append(s.wrong, fmt.Sprintf("final download: %v", err))
			continue
		}
		s.checkDownload(log, maps.Clone(s.acked[log]), gunzip(fatal{s}, file.Bytes()))
	}
	return s.wrong
}

// TestSimulation plays random histories, each from its seed: I1, I2, I3 and I4 under any interleaving.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(*simSeeds)
	if *simSeed > 0 {
		first, last = *simSeed, *simSeed
	}
	for seed := first; seed <= last; seed++ {
		if wrong := simulate(seed); len(wrong) > 0 {
			t.Fatalf("seed %d (-sim.seed=%d): %s", seed, seed, wrong[0])
		}
	}
}
