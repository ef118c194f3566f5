package collect

import (
	"time"
)

// Progress is how far a unit was collected. All its times are seconds since the epoch.
type Progress struct {
	Label     string `json:"label"`
	Place     Place  `json:"place"`
	Workspace string `json:"workspace,omitempty"` // id of the one that takes it; empty before the first line

	First int64 `json:"first"`           // where it began
	Next  int64 `json:"next"`            // the cursor: all before is recorded, as far as the source had it
	Swept int64 `json:"swept,omitempty"` // when the last days were read again
	Span  int64 `json:"span,omitempty"`  // how long a window may be

	Offsets *Offsets `json:"offsets,omitempty"` // of a queue, whose Next is the time of the last message

	Counts
	Reason string `json:"reason,omitempty"` // why a line was not read, or refused, the last one
	Failed string `json:"failed,omitempty"` // why it cannot go on; empty if it can
	Gone   int64  `json:"gone,omitempty"`   // since when the source does not have it
	Asked  int64  `json:"asked,omitempty"`  // when it was asked for last since then
	Left   int64  `json:"left,omitempty"`   // since when it is not to be collected
}

// newProgress returns that of a unit that begins some time back.
func newProgress(u Unit, now time.Time) *Progress {
	back := u.Back
	switch {
	case u.Queue != nil:
		back = 0
	case back <= 0:
		back = defaultBack
	}
	first := now.Add(-back).Unix()
	return &Progress{First: first, Next: first, Swept: now.Unix(), Span: maxSpan}
}

// Idle returns since when nothing is to be collected of a unit: the source does not have it, or it is not to be
// collected. It is 0 for one that is, and one may become such a one again.
func (p *Progress) Idle() int64 {
	if p.Left > 0 && p.Gone > 0 {
		return min(p.Left, p.Gone)
	}
	return max(p.Left, p.Gone)
}

// pass is the windows that a unit is asked for in one round.
type pass struct {
	at    int64 // the next window begins here
	sweep bool
	done  bool
}

// begin returns the pass of a round that begins now. A sweep finds each line that has come since the last one and is
// not later than sweepBack.
func (p *Progress) begin(now int64) pass {
	begun := pass{at: p.Next - overlap}
	if now-p.Swept >= sweepEvery {
		begun.at, begun.sweep = min(begun.at, p.Swept-sweepBack), true
	}
	begun.at = max(begun.at, p.First)
	return begun
}

// window returns the next window. Each begins with the second with which the last one ended.
func (p *Progress) window(s pass, now int64) Window {
	end := s.at + min(max(p.Span, 1), maxSpan)
	if end >= now {
		return Window{Start: s.at}
	}
	return Window{Start: s.at, End: end}
}

// passed moves behind a window of which all is durable. The cursor is never behind a moment that has not come by this
// node's clock and by the source's, which is 0 if it is not known.
func (p *Progress) passed(s *pass, w Window, now, source int64) {
	end := w.End
	if end == 0 {
		end, s.done = now, true
	}
	if s.at = end; source > 0 {
		end = min(end, source)
	}
	p.Next = max(p.Next, min(end, now))
	if s.done && s.sweep {
		p.Swept = now
	}
}

// halve makes windows shorter. It is false if they are as short as can be.
func (p *Progress) halve(w Window, now int64) bool {
	span := w.End - w.Start
	if w.End == 0 {
		span = now - w.Start
	}
	if span <= 1 {
		return false
	}
	p.Span = min(span, max(p.Span, 1), maxSpan)
	if p.Span > 1 {
		p.Span /= 2
	}
	return true
}
