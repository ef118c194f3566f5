package deliver

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/tlog"
)

// placeError is an error of the place, or of a sink. It is not unwrapped, so that it is not taken for one of the log.
type placeError struct{ err error }

func (e *placeError) Error() string { return e.err.Error() }

// ended is why a turn of a feed ends early, although nothing failed. It is not unwrapped either.
type ended struct{ why string }

func (e *ended) Error() string { return e.why }

var (
	errTurn  = error(&ended{"it is another log's turn"})
	errProbe = error(&ended{"there is a batch"})
	errGone  = error(&ended{"another node looks after the log"})
)

// Memory that is counted: for reading a log, and the number of copies of a batch's bytes while it is sent.
const (
	readingBytes = 2 << 20
	copies       = 4
)

// turnLimit bounds how long one log is read before another one has its turn.
const turnLimit = 30 * time.Second

// deliver brings a feed forward.
func (r *runner) deliver(f *feed) error {
	if !f.loaded {
		if err := r.load(f); err != nil {
			return err
		}
	}
	r.mu.Lock()
	gone, news := f.gone, f.news
	due := f.since.Add(r.batch.Interval)
	r.mu.Unlock()
	if gone || !news || due.After(time.Now()) {
		return r.rest(f, gone)
	}
	r.setNews(f, false) // Entries that are committed from here on are news again.
	err := r.again(f)
	refused := ""
	if err == nil {
		refused, err = r.probe(f)
	}
	if err == nil {
		err = r.goOn(f)
	}
	if s := &f.state.Value; err == nil && s.doubtful() != nil { // There was no other event to try the place with.
		err = stopped(s, refused)
	}
	keepErr := f.keepIfDue(r)
	if err == nil {
		err = keepErr
	}
	if errors.Is(err, doc.ErrConflict) || errors.Is(keepErr, doc.ErrConflict) {
		f.loaded = false // Somebody else has moved the state: go on from there.
	}
	var early *ended
	if err == nil {
		r.succeeded(f)
		r.caughtUp(f)
		return nil
	}
	r.setNews(f, true)
	if err == errGone {
		r.setGone(f) // If the log is this node's again before it is let go, its news still is.
		return nil
	}
	if errors.As(err, &early) || errors.Is(err, tlog.ErrPruned) { // The next view shows the gap.
		return nil
	}
	return err
}

func (r *runner) setGone(f *feed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.gone = true
}

// rest keeps how far a feed has come that has no news, and lets go of it if it is gone.
func (r *runner) rest(f *feed, gone bool) error {
	err := f.keep(r.ctx)
	if gone && (err == nil || errors.Is(err, doc.ErrConflict)) {
		r.release(f)
		return nil
	}
	if errors.Is(err, doc.ErrConflict) {
		f.loaded = false
		r.setNews(f, true)
	}
	return err
}

func (r *runner) setNews(f *feed, news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.news = news; news {
		f.hasNews(time.Now().Add(-r.batch.Interval))
	}
}

// load reads how far a feed has come.
func (r *runner) load(f *feed) error {
	state := stateOf(r.engine.o.Bucket, r.delivery.ID, f.subject.Log)
	if err := state.Load(r.ctx); errors.Is(err, doc.ErrDoesNotCount) {
		r.engine.o.Logger.Error("the state of a delivery is not valid; it begins at the first entry again", "delivery",
			r.delivery.ID, "log", f.subject.Log, "err", err)
	} else if err != nil {
		return err
	}
	f.state, f.loaded, f.dirty, f.urgent = state, true, false, false
	f.kept, f.was, f.sent = time.Now(), state.Value.Accepted, 0
	f.busy, f.last, f.fresh = f.kept, f.kept, true
	return nil
}

// goOn gives the place what the log has. A place that is not proven is given one small batch, for which less memory is
// taken while it may hang.
func (r *runner) goOn(f *feed) error {
	size, most, events := r.window.bytes, r.batch.Bytes, r.batch.Events
	if f.state.Value.doubtful() != nil {
		events = 1
	}
	if !r.proven {
		size = min(size, probeBytes)
		if most = probeBytes; f.state.Value.Until > f.state.Value.Next {
			most = r.batch.Bytes
		}
	}
	release, err := r.take(r.engine.proven, readingBytes+copies*int64(most))
	if err != nil {
		return err
	}
	defer release()
	began := time.Now()
	c := &collector{subject: f.subject, filter: r.filter, events: events, bytes: size,
		next: f.state.Value.Next}
	err = r.read(f, c, func() error {
		if !r.proven {
			return errProbe
		}
		if err := r.hand(f, c); err != nil {
			return err
		}
		c.bytes = r.window.bytes
		if time.Since(began) > turnLimit {
			return errTurn
		}
		return f.keepIfDue(r)
	})
	if err != errProbe {
		return err
	}
	release()
	if release, err = r.take(r.engine.unproven, copies*int64(most)); err != nil {
		return err
	}
	defer release()
	if err := r.hand(f, c); err != nil {
		return err
	}
	return errTurn
}

// take takes memory, which release gives back, once.
func (r *runner) take(from *limit.Shares[string], bytes int64) (release func(), err error) {
	release, err = from.Take(r.ctx, bytes, r.delivery.Project)
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(release), nil
}

// read reads the log from where the feed is, and calls do for each batch.
func (r *runner) read(f *feed, c *collector, do func() error) error {
	reader, err := r.engine.o.Logs.ReadSequenced(r.ctx, f.subject.Log, tlog.All)
	if err != nil {
		return err
	}
	r.mu.Lock()
	f.end = reader.Next()
	r.mu.Unlock()
	s := &f.state.Value
	if s.Next > reader.Next() {
		return &placeError{fmt.Errorf("entry %d is the next to be sent, but the log ends at %d: it was put back to an "+
			"earlier state; replay the delivery to say where it continues", s.Next, reader.Next())}
	}
	if s.Next < reader.First() {
		if err := r.missed(f, reader.First()); err != nil {
			return err
		}
		c.next = s.Next
	}
	if c.until = s.Until; c.until <= s.Next || c.until > reader.Next() {
		c.until = 0
	}
	err = reader.EachBlock(r.ctx, s.Next, func(entries []tlog.Indexed) error {
		for i := range entries {
			if entries[i].Index < c.next {
				continue
			}
			if c.full(&entries[i]) {
				if err := do(); err != nil {
					return hidden(err)
				}
			}
			c.add(&entries[i])
		}
		if !r.engine.o.Mine(f.subject.Log) {
			return errGone
		}
		return nil
	})
	if err == nil && c.next > s.Next {
		err = hidden(do())
	}
	return shown(err)
}

// hiddenError keeps an error that is not the log's from being taken for one.
type hiddenError struct{ err error }

func (e *hiddenError) Error() string { return e.err.Error() }

func hidden(err error) error {
	if err == nil {
		return nil
	}
	return &hiddenError{err}
}

func shown(err error) error {
	var h *hiddenError
	if errors.As(err, &h) {
		return h.err
	}
	return err
}

// missed moves a feed past entries that retention has removed, once that is recorded.
func (r *runner) missed(f *feed, first int64) error {
	s := &f.state.Value
	if err := r.engine.o.Source.Missed(r.ctx, r.delivery, f.subject, s.Next, first); err != nil {
		return err
	}
	r.engine.o.Logger.Warn("a delivery has missed events that retention removed", "delivery", r.delivery.ID,
		"log", f.subject.Log, "first", s.Next, "entries", first-s.Next)
	s.Missed += first - s.Next
	s.Next, s.Until = first, 0
	f.touch(true)
	return nil
}
