package collect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/retry"
)

// State is the state of a source that is kept between rounds.
type State struct {
	Units map[string]*Progress `json:"units,omitempty"` // by their ids
	Kept  Kept                 `json:"kept,omitempty"`
	Counts
	Success time.Time `json:"success,omitzero"` // when all of it was collected last
	Failure time.Time `json:"failure,omitzero"` // when something failed last
	Error   string    `json:"error,omitempty"`  // what failed then
}

// Round collects all that a source has at a time.
type Round struct {
	Source  Source
	Sink    Sink
	State   *State
	By      string // the holder of the memory that it takes, which recorded the events
	Most    int    // size of a line, in bytes (default 1 MiB)
	MaxUnit int    // number of units (default 2000), of which those that are idle give way to others

	// Target returns the log that a unit's lines go to. The workspace is the one that it returned before, or empty.
	Target func(ctx context.Context, u Unit, workspace string) (Target, error)

	// Save makes the state durable. An error ends the round.
	Save func(context.Context) error

	// Large has an element for each round that holds a window of more than 64 MiB, which only one second of a log can
	// be; at its capacity others wait. So it bounds the temporary disk of rounds that share it. If nil, no round waits.
	Large chan struct{}
}

const (
	defaultMost  = 1 << 20
	defaultUnits = 2000

	saveEvery  = 20 // windows
	maxTooMuch = 20 // windows of a unit in a round that are too much, while they become shorter
	maxBroken  = 5  // replies of a unit in a round that break off
	maxAway    = 3  // units in a row of which nothing is heard
	askGone    = 24 * 3600
	maxError   = 512 // bytes
)

// ErrFailed is returned (wrapped) by Run if something could not be collected. The state says what.
var ErrFailed = errors.New("not everything could be collected")

// unitRun is a unit in a round.
type unitRun struct {
	*Progress
	unit    Unit
	listed  bool  // The source says that there is it.
	resumed bool  // It is known where to go on in its queue.
	ended   bool  // The source does not have its queue any more: what was not collected is lost.
	wasGone int64 // since when the source did not have it, if it has it again
	pass    pass
	tooMuch int
	broken  int
	err     error
}

// Run collects until nothing is left, a window of each unit in turn. The error of one unit is noted in the state, and
// the others go on. The state is saved at the end, and now and then.
func (r *Round) Run(ctx context.Context) error {
	r.prepare()
	units, err := r.list(ctx)
	if errors.As(err, new(*recordError)) {
		return errors.Join(r.conclude(nil, err), r.save(ctx))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	runs := r.begin(ctx, units, &err)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), r.save(context.WithoutCancel(ctx)))
	}
	failed := r.goOn(ctx, runs)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), r.save(context.WithoutCancel(ctx)))
	}
	err = r.conclude(runs, errors.Join(err, failed, r.commit(ctx)))
	return errors.Join(err, r.save(ctx))
}

// list returns the units of the source. If the memory for that is in use, it waits a while.
func (r *Round) list(ctx context.Context) ([]Unit, error) {
	l, ok := r.Source.(Lister)
	if !ok {
		return r.Source.Units(ctx)
	}
	hold := r.Sink.Reserve()
	defer hold.Release()
	for again := 60; ; again-- {
		err := hold.Grow(l.ListMemory())
		if err == nil {
			return r.Source.Units(ctx)
		}
		if !errors.Is(err, record.ErrOverloaded) || again == 0 || !retry.Wait(ctx, time.Second) {
			return nil, ours(fmt.Errorf("list what the source has: %w", err))
		}
	}
}

// prepare completes what is not set, and forgets what is long past.
func (r *Round) prepare() {
	if r.Most <= 0 {
		r.Most = defaultMost
	}
	if r.MaxUnit <= 0 {
		r.MaxUnit = defaultUnits
	}
	if r.State.Units == nil {
		r.State.Units = map[string]*Progress{}
	}
	if r.State.Kept == nil {
		r.State.Kept = Kept{}
	}
	const keptFor = 45 * 24 * time.Hour
	oldest := time.Now().Add(-keptFor).UnixMilli()
	maps.DeleteFunc(r.State.Kept, func(_ string, at int64) bool { return at < oldest })
}

