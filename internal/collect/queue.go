package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/event"
)

// Queue is messages that a source gives out by their offset, which never falls, such as a partition of a topic.
type Queue interface {
	// Name returns the name of the messages, for people.
	Name() string

	// Bounds returns the offsets that the source has, as of when its units were listed.
	Bounds() Bounds

	// EndOf returns the offset behind the last message of an epoch and those before it; -1 if the source does not know
	// that epoch.
	EndOf(ctx context.Context, epoch int32) (int64, error)

	// Fetch calls each with some of the messages from an offset on, in order, and returns the offset from which to go
	// on. That is the one it was given if there are no more. Its memory is accounted for in hold. Errors are those of
	// each, ErrIncomplete and ErrAway (wrapped), or an error with the source's reply.
	Fetch(ctx context.Context, from int64, hold Hold, each func(*Message) error) (next int64, err error)

	// Map appends the event that a message becomes, in JSON, or says why it cannot be read, which depends on the message
	// and on when it was received only. If the message has no identity of its own, m.UID becomes that of the event.
	Map(dst []byte, m *Message, received time.Time) ([]byte, error)

	// Describe appends a member of an object in JSON that says where a message lies, and all that it has beside its value.
	Describe(dst []byte, m *Message) []byte
}

// Bounds says which offsets of a queue a source has.
type Bounds struct {
	ID         string // tells the queue from one of the same name that there was before; empty if the source does not
	Start, End int64  // offsets of the first message, and behind the last
	Epoch      int32  // of those who lead the queue: messages of earlier ones may have been replaced; -1 if not known
	Committed  int64  // up to where the source knows that messages were taken; -1 if it does not
}

// Message is the message at an offset of a queue, valid until the next one.
type Message struct {
	Offset  int64
	Epoch   int32  // in which it was written; -1 if not known
	Time    int64  // milliseconds since the epoch, as the source has it
	UID     string // no other message has it
	Refused string // If not empty, why the message cannot be taken: it is beyond a limit.
	Last    int64  // If it is refused, the offset of the last one for which this holds.

	Value []byte
	Size  int // bytes of all that is held of it
	Also  any // what the source's Map knows of it beside
}

// Offsets is how far a queue was collected.
type Offsets struct {
	ID    string `json:"id,omitempty"`
	Next  int64  `json:"next"`            // the cursor: all before is recorded, as far as the source had it
	End   int64  `json:"end"`             // behind the last message, when it was looked at last
	Epoch int32  `json:"epoch"`           // of the last message; -1 if not known
	Lost  int64  `json:"lost,omitempty"`  // offsets that were gone before they were collected
	Gap   *Gap   `json:"gap,omitempty"`   // is being told of
	Timed *Timed `json:"timed,omitempty"` // messages behind the cursor
}

// Gap is offsets that cannot be collected any more.
type Gap struct {
	From int64  `json:"from"`
	To   int64  `json:"to"` // the first one behind it
	Why  string `json:"why"`
	At   int64  `json:"at"` // when this was found, in milliseconds since the epoch
}

// Timed is when messages that have no time of their own were received, so that they become the same events if they are
// received again.
type Timed struct {
	At   int64 `json:"at"`   // milliseconds since the epoch
	Last int64 `json:"last"` // offset of the last one
}

func (o *Offsets) clone() *Offsets {
	if o == nil {
		return nil
	}
	c := *o
	if o.Gap != nil {
		c.Gap = new(*o.Gap)
	}
	if o.Timed != nil {
		c.Timed = new(*o.Timed)
	}
	return &c
}

// differs tells whether the offsets say more than earlier ones but where the queue ends.
func (o *Offsets) differs(earlier *Offsets) bool {
	if o == nil || earlier == nil {
		return o != earlier
	}
	return o.ID != earlier.ID || o.Next != earlier.Next || (o.Gap == nil) != (earlier.Gap == nil) ||
		(o.Timed == nil) != (earlier.Timed == nil) || o.Timed != nil && *o.Timed != *earlier.Timed
}

// Resume finds the offset from which to go on among those that the source has now. diverged is the offset from which on
// the source has other messages than were collected, or -1. Lost messages are noted as a gap, which is reported before
// anything else.
func (o *Offsets) Resume(b Bounds, diverged int64, now time.Time) {
	if o.Gap != nil { // a node that died was about to tell
		return
	}
	next, end := o.Next, o.End
	o.End = b.End
	switch {
	case o.ID != b.ID && o.ID != "" && b.ID != "":
		if o.back(b.Start); next < end { // as the last look has seen it
			o.lose(next, end, "it was deleted, and another one was made under its name", now)
		}
		o.Epoch = -1
	case next < b.Start:
		o.Next = b.Start
		o.lose(next, b.Start, "the source has deleted it", now)
	case diverged >= 0 && diverged < next:
		o.back(max(diverged, b.Start))
	case next > b.End:
		o.back(b.Start)
	}
	o.ID = b.ID
}

