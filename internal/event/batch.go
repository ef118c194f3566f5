package event

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Entry is what weir reads of one line, once.
type Entry struct {
	Time       int64 // the event's own clock, milliseconds since the epoch
	Key        Key
	Processors []string // names of the stream processors that the event concerns; usually none or one
}

// Batch is a run of the lines of one log, in the order in which they arrived. All lines lie in one buffer, and are cut
// once: where they are made, or where they are read. The zero value is an empty batch.
type Batch struct {
	Log     string  // log id, 24 hex digits
	Lines   []byte  // one line an entry, each ended by '\n'
	Entries []Entry // Entries[i] describes line i

	ends []int // ends[i] is the offset in Lines behind line i
}

// ErrLines is returned (wrapped) for bytes that are not as many lines as they should be.
var ErrLines = errors.New("not the lines that were expected")

// Cut returns a batch of lines that are known already.
func Cut(log string, lines []byte, entries []Entry) (Batch, error) {
	b := Batch{Log: log, Lines: lines, Entries: entries}
	var err error
	b.ends, err = cut(lines, len(entries))
	return b, err
}

// Read returns a batch of count lines as they were recorded, whose fields it reads. The error of a line that is no
// event is a *LineError.
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

// LineError says which line of a batch is no event.
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

// Add appends a line, which has its '\n'.
func (b *Batch) Add(line []byte, e Entry) {
	b.Lines = append(b.Lines, line...)
	b.end(e)
}

// end makes what was appended to Lines a line.
func (b *Batch) end(e Entry) {
	b.ends = append(b.ends, len(b.Lines))
	b.Entries = append(b.Entries, e)
}

// AddEvent checks raw as Append does, and appends its line and its entry. After an error, an *Error, the batch is as it
// was.
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

// entry returns what lasts of the fields that were read.
func (p *Parser) entry(f Fields) Entry {
	e := Entry{Time: f.Time, Key: KeyOf(f.Time, f.UID, p.sent()...)}
	p.read, p.parts = nil, [len(p.parts)][]byte{} // lets go of the input
	if len(f.Processors) == 1 {
		e.Processors = p.known[f.Processors[0]] // which nearly all of its entries share
	}
	if e.Processors == nil {
		e.Processors = slices.Clone(f.Processors)
	}
	return e
}

// Drop takes the last line back.
func (b *Batch) Drop() {
	n := len(b.Entries) - 1
	b.Lines = b.Lines[:len(b.Lines)-len(b.Line(n))]
	b.Entries, b.ends = b.Entries[:n], b.ends[:n]
}

// Without returns a batch without the entries that are known; b itself where none is.
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

// Remove takes the entries that are known out of b, in place, and returns what is left. b may not be used any more.
func (b Batch) Remove(standings []Standing) Batch {
	if !slices.Contains(standings, Known) {
		return b
	}
	rest := Batch{Log: b.Log, Lines: b.Lines[:0], Entries: b.Entries[:0], ends: b.ends[:0]}
	start := 0
	for i, e := range b.Entries {
		end := b.ends[i] // before rest, which lies in the same memory, may have another
		if standings[i] != Known {
			rest.Add(b.Lines[start:end], e)
		}
		start = end
	}
	return rest
}

// Once tells which entries come for the first time. The zero value has seen none.
type Once struct {
	first  map[ID]Key       // of each id the key that came first
	others map[Key]struct{} // the keys that came later with an id that was there
}

// Mark sees those entries that came before, in an earlier call or earlier in this one.
func (o *Once) Mark(entries []Entry, standings []Standing) {
	if o.first == nil {
		o.first = make(map[ID]Key, len(entries))
	}
	for i, e := range entries {
		standings[i].see(o.add(e.Key))
	}
}

// Look is Mark for entries that do not count as seen from then on.
func (o *Once) Look(entries []Entry, standings []Standing) {
	for i, e := range entries {
		standings[i].see(o.standing(e.Key))
	}
}

// Add notes that an entry has come.
func (o *Once) Add(e Entry) {
	if o.first == nil {
		o.first = make(map[ID]Key)
	}
	o.add(e.Key)
}

// Len returns the number of keys that came.
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

// See raises the standing of an entry by what sorted keys say of it.
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
