package node

import (
	"context"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/retry"
)

// delivering is how nodes deliver. No time of it coincides with another (followEvery).
func (c *cluster) delivering() deliver.Options {
	return deliver.Options{Source: simulatedPlaces{c}, LookEvery: 11*time.Second + 273*time.Millisecond,
		PollEvery: 18*time.Second + 311*time.Millisecond, KeepEvery: 3*time.Second + 19*time.Millisecond,
		SendLimit: 6*time.Second + 83*time.Millisecond,
		Pauses:    retry.Policy{First: 2 * time.Second, Longest: 9 * time.Second, Even: true}}
}

// place is a place outside, to which one delivery of a project sends. As long as the cluster is not healthy, it fails
// in many ways.
type place struct {
	cluster  *cluster
	delivery deliver.Delivery
	steady   bool               // It must be given the same batch again. Then it splits none, and its owner replays none.
	sent     map[string]*handed // by log
	tried    map[string]uint32  // how often a batch was sent, by its first and last event
}

// handed has the facts, known from outside, about the events of a log that were sent.
type handed struct {
	log      *simulatedLog
	next     int64 // Each entry before it was accepted, refused, said to be missed, or is not to be sent.
	accepted map[int64]bool
	refused  map[int64]int // how often
	missed   map[int64]bool
	batches  map[int64]int64 // the last entry of a batch, by the first
}

// makePlace gives a project one delivery of all its logs.
func (c *cluster) makePlace(p *account.Project, logs []*simulatedLog) {
	made := &place{cluster: c, steady: len(c.places) == 0, sent: map[string]*handed{}, tried: map[string]uint32{},
		delivery: deliver.Delivery{ID: account.NewID(time.Now()), Generation: 1, Project: p.ID,
			Batch: deliver.Batch{Events: 4}}}
	if made.steady {
		made.delivery.Filter = "not entity.name:b"
	}
	for _, log := range logs {
		made.sent[log.id] = &handed{log: log, accepted: map[int64]bool{}, refused: map[int64]int{},
			missed: map[int64]bool{}, batches: map[int64]int64{}}
	}
	c.places = append(c.places, made)
}

// wants tells whether an event is to be sent.
func (p *place) wants(line string) bool {
	return p.delivery.Filter == "" || !strings.Contains(line, `"name":"b"`)
}

// pass moves next as far as it can.
func (p *place) pass(s *handed) {
	for s.next < int64(len(s.log.lines)) && (s.accepted[s.next] || s.refused[s.next] > 0 || s.missed[s.next] ||
		!p.wants(s.log.lines[s.next])) {
		s.next++
	}
}

// simulatedPlaces are the deliveries that there are.
type simulatedPlaces struct{ *cluster }

// All implements deliver.Source.
func (c simulatedPlaces) All(context.Context) iter.Seq2[*deliver.Set, error] {
	return func(yield func(*deliver.Set, error) bool) {
		for _, p := range c.places {
			c.mu.Lock()
			set := &deliver.Set{Project: p.delivery.Project, Deliveries: []deliver.Delivery{p.delivery}}
			c.mu.Unlock()
			if !yield(set, nil) {
				return
			}
		}
	}
}

// Changed implements deliver.Source. Nobody says that deliveries have changed.
func (c simulatedPlaces) Changed() <-chan struct{} { return nil }

func (c simulatedPlaces) of(d *deliver.Delivery) *place {
	return c.places[slices.IndexFunc(c.places, func(p *place) bool { return p.delivery.ID == d.ID })]
}

// Subjects implements deliver.Source.
func (c simulatedPlaces) Subjects(_ context.Context, d *deliver.Delivery) (all []deliver.Subject, err error) {
	for _, log := range c.logs {
		if c.of(d).sent[log.id] != nil {
			all = append(all, deliver.Subject{Log: log.id})
		}
	}
	return all, nil
}

// Open implements deliver.Source.
func (c simulatedPlaces) Open(d *deliver.Delivery) (deliver.Sink, error) {
	if p := c.of(d); !p.steady {
		return p, nil
	}
	return steadyPlace{c.of(d)}, nil
}

// Missed implements deliver.Source.
func (c simulatedPlaces) Missed(_ context.Context, d *deliver.Delivery, of deliver.Subject, first, end int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.of(d)
	s := p.sent[of.Log]
	p.pass(s)
	if first > s.next || end > s.log.gone {
		c.world.Wrong(fmt.Errorf("log %s: entries %d to %d are said to be missed; sent are %d, gone are %d", of.Log,
			first, end-1, s.next, s.log.gone))
	}
	if !c.healthy && p.fate("missed", of.Log, fmt.Sprint(first))%4 == 0 {
		return errRefused
	}
	for i := first; i < end; i++ {
		s.missed[i] = true
	}
	return nil
}