// back collects again from an offset on: the source has lost messages that were collected, and may have others now.
func (o *Offsets) back(to int64) { o.Next, o.Timed = to, nil }

func (o *Offsets) lose(from, to int64, why string, now time.Time) {
	o.Gap = &Gap{From: from, To: to, Why: why, At: now.UnixMilli()}
}

// owe tells whether there are messages of which a log has neither the event nor that they are lost.
func (o *Offsets) owe() bool { return o != nil && (o.Gap != nil || o.Next < o.End) }

// finish notes that the source does not have the queue any more. The cursor stays, so that the queue is collected whole
// if it comes back after all; another one of its name begins at its start.
func (o *Offsets) finish(now time.Time) {
	if o.Gap == nil && o.Next < o.End { // as the last look has seen it
		o.lose(o.Next, o.End, "the source does not have it any more", now)
		o.End = o.Next // of which no other gap tells
	}
}

// beginQueue makes a unit go on where it was.
func (r *Round) beginQueue(ctx context.Context, u *unitRun) error {
	b, now := u.unit.Queue.Bounds(), time.Now()
	if u.Offsets == nil {
		u.Offsets = &Offsets{ID: b.ID, Next: b.Start, End: b.End, Epoch: -1}
		if b.Committed >= 0 {
			u.Offsets.Next = b.Committed
		}
	}
	diverged := int64(-1)
	if o := u.Offsets; o.Epoch >= 0 && b.Epoch >= 0 && o.Epoch != b.Epoch && o.ID == b.ID {
		var err error
		if diverged, err = u.unit.Queue.EndOf(ctx, o.Epoch); err != nil {
			return err
		}
	}
	if u.wasGone > 0 && now.Unix()-u.wasGone >= believed && b.ID == "" && u.Offsets.Gap == nil {
		u.Offsets.back(b.Start) // It may be another one.
	}
	u.Offsets.Resume(b, diverged, now)
	return nil
}

// stepQueue takes some messages of a unit. An error of the unit is noted in it; one that is returned ends the round.
func (r *Round) stepQueue(ctx context.Context, u *unitRun) error {
	if !u.resumed {
		if u.ended {
			u.Offsets.finish(time.Now())
		} else if u.err = r.beginQueue(ctx, u); u.err != nil {
			return nil
		}
		u.resumed = true
	}
	o := u.Offsets
	if o.Gap == nil && o.Next >= o.End {
		if u.pass.done = true; !u.ended {
			u.Next = time.Now().Unix()
		}
		return nil
	}
	target, err := r.target(ctx, u)
	if err != nil {
		return err
	}
	hold := r.Sink.Reserve()
	defer hold.Release()
	m := &messages{window: window{sink: r.Sink, target: target, save: r.Save}, run: u, hold: hold,
		origin: event.Origin{By: r.By, Received: time.Now()}}
	defer m.drop()
	m.parser.Operational, m.parser.MaxBytes = u.unit.Operational, MapFactor*r.Most+MapMemory
	if o.Gap != nil {
		err = m.tell(ctx)
	} else {
		err = m.fetch(ctx)
	}
	r.count(u, &m.window)
	if ours := new(recordError); errors.As(err, &ours) {
		return fmt.Errorf("record %s: %w", u.Label, ours.err)
	}
	u.err = err
	return nil
}

// An event that a message becomes has at most MapFactor times the size of the largest message and MapMemory bytes.
const (
	MapFactor = 6 // JSON writes some bytes as six.
	MapMemory = 8 << 10
)

// recordError is an error of this side, not of the source.
type recordError struct{ err error }

func (e *recordError) Error() string { return e.err.Error() }
func (e *recordError) Unwrap() error { return e.err }

// ours marks an error as one of this side.
func ours(err error) error {
	if err == nil {
		return nil
	}
	return &recordError{err}
}

// messages makes events of the messages of one fetch.
type messages struct {
	window
	run    *unitRun
	hold   Hold
	origin event.Origin
	parser event.Parser

	made, line []byte
	at         int64 // time of the last message, in milliseconds since the epoch
	epoch      int32 // of the last message
}