// save saves the state within a time, also if the round is to end.
func (r *Round) save(ctx context.Context) error {
	const within = 10 * time.Second
	if ctx.Done() == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	return r.Save(ctx)
}

// commit tells the source how far its queues were collected, if it wants to know.
func (r *Round) commit(ctx context.Context) error {
	if c, ok := r.Source.(Committer); ok {
		return c.Commit(ctx, r.State.Units)
	}
	return nil
}

// begin returns the units that are to be asked for: those that are there, and those that were. A source may have lines
// of these for a while. Why a unit cannot be asked for is noted in err.
func (r *Round) begin(ctx context.Context, units []Unit, err *error) []*unitRun {
	now := time.Now()
	listed := map[string]bool{} // by id and by path; two units may have one path if one of them is gone
	units = slices.DeleteFunc(units, func(u Unit) bool {
		again := listed[u.ID]
		listed[u.ID] = true
		if u.Queue == nil {
			listed[u.Place.path(u.ID)] = true
		}
		return again
	})
	were := r.beginAgain(ctx, listed, now.Unix(), err) // which tells the units that give way to new ones
	runs := make([]*unitRun, 0, len(units)+len(were))
	full := false
	for _, u := range units {
		p := r.State.Units[u.ID]
		if p == nil {
			if full = full || !r.makeRoom(listed); full {
				continue
			}
			p = newProgress(u, now)
			r.State.Units[u.ID] = p
		}
		run := &unitRun{Progress: p, unit: u, listed: true, pass: p.begin(now.Unix()), wasGone: p.Gone}
		p.Label, p.Place = u.Label, u.Place
		p.Gone, p.Asked, p.Left = 0, 0, 0
		runs = append(runs, run)
	}
	if full {
		*err = errors.Join(*err, fmt.Errorf("there are more than %d logs to collect: leave some out, or create another "+
			"source for them", r.MaxUnit))
	}
	return append(runs, were...)
}

// beginAgain returns the units that there were, and that are asked for again. It notes which others are idle, and in
// failed why the source could not say that.
func (r *Round) beginAgain(ctx context.Context, listed map[string]bool, now int64, failed *error) (runs []*unitRun) {
	for _, id := range slices.Sorted(maps.Keys(r.State.Units)) {
		p := r.State.Units[id]
		switch {
		case listed[id]:
			continue
		case listed[p.Place.path(id)]: // Another one has its name, so that it can never be asked for.
			p.noteGone(now)
			continue
		case p.Gone > 0 && !p.askAgain(now) && !p.Offsets.owe():
			continue
		}
		u, err := r.Source.Again(ctx, id, p.Place)
		run := &unitRun{Progress: p, unit: u, pass: p.begin(now), err: err}
		switch {
		case ctx.Err() != nil:
			return runs
		case errors.Is(err, ErrNotChosen):
			p.noteLeft(now)
			continue
		case errors.Is(err, ErrAway): // as Units may have said
			if *failed == nil {
				*failed = err
			}
			continue
		case errors.Is(err, ErrGone):
			if p.noteGone(now); now-p.Gone < believed || !p.Offsets.owe() {
				continue
			}
			run.ended, run.err = true, nil
		default:
			p.Left = 0
		}
		runs = append(runs, run)
	}
	return runs
}

// believed is for how many seconds a queue must be gone before its messages count as lost: a part of the source that
// has just started may not know of it yet.
const believed = 15 * 60

// noteGone notes that the source does not have a unit.
func (p *Progress) noteGone(now int64) {
	if p.Asked = now; p.Gone == 0 {
		p.Gone = now
	}
	p.Failed = ""
}