type steadyPlace struct{ *place }

// Steady implements deliver.Steady.
func (steadyPlace) Steady() {}

// fate returns a number that is another one each time that the same happens.
func (p *place) fate(what ...string) uint32 {
	id := strings.Join(what, " ")
	p.tried[id]++
	h := fnv.New32a()
	fmt.Fprint(h, p.delivery.ID, id, p.tried[id])
	return h.Sum32()
}

// Close implements deliver.Sink.
func (p *place) Close() error { return nil }

// Send implements deliver.Sink.
func (p *place) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	fate, healthy := p.begin(batch)
	if healthy {
		return p.accept(batch), nil
	}
	luck := time.Duration(fate / 16)
	switch fate % 16 {
	case 0: // It fails before it accepts,
		return nil, errRefused
	case 1: // after,
		p.accept(batch)
		return nil, errRefused
	case 2: // and in between.
		p.accept(batch[:len(batch)/2])
		return nil, errRefused
	case 3: // It hangs before it accepts,
		<-ctx.Done()
		return nil, ctx.Err()
	case 4: // and after.
		p.accept(batch)
		<-ctx.Done()
		return nil, ctx.Err()
	case 5, 6: // It takes its time, which may be too much.
		retry.Wait(ctx, luck*8*time.Second/(1<<28))
		return p.accept(batch), ctx.Err()
	case 7: // It lies: it has accepted what it refuses,
		refused := p.accept(batch)
		if last := len(batch) - 1; len(refused) == 0 {
			refused = p.refuse(batch[last:], last)
		}
		return refused, nil
	case 8: // or makes no sense.
		return append(p.accept(batch), deliver.Refusal{At: len(batch)}), nil
	case 9:
		p.accept(batch)
		panic("a sink that has an error of its own")
	case 10:
		return nil, &deliver.RetryAfter{Pause: luck * 5 * time.Second / (1 << 28), Err: errRefused}
	case 11, 12: // It wants less at once.
		if len(batch) > 1 && !p.steady {
			return nil, deliver.ErrTooMuch
		}
	}
	return p.accept(batch), nil
}

// begin says what happens to a batch.
func (p *place) begin(batch []deliver.Event) (fate uint32, healthy bool) {
	c, first, last := p.cluster, batch[0], batch[len(batch)-1]
	c.mu.Lock()
	defer c.mu.Unlock()
	s := p.sent[first.Log]
	for i, e := range batch {
		if e.Log != first.Log || i > 0 && e.Index <= batch[i-1].Index || e.Index >= int64(len(s.log.lines)) ||
			string(e.Line) != s.log.lines[e.Index] || !p.wants(string(e.Line)) {
			c.world.Wrong(fmt.Errorf("%s was sent: %s", e.ID(), e.Line))
		}
	}
	if end, ok := s.batches[first.Index]; p.steady && ok && end != last.Index && s.refused[first.Index] == 0 {
		c.world.Wrong(fmt.Errorf("a batch from %s on ended with entry %d, and now with %d", first.ID(), end, last.Index))
	}
	s.batches[first.Index] = last.Index
	return p.fate(first.ID(), last.ID()), c.healthy
}

// accept accepts events, but for those that the place refuses.
func (p *place) accept(batch []deliver.Event) (refused []deliver.Refusal) {
	for i := range batch {
		if p.refuses(&batch[i]) {
			refused = append(refused, p.refuse(batch[i:i+1], i)...)
			continue
		}
		p.note(&batch[i], func(s *handed, at int64) { s.accepted[at] = true })
	}
	return refused
}

// refuse refuses events, the first of which is at a position of its batch.
func (p *place) refuse(events []deliver.Event, at int) (refused []deliver.Refusal) {
	for i := range events {
		p.note(&events[i], func(s *handed, at int64) { s.refused[at]++ })
		refused = append(refused, deliver.Refusal{At: at + i, Reason: "refused"})
	}
	return refused
}

// note notes what became of an event, for which it must be time.
func (p *place) note(e *deliver.Event, note func(*handed, int64)) {
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	s := p.sent[e.Log]
	if p.pass(s); e.Index > s.next {
		c.world.Wrong(fmt.Errorf("%s was sent before entry %d", e.ID(), s.next))
	}
	note(s, e.Index)
}

