package deliver

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/retry"
)

// failed notes that a feed does not come forward, and returns how long to pause.
func (r *runner) failed(f *feed, err error) time.Duration {
	var asks *RetryAfter
	var of *placeError
	if !errors.As(err, &of) {
		if !errors.Is(err, doc.ErrConflict) && r.engine.told.Tell(r.about(f), err) {
			r.engine.o.Logger.Error("a delivery cannot continue", "delivery", r.delivery.ID, "log", f.subject.Log,
				"err", cut(err.Error()))
		}
		return r.pauses.Next(err)
	}
	r.engine.metrics.failed(r.delivery.Type)
	now := time.Now().UTC()
	s := &f.state.Value
	if s.Failure == nil {
		s.Failure = &Failure{Since: now}
		f.touch(true)
	}
	if r.engine.told.Tell(r.about(f), of) {
		r.engine.o.Logger.Warn("a delivery fails, and is tried again", "delivery", r.delivery.ID, "log", f.subject.Log,
			"err", cut(of.Error()))
	}
	s.Failure.Last, s.Failure.Error = now, cut(of.Error())
	f.touch(false)
	if errors.As(of.err, &asks) {
		return r.pauses.Next(retry.After(of, min(asks.Pause, time.Hour)))
	}
	return r.pauses.Next(of)
}

// succeeded notes that a feed has come to the end of its log.
func (r *runner) succeeded(f *feed) {
	r.pauses.Reset()
	r.engine.told.Tell(r.about(f), nil)
	if f.state.Value.Failure != nil {
		f.state.Value.Failure = nil
		f.touch(true)
	}
}

// about names a feed among all.
func (r *runner) about(f *feed) string { return r.delivery.ID + "/" + f.subject.Log }

// touch notes that the state differs from the kept one.
func (f *feed) touch(urgent bool) { f.dirty, f.urgent = true, f.urgent || urgent }

// If a node dies, the batches since it last kept a state are sent again. So the state is kept after each batch while
// batches are rare, and otherwise so rarely that this costs little beside the batches.
const (
	// The time since a state was last kept is at most 1/keepShare of the time for which the delivery has been busy.
	keepShare = 4

	// keepBatches is after how many batches a state is kept, however soon that is.
	keepBatches = 64
)

// batchSent notes that there was a batch.
func (f *feed) batchSent(every time.Duration) {
	now := time.Now()
	if now.Sub(f.last) >= every {
		f.busy = now
	}
	f.last = now
	f.sent++
}

// spacing returns the least time between two versions of a state, but for those after many batches. The first batch of
// a node is kept at once, so that one that always dies soon comes forward.
func (f *feed) spacing(every time.Duration) time.Duration {
	if f.fresh {
		return 0
	}
	return min(max(f.kept.Sub(f.busy)/(keepShare-1), every/20), every)
}

// keepIfDue keeps the state if it was not for a while.
func (f *feed) keepIfDue(r *runner) error {
	every, since := r.engine.o.KeepEvery, time.Since(f.kept)
	if !f.urgent || since < f.spacing(every) && (since < every/20 || f.sent < keepBatches) {
		return nil
	}
	return f.keep(r.ctx)
}

// keep keeps the state if it differs from the kept one.
func (f *feed) keep(ctx context.Context) error {
	if !f.loaded || !f.dirty {
		return nil
	}
	s := &f.state.Value
	s.Pace = Pace{s.Accepted - f.was, time.Since(f.kept)}
	if err := f.state.Keep(ctx); err != nil {
		return err
	}
	f.dirty, f.urgent, f.fresh, f.kept, f.was, f.sent = false, false, false, time.Now(), s.Accepted, 0
	return nil
}

// cut bounds a text of others, and makes it UTF-8.
func cut(text string) string {
	if len(text) > maxReason {
		end := maxReason
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