// noteLeft notes that a unit is not to be collected. How far it came is kept, so that it goes on there if it is to be
// collected again.
func (p *Progress) noteLeft(now int64) {
	if p.Left == 0 {
		p.Left = now
	}
	p.Failed = ""
}

// makeRoom makes room for one more unit: of those that are idle, the one that has been so for longest is forgotten. If
// it comes back, it begins as a new one, and lines that the log has already are recognised. It returns false if there
// is none.
func (r *Round) makeRoom(listed map[string]bool) bool {
	if len(r.State.Units) < r.MaxUnit {
		return true
	}
	oldest := ""
	for id, p := range r.State.Units {
		if listed[id] || p.Idle() == 0 || p.Left == 0 && p.Offsets.owe() {
			continue
		}
		if first := r.State.Units[oldest]; first == nil || p.Idle() < first.Idle() ||
			p.Idle() == first.Idle() && id < oldest {
			oldest = id
		}
	}
	if oldest == "" {
		return false
	}
	delete(r.State.Units, oldest)
	return true
}

// askAgain tells whether one that is gone is asked for: now and then for a while, since it may come back.
func (p *Progress) askAgain(now int64) bool {
	const every, atMost = 24 * 3600, 40 * 24 * 3600
	return now-p.Asked >= every && now-p.Gone < atMost
}