// fetch takes messages from the cursor on, and moves it behind those that are durable.
func (m *messages) fetch(ctx context.Context) error {
	o := m.run.Offsets
	if o.Timed != nil {
		m.origin.Received = time.UnixMilli(o.Timed.At)
	}
	m.at, m.epoch = m.run.Next*1000, o.Epoch
	next, err := m.run.unit.Queue.Fetch(ctx, o.Next, m.hold, func(one *Message) error { return ours(m.take(ctx, one)) })
	if err != nil {
		return err
	}
	if err := m.flush(ctx); err != nil {
		return ours(err)
	}
	if next <= o.Next {
		m.run.pass.done = true // The source has no more for now, whatever it said.
		return nil
	}
	o.Next, o.Epoch = next, m.epoch
	if o.Timed != nil && o.Timed.Last < next {
		o.Timed = nil
	}
	m.run.Next = min(m.at/1000, time.Now().Unix())
	return nil
}

// take makes an event of a message.
func (m *messages) take(ctx context.Context, one *Message) error {
	most := int64(parseFactor * max(one.Size, len(one.Value)))
	if err := m.hold.Grow(most); err != nil {
		return err
	}
	defer m.hold.Grow(-most)
	m.epoch = one.Epoch
	if one.Time >= event.Earliest {
		m.at = one.Time
	}
	if one.Refused != "" {
		m.counts.Refused += one.Last - one.Offset + 1
		m.reason = one.Refused
		return m.put(ctx, m.missing(one.Offset, one.Last+1, one.Refused, "Refused", one.UID, m.timeOf(one)))
	}
	var err error
	if m.made, err = m.run.unit.Queue.Map(m.made[:0], one, m.origin.Received); err == nil {
		m.line, _, err = m.parser.Append(m.line[:0], m.made, m.origin)
	}
	if err != nil {
		m.unread++
		m.reason = err.Error()
		queue := m.run.unit.Queue
		m.made = connect.KeepAs(m.made[:0], one.Value, queue.Name(), err.Error(), m.timeOf(one), one.UID,
			func(dst []byte) []byte { return queue.Describe(dst, one) })
	}
	return m.put(ctx, m.made)
}

// timeOf returns the time of a message, or when it was received if it has none that an event can have. That is noted,
// so that it is the same when the message is received again.
func (m *messages) timeOf(one *Message) int64 {
	if d := (connect.Delivery{Received: m.origin.Received}); d.CheckTime(one.Time) == nil {
		return one.Time
	}
	o := m.run.Offsets
	if o.Timed == nil {
		o.Timed = &Timed{At: m.origin.Received.UnixMilli(), Last: -1}
	}
	if last := max(one.Offset, one.Last); last > o.Timed.Last {
		o.Timed.Last, m.noted = last, true
	}
	return o.Timed.At
}

// tell makes an event of a gap. The gap is noted before, so that one that is told of again is the same event.
func (m *messages) tell(ctx context.Context) error {
	o := m.run.Offsets
	g := o.Gap
	m.noted = true
	uid := connect.UID(m.run.unit.ID, fmt.Sprint(g.From), fmt.Sprint(g.At))
	if err := m.put(ctx, m.missing(g.From, g.To, g.Why, "Lost", uid, g.At)); err != nil {
		return ours(err)
	}
	if err := m.flush(ctx); err != nil {
		return ours(err)
	}
	m.reason = fmt.Sprintf("offsets %d to %d are lost: %s", g.From, g.To-1, g.Why)
	o.Lost += g.To - g.From
	o.Gap, m.run.resumed = nil, false
	return nil
}

// missing returns an event that tells of messages which are not in the log, and why.
func (m *messages) missing(from, to int64, why, activity, uid string, at int64) []byte {
	b := connect.Base{Time: at, UID: uid, Activity: activity, Severity: 3, Product: "weir",
		Message: fmt.Sprintf("%s: offsets %d to %d are not in this log: %s", m.run.Label, from, to-1, why)}
	m.made = b.Append(m.made[:0], func(dst []byte) []byte {
		dst = append(connect.Name(dst, "unmapped"), '{')
		dst = append(connect.Name(dst, "missing"), '{')
		dst = connect.String(connect.Name(dst, "from"), m.run.Label)
		dst = fmt.Appendf(connect.Name(dst, "firstOffset"), "%d", from)
		dst = fmt.Appendf(connect.Name(dst, "lastOffset"), "%d", to-1)
		dst = connect.String(connect.Name(dst, "reason"), why)
		return append(dst, "}}"...)
	})
	return m.made
}
