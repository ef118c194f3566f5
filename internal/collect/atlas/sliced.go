package atlas

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/limit"
)

// sliced is a feed of items of which a server gives out a bounded number at once.
//
// Pages of a list shift while they are read if items come late, and the order is the server's. So a window is asked for
// with one request; a reply that may lack something is thrown away, and both halves of the window are asked for, down
// to a second. A list counts as complete only if it came in one reply.
//
// Servers do not say which ends of a range belong to it. So each slice is asked for with a second more on both sides.
// An item that two slices have is written once; equal items of one slice are all written.
type sliced struct {
	*Source
	items itemList
}

// itemList is a list of items that a server gives out by their time.
type itemList interface {
	// read returns the items of a slice, the oldest first, and whether there may be more.
	read(ctx context.Context, s slice) (r reply, err error)

	// readShortest returns all items of a slice that is as short as can be.
	readShortest(ctx context.Context, s slice) (r reply, err error)
}

// slice is a range of seconds, both of which belong to it. If it is open, it has no end, and to is now.
type slice struct {
	from, to int64
	open     bool
}

// halves returns the older and the younger half. It is false for one that is as short as can be.
func (s slice) halves() (older, younger slice, ok bool) {
	if s.to <= s.from {
		return s, s, false
	}
	middle := s.from + (s.to-s.from)/2
	return slice{s.from, middle, false}, slice{middle + 1, s.to, s.open}, true
}

// reply is the reply of a server for a slice.
type reply struct {
	items [][]byte // each on one line
	more  bool
	now   time.Time // the server's clock; zero if it does not say
}

const (
	margin    = 1    // seconds on both sides of a slice
	maxSlices = 2000 // of a window
	maxStale  = 50   // full slices in a row that have nothing new
	slicesFor = 30 * time.Minute
)

// Fetch implements collect.Feed.
func (f *sliced) Fetch(ctx context.Context, w collect.Window, to io.Writer) (now time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, slicesFor, fmt.Errorf("%w within %s", collect.ErrIncomplete, slicesFor))
	defer cancel()
	whole := slice{w.Start, w.End, false}
	if w.End == 0 {
		whole = slice{w.Start, max(w.Start, time.Now().Unix()), true}
	}
	out, stale := &onceEach{to: to}, 0
	left := []slice{whole} // the oldest one is the last
	for n := 0; len(left) > 0; n++ {
		if n == maxSlices {
			return now, fmt.Errorf("%w: more than %d replies", collect.ErrTooMuch, n)
		}
		s := left[len(left)-1]
		left = left[:len(left)-1]
		p, err := f.part(ctx, s, out)
		if err != nil {
			return now, err
		}
		if older, younger, ok := s.halves(); ok && p.full {
			left = append(left, younger, older)
			continue
		}
		if stale++; p.fresh > 0 || !p.full {
			stale = 0
		}
		if stale == maxStale {
			return now, fmt.Errorf("%w: the server sends the same for every range of time", collect.ErrIncomplete)
		}
		now = earlier(now, p.now)
	}
	return now, nil
}

// part is the result of a slice.
type part struct {
	full  bool // There may be more than one reply has. If so, items are written only of the shortest slice.
	fresh int  // items that were written
	now   time.Time
}

// part reads a slice and writes what is new in it.
func (f *sliced) part(ctx context.Context, s slice, out *onceEach) (p part, err error) {
	release, err := f.options.hold(ctx, replyMemory)
	if err != nil {
		return p, err
	}
	defer func() { release() }()
	r, err := f.items.read(ctx, s)
	p.full = errors.Is(err, collect.ErrTooMuch) || err == nil && r.more
	if p.full {
		if _, _, ok := s.halves(); ok {
			return p, nil
		}
		r = reply{}
		release()
		if release, err = f.options.hold(ctx, shortestMemory); err != nil {
			release = func() {}
			return p, err
		}
		r, err = f.items.readShortest(ctx, s)
	}
	if err != nil {
		return p, err
	}
	p.now = r.now
	p.fresh, err = out.write(r.items)
	return p, err
}

// Memory of a reply: its bytes, and twice as much for its items.
const (
	replyMemory    = 3 * max(pageBytes, accessBytes)
	shortestMemory = 3 * mostBytes
)

// Memory bounds the memory of the replies of all sources of a process together. Those of one holder leave room for
// others.
func Memory() *limit.Shares[string] {
	return limit.NewShares[string](256<<20, math.MaxInt64/2, shortestMemory)
}

// hold waits until a reply may take so many bytes.
func (o *Options) hold(ctx context.Context, bytes int64) (release func(), err error) {
	if o.Memory == nil {
		return func() {}, nil
	}
	return o.Memory.Take(ctx, bytes, o.Holder)
}

// earlier returns the earlier of two times that are known.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// onceEach writes the items of slices one after another. Neighbours overlap; of an item that both have, the larger
// number is written.
type onceEach struct {
	to   io.Writer
	last map[[16]byte]int // how often the last slice had an item
}

// write writes the items of a slice that were not written before, and returns how many these are.
func (o *onceEach) write(items [][]byte) (fresh int, err error) {
	counts := map[[16]byte]int{}
	for _, item := range items {
		sum := sha256.Sum256(item)
		key := [16]byte(sum[:])
		if counts[key]++; counts[key] <= o.last[key] {
			continue
		}
		fresh++
		if _, err := o.to.Write(append(item, '\n')); err != nil {
			return fresh, err
		}
	}
	o.last = counts
	return fresh, nil
}

// readMembers returns the members of the object in a reply of at most most bytes, and the server's clock.
func (s *Source) readMembers(ctx context.Context, most int64, get func(context.Context) (*client.Download, error)) (
	members map[string][]byte, now time.Time, err error) {
	var data []byte
	err = s.pace.do(ctx, func() error {
		got, err := get(ctx)
		if err != nil {
			return err
		}
		defer got.Close()
		now = got.Date
		watched := &watch{src: got, timer: time.AfterFunc(stalled, func() { got.Close() })}
		defer watched.timer.Stop()
		data, err = io.ReadAll(io.LimitReader(watched, most+1))
		if err != nil {
			return fmt.Errorf("%w: %w", collect.ErrIncomplete, err)
		}
		if int64(len(data)) > most {
			return fmt.Errorf("%w: a reply of more than %d bytes", collect.ErrTooMuch, most)
		}
		return nil
	})
	if err != nil {
		return nil, now, err
	}
	members = map[string][]byte{}
	err = connect.Members(data, func(name string, value []byte) error {
		if len(members) < maxMembers {
			members[name] = value
		}
		return nil
	})
	if err != nil {
		return nil, now, fmt.Errorf("%w: %w", collect.ErrIncomplete, err)
	}
	return members, now, nil
}

// maxMembers bounds how many members of a reply are looked at.
const maxMembers = 100