// goOn takes a window of each unit in turn until each is done or has failed. Its error is one that ends the round.
func (r *Round) goOn(ctx context.Context, runs []*unitRun) error {
	away, windows := 0, 0
	for left := len(runs); left > 0; {
		left = 0
		for _, u := range runs {
			if u.pass.done || u.err != nil {
				continue
			}
			err := r.step(ctx, u)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			if away++; !errors.Is(u.err, ErrAway) {
				away = 0
			}
			if away >= maxAway {
				return u.err
			}
			if !u.pass.done && u.err == nil {
				left++
			}
			if windows++; windows%saveEvery == 0 {
				if err := r.save(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// step takes one window of a unit. An error of the unit is noted in it; one that is returned ends the round.
func (r *Round) step(ctx context.Context, u *unitRun) error {
	if u.unit.Queue != nil {
		return r.stepQueue(ctx, u)
	}
	now := time.Now()
	w := u.window(u.pass, now.Unix())
	shortest := w.End > 0 && w.End-w.Start <= 1 || w.End == 0 && now.Unix()-w.Start <= 1
	lines := newSpool(ctx, shortest, r.Large)
	defer lines.close()
	source, err := u.unit.Feed.Fetch(ctx, w, lines)
	if err != nil {
		return u.fail(err, w, now.Unix())
	}
	if err := r.record(ctx, u, lines, source); err != nil {
		return err
	}
	if u.Gone, u.Asked, u.Left = 0, 0, 0; !lines.full() {
		u.Span = min(2*max(u.Span, 1), maxSpan)
	}
	clock := int64(0)
	if !source.IsZero() {
		clock = source.Unix()
	}
	u.passed(&u.pass, w, now.Unix(), clock)
	return nil
}

// fail notes why a window could not be fetched, and prepares the next one. It returns an error only if this machine is
// the cause.
func (u *unitRun) fail(err error, w Window, now int64) error {
	if here := new(spoolError); errors.As(err, &here) {
		return here
	}
	switch {
	case errors.Is(err, ErrGone) && !u.listed:
		u.noteGone(now)
		u.pass.done = true
		return nil
	case errors.Is(err, ErrTooMuch):
		if u.tooMuch++; u.halve(w, now) && u.tooMuch <= maxTooMuch {
			return nil
		}
	case errors.Is(err, ErrIncomplete):
		if u.broken++; u.broken <= maxBroken {
			u.halve(w, now)
			return nil
		}
	}
	u.err = err
	return nil
}

// record makes the lines of a window durable.
func (r *Round) record(ctx context.Context, u *unitRun, lines *spool, source time.Time) error {
	if lines.bytes == 0 {
		return nil
	}
	target, err := r.target(ctx, u)
	if err != nil {
		return err
	}
	in, err := lines.read()
	if err != nil {
		return err
	}
	hold := r.Sink.Reserve()
	defer hold.Release()
	m := &maker{format: u.unit.Format, source: source, kept: r.State.Kept, since: u.First * 1000, hold: hold,
		origin: event.Origin{By: r.By, Received: time.Now()}}
	m.parser.Operational, m.parser.MaxBytes = u.unit.Operational, r.Most
	w := window{sink: r.Sink, target: target, maker: m, save: r.Save}
	const added = 1 << 10 // what a weir that gives the line out may have added to it
	err = w.record(ctx, in, r.Most+added)
	r.count(u, &w)
	if err != nil {
		return fmt.Errorf("record %s: %w", u.Label, err)
	}
	return nil
}

// target returns the log that takes the lines of a unit.
func (r *Round) target(ctx context.Context, u *unitRun) (Target, error) {
	target, err := r.Target(ctx, u.unit, u.Workspace)
	if err != nil {
		return Target{}, fmt.Errorf("the log that takes %s: %w", u.Label, err)
	}
	u.Workspace, target.Operational = target.WorkspaceID, u.unit.Operational
	return target, nil
}

// count adds the counts of a window.
func (r *Round) count(u *unitRun, w *window) {
	u.Counts.add(w.counts)
	r.State.Counts.add(w.counts)
	if w.reason != "" {
		u.Reason = bounded(w.reason)
	}
}

// conclude notes in the state how the round ended.
func (r *Round) conclude(runs []*unitRun, err error) error {
	failed := 0
	for _, u := range runs {
		u.Failed = ""
		switch {
		case u.err != nil:
			u.Failed = bounded(u.err.Error())
		case !u.pass.done:
			u.Failed = "the round ended before it was collected"
		default:
			continue
		}
		if failed++; failed == 1 && err == nil {
			err = fmt.Errorf("%s: %w", u.Label, u.err)
		}
	}
	if failed > 1 {
		err = fmt.Errorf("%w (%d logs failed)", err, failed)
	}
	if err == nil {
		r.State.Success, r.State.Error = time.Now().UTC(), ""
		return nil
	}
	r.State.Fail(err)
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// Fail notes what failed.
func (s *State) Fail(err error) { s.Failure, s.Error = time.Now().UTC(), bounded(err.Error()) }

// Taken tells whether a workspace takes the lines of another place. Equal lines of two places would be one.
func (s *State) Taken(workspace string, by Place) bool {
	for _, p := range s.Units {
		if p.Workspace == workspace && p.Place != by {
			return true
		}
	}
	return false
}

// Clone returns a copy of the state.
func (s *State) Clone() State {
	c := *s
	c.Kept = maps.Clone(s.Kept)
	c.Units = make(map[string]*Progress, len(s.Units))
	for id, p := range s.Units {
		q := *p
		q.Offsets = p.Offsets.clone()
		c.Units[id] = &q
	}
	return c
}

// noteworthy is how far a cursor moves before that alone is worth to be saved, in seconds.
const noteworthy = 12 * 3600

// Differs tells whether a state says more than an earlier one but how far the clock has moved on.
func (s *State) Differs(earlier *State) bool {
	if len(s.Units) != len(earlier.Units) || len(s.Kept) != len(earlier.Kept) || s.Error != earlier.Error ||
		s.Recorded != earlier.Recorded || s.Unread != earlier.Unread || s.Refused != earlier.Refused ||
		s.Success.IsZero() != earlier.Success.IsZero() {
		return true
	}
	for id, p := range s.Units {
		q := earlier.Units[id]
		if q == nil || p.Place != q.Place || p.Workspace != q.Workspace || p.Swept != q.Swept || p.Failed != q.Failed ||
			p.Gone != q.Gone || p.Left != q.Left || p.Offsets.differs(q.Offsets) ||
			p.Offsets == nil && p.Next-q.Next > noteworthy {
			return true
		}
	}
	return false
}
