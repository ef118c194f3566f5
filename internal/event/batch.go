package event

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Entry holds the fields that weir reads of a line. They are read once.
type Entry struct {
	Time       int64 // the event's own clock, milliseconds since the epoch
	Key        Key
	Processors []string // names of the stream processors that the event concerns; usually none or one
}

// Batch is a run of lines of one log, in the order in which they arrived. All lines are in one buffer. Their ends are
// found once: where the lines are made, or where they are read. The zero value is an empty batch.
type Batch struct {
	Log     string  // log id, 24 hex digits
	Lines   []byte  // one line an entry, each ended by '\n'
	Entries []Entry // Entries[i] describes line i

	ends []int // ends[i] is the offset in Lines behind line i
}

// ErrLines is returned (wrapped) if bytes do not consist of the expected number of lines.
var ErrLines = errors.New("not the lines that were expected")

// Cut returns a batch of lines whose entries are known.
func Cut(log string, lines []byte, entries []Entry) (Batch, error) {
	b := Batch{Log: log, Lines: lines, Entries: entries}
	var err error
	b.ends, err = cut(lines, len(entries))
	return b, err
}

// Read returns a batch of count recorded lines. It reads their fields. If a line is not an event, the error is a
// *LineError.
func Read(log string, lines []byte, count int) (Batch, error) {
	ends, err := cut(lines, count)
	if err != nil {
		return Batch{}, err
	}
	b := Batch{Log: log, Lines: lines, Entries: make([]Entry, count), ends: ends}
	var p Parser
	for i := range b.Entries {
		f, err := p.Scan(b.Line(i))
		if err != nil {
			return Batch{}, &LineError{Line: i, Err: err}
		}
		b.Entries[i] = p.entry(f)
	}
	return b, nil
}

// LineError says which line of a batch is not an event.
type LineError struct {
	Line int // counted from 0
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// cut returns the offset behind each of the n lines in raw.
func cut(raw []byte, n int) ([]int, error) {
	ends := make([]int, 0, min(n, len(raw)))
	for at := 0; at < len(raw); {
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			return nil, fmt.Errorf("the last line has no end: %w", ErrLines)
		}
		if len(ends) == n {
			return nil, fmt.Errorf("more than %d lines: %w", n, ErrLines)
		}
		at += end + 1
		ends = append(ends, at)
	}
	if len(ends) != n {
		return nil, fmt.Errorf("%d lines instead of %d: %w", len(ends), n, ErrLines)
	}
	return ends, nil
}

// Line returns line i with its '\n'. It aliases Lines.
func (b *Batch) Line(i int) []byte {
	start := 0
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.Lines[start:b.ends[i]:b.ends[i]]
}

// Add appends a line, which ends with '\n'.
func (b *Batch) Add(line []byte, e Entry) {
	b.Lines = append(b.Lines, line...)
	b.end(e)
}

// end makes the bytes that were appended to Lines a line.
func (b *Batch) end(e Entry) {
	b.ends = append(b.ends, len(b.Lines))
	b.Entries = append(b.Entries, e)
}

// AddEvent checks raw as Append does, and appends its line and its entry. An error is an *Error, and leaves the batch
// unchanged.
func (p *Parser) AddEvent(b *Batch, raw []byte, origin Origin) error {
	lines, f, err := p.Append(b.Lines, raw, origin)
	if err != nil {
		return err
	}
	b.Lines = lines
	b.end(p.entry(f))
	return nil
}

// Entry reads a line as Scan does, and returns its entry.
func (p *Parser) Entry(line []byte) (Entry, error) {
	f, err := p.Scan(line)
	if err != nil {
		return Entry{}, err
	}
	return p.entry(f), nil
}

// entry returns the entry of the event that was read. It does not alias the input.
func (p *Parser) entry(f Fields) Entry {
	e := Entry{Time: f.Time, Key: KeyOf(f.Time, f.UID, p.sent()...)}
	p.read, p.parts = nil, [len(p.parts)][]byte{} // release the input
	if len(f.Processors) == 1 {
		e.Processors = p.known[f.Processors[0]] // nearly all entries with this processor share the slice
	}
	if e.Processors == nil {
		e.Processors = slices.Clone(f.Processors)
	}
	return e
}

// Drop removes the last line.
func (b *Batch) Drop() {
	n := len(b.Entries) - 1
	b.Lines = b.Lines[:len(b.Lines)-len(b.Line(n))]
	b.Entries, b.ends = b.Entries[:n], b.ends[:n]
}

// Without returns a batch without the known entries. If none is known, it returns b itself.
func (b Batch) Without(standings []Standing) Batch {
	if !slices.Contains(standings, Known) {
		return b
	}
	rest := Batch{Log: b.Log}
	for i, e := range b.Entries {
		if standings[i] != Known {
			rest.Add(b.Line(i), e)
		}
	}
	return rest
}

// Remove removes the known entries from b in place, and returns the rest. b must not be used afterwards.
func (b Batch) Remove(standings []Standing) Batch {
	if !slices.Contains(standings, Known) {
		return b
	}
	rest := Batch{Log: b.Log, Lines: b.Lines[:0], Entries: b.Entries[:0], ends: b.ends[:0]}
	start := 0
	for i, e := range b.Entries {
		end := b.ends[i] // read it before rest, which shares the memory, overwrites it
		if standings[i] != Known {
			rest.Add(b.Lines[start:end], e)
		}
		start = end
	}
	return rest
}

// Once tells which entries occur for the first time. The zero value has seen none.
type Once struct {
	first  map[ID]Key       // for each id the key that came first
	others map[Key]struct{} // keys that came later, with the id of another key
}

// Mark raises the standings of entries that were seen before, in an earlier call or earlier in this one. The entries
// count as seen from then on.
func (o *Once) Mark(entries []Entry, standings []Standing) {
	if o.first == nil {
		o.first = make(map[ID]Key, len(entries))
	}
	for i, e := range entries {
		standings[i].see(o.add(e.Key))
	}
}

// Look is Mark, but the entries do not count as seen.
func (o *Once) Look(entries []Entry, standings []Standing) {
	for i, e := range entries {
		standings[i].see(o.standing(e.Key))
	}
}

// Add notes that an entry was seen.
func (o *Once) Add(e Entry) {
	if o.first == nil {
		o.first = make(map[ID]Key)
	}
	o.add(e.Key)
}

// Len returns the number of keys that were seen.
func (o *Once) Len() int { return len(o.first) + len(o.others) }

func (o *Once) standing(k Key) Standing {
	first, ok := o.first[k.ID()]
	if !ok {
		return New
	}
	if _, other := o.others[k]; first == k || other {
		return Known
	}
	return Conflicting
}

func (o *Once) add(k Key) Standing {
	s := o.standing(k)
	switch s {
	case New:
		o.first[k.ID()] = k
	case Conflicting:
		if o.others == nil {
			o.others = make(map[Key]struct{})
		}
		o.others[k] = struct{}{}
	}
	return s
}

// See raises the standing of an entry by looking for its key in sorted keys.
func (s *Standing) See(k Key, sorted []Key) {
	i, ok := slices.BinarySearchFunc(sorted, k, Key.Compare)
	id := k.ID()
	switch {
	case ok:
		s.see(Known)
	case i < len(sorted) && sorted[i].ID() == id, i > 0 && sorted[i-1].ID() == id:
		s.see(Conflicting)
	}
}