// refuses tells whether the place refuses an event: for ever, or the first two times.
func (p *place) refuses(e *deliver.Event) bool {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	h := fnv.New32a()
	fmt.Fprint(h, p.delivery.ID, e.ID())
	switch h.Sum32() % 12 {
	case 0:
		return true
	case 1:
		return p.sent[e.Log].refused[e.Index] < 2
	}
	return false
}

// own does what the owner of a delivery may do at any time: pauses it or has it go on, has what is parked sent again,
// or has events sent again from an entry on.
func (c *cluster) own(ctx context.Context, rnd *rand.Rand, n *node) {
	p := c.places[rnd.IntN(len(c.places))]
	what := rnd.IntN(3)
	for _, log := range c.logs {
		if p.sent[log.id] == nil || what == 0 {
			continue
		}
		err := deliver.ChangeState(ctx, n.sealed, p.delivery.ID, log.id, func(s *deliver.State) error {
			for i := range s.Parked {
				s.Parked[i].Again = what == 1
			}
			if what == 2 && !p.steady {
				s.Next, s.Until = rnd.Int64N(s.Next+1), 0
			}
			return nil
		})
		if err != nil && !expected(ctx, n.process(), err) {
			c.world.Wrong(fmt.Errorf("change the state of a delivery: %w", err))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.delivery.Generation++
	p.delivery.Paused = what == 0 && !p.delivery.Paused
}

// stateIsTrue checks what is kept of a delivery's way through a log: each event before the cursor was accepted, or was
// refused and is parked, or is said to be missed.
func (c *cluster) stateIsTrue(p *place, s *handed) (deliver.State, error) {
	st, err := deliver.ReadState(context.Background(), c.sealed, p.delivery.ID, s.log.id)
	if err != nil {
		return st, err
	}
	if st.Next > int64(len(s.log.lines)) {
		return st, fmt.Errorf("the cursor is at %d, the log has %d entries", st.Next, len(s.log.lines))
	}
	parked := map[int64]bool{}
	for _, one := range st.Parked {
		if s.refused[one.Entry] == 0 || parked[one.Entry] {
			return st, fmt.Errorf("entry %d is parked, twice or without being refused", one.Entry)
		}
		parked[one.Entry] = true
	}
	for i, line := range s.log.lines[:st.Next] {
		if at := int64(i); p.wants(line) && !s.accepted[at] && !parked[at] && !s.missed[at] {
			return st, fmt.Errorf("the cursor is at %d, but entry %d was not accepted (refused %d times)", st.Next, i,
				s.refused[at])
		}
	}
	return st, nil
}

// checkDelivery checks the state of a delivery that an object is of.
func (c *cluster) checkDelivery(key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.places {
		for _, log := range c.logs {
			s := p.sent[log.id]
			if s == nil || !strings.HasPrefix(key, "deliverystate/"+p.delivery.ID+"/"+log.id+"/") {
				continue
			}
			if _, err := c.stateIsTrue(p, s); err != nil {
				return fmt.Errorf("delivery of log %s: %w", log.id, err)
			}
		}
	}
	return nil
}

// endPauses has deliveries go on that their owners have paused.
func (c *cluster) endPauses() {
	for _, p := range c.places {
		if p.delivery.Paused {
			p.delivery.Paused = false
			p.delivery.Generation++
		}
	}
}

// allDelivered checks that nothing waits to be sent, and that it is kept so.
func (c *cluster) allDelivered() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.places {
		for _, log := range c.logs {
			s := p.sent[log.id]
			if s == nil {
				continue
			}
			st, err := c.stateIsTrue(p, s)
			if p.pass(s); err == nil && s.next != int64(len(log.lines)) {
				err = fmt.Errorf("%d of %d entries were sent", s.next, len(log.lines))
			}
			if err == nil && (st.Failure != nil || slices.ContainsFunc(st.Parked, waits)) {
				err = fmt.Errorf("something is still to be sent: %+v", st)
			}
			for i, line := range log.lines {
				if err == nil && int64(i) >= st.Next && p.wants(line) {
					err = fmt.Errorf("entry %d was sent, but the cursor is at %d", i, st.Next)
				}
			}
			if err != nil {
				return fmt.Errorf("delivery of log %s: %w", log.id, err)
			}
		}
	}
	return nil
}

func waits(one deliver.Parked) bool { return one.Again }
