package search

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
)

// Bounds of the reply about fields.
const (
	maxFields       = 5000     // fields; the first ones are returned
	maxSegmentPaths = 2000     // of a segment: those that most entries have
	maxDistinct     = 1000     // different values of a field
	maxTextBytes    = 16 << 20 // of these values, of all fields
	maxExamples     = 5        // of a field
	maxExampleBytes = 256      // of an example; longer values are not examples
	exampleEvents   = 20       // events that are read for examples of fields without listed values
	linesBytes      = 512 << 10
	linesEntries    = 1024
	fieldsAtATime   = 16
)

// timeField is the field that every event has.
const timeField query.Field = "time"

// Fields describes the fields of the matching events.
type Fields struct {
	Total  int64   // number of matching events
	Fields []Field // the aliases, then the paths in order
	More   bool    // whether there are more fields
}

// Field describes one field.
type Field struct {
	Field                   query.Field
	Strings, Numbers, Bools bool           // kinds of its values
	Events                  int64          // number of events that have it; if More is set, an upper bound
	Values                  int            // number of different values that were counted
	More                    bool           // whether there may be others
	Examples                []query.Scalar // the most frequent values, five at most
}

// Fields returns the fields of the matching events, with examples of their values. If the time limit passes, it returns
// ErrTooSlow.
func (s *Searcher) Fields(ctx context.Context, q Question) (*Fields, error) {
	c, err := s.collect(ctx, q, false)
	if err != nil {
		return nil, err
	}
	result := c.result()
	if c.total == 0 {
		return result, nil
	}
	page, err := s.Page(ctx, q, Newest, nil, exampleEvents)
	if err != nil {
		return nil, err
	}
	return result, result.exemplify(page.Hits)
}

// Names returns the paths of events, without anything about their values. It is meant for all events of a range, and
// reads little of segments with an index. If the time limit passes, it returns ErrTooSlow.
func (s *Searcher) Names(ctx context.Context, q Question) ([]query.Field, error) {
	c, err := s.collect(ctx, q, true)
	if err != nil {
		return nil, err
	}
	names := []query.Field{timeField}
	for name := range c.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (s *Searcher) collect(ctx context.Context, q Question, namesOnly bool) (c *collector, err error) {
	m, err := query.Compile(q.Query)
	if err != nil {
		return nil, err
	}
	err = s.within(ctx, func(ctx context.Context) error {
		c = &collector{searcher: s, question: q, matcher: m, namesOnly: namesOnly, fields: map[query.Field]*collected{}}
		c.loose.to = c
		return s.visit(ctx, &c.question, m, c)
	})
	return c, err
}

// collector collects the fields of events from indexes. For events without an index, it makes one in memory.
type collector struct {
	searcher  *Searcher
	question  Question
	matcher   *query.Matcher
	namesOnly bool
	loose     lines // events that wait to be sequenced

	mu     sync.Mutex
	total  int64
	fields map[query.Field]*collected
	bytes  int // of the texts of values
	more   bool
}

// collected is the state of one field.
type collected struct {
	strings, numbers, bools bool
	events                  int64
	values                  map[query.Scalar]int64
	more                    bool
}

// waiting adds an event that waits to be sequenced.
func (c *collector) waiting(ctx context.Context, line []byte, _ event.Entry) error {
	return c.loose.add(ctx, line)
}

func (c *collector) end(ctx context.Context) error { return c.loose.flush(ctx) }

// segment adds the events of a segment, from its index as far as possible.
func (c *collector) segment(ctx context.Context, log string, seg *tlog.Segment, p *plan) error {
	var known *told
	if p != nil {
		var err error
		known, err = c.tell(ctx, p.index, p.matches, p.fetch)
		if err != nil && !useless(err) {
			return err
		}
		if err != nil {
			c.searcher.options.Damaged(seg.Beside(index.ID).Key, err)
			p = nil
		} else if !slices.ContainsFunc(p.matches, func(m index.Matches) bool { return m.Perhaps != nil }) {
			c.add(known)
			return nil
		}
	}
	blocks, err := c.searcher.blocks(ctx, &c.question, log, seg, p)
	if err != nil {
		return err
	}
	if p != nil && (len(blocks) == 0 || blocks[0].matches != nil) {
		c.add(known)
	}
	rest := &lines{to: c}
	for i := range blocks {
		b := &blocks[i]
		wanted := func(entry int, line []byte) bool {
			return (b.matches == nil || b.matches.Perhaps.Has(entry)) && c.matcher.Match(line)
		}
		err := b.eachOf(ctx, &c.question, wanted, func(_ int, h Hit) error { return rest.add(ctx, h.Line) })
		if err != nil {
			return err
		}
	}
	return rest.flush(ctx)
}

// told is the content of an index about the fields of the events that surely match.
type told struct {
	total  int64
	fields []toldField
	more   bool
}

type toldField struct {
	index.FieldInfo
	events int64
	hidden bool // whether there are values that only the lines have
	values []index.Count
}

// tell returns the facts about the fields that are in an index.
func (c *collector) tell(ctx context.Context, x *index.Index, matches []index.Matches, fetch index.Fetch) (*told,
	error) {
	known := &told{}
	for i := range matches {
		if matches[i].Every {
			known.total += int64(x.Entries(i))
		} else {
			known.total += int64(matches[i].Yes.Count())
		}
	}
	infos := x.Fields()
	known.more = x.Unnamed()
	if len(infos) > maxSegmentPaths {
		slices.SortStableFunc(infos, func(a, b index.FieldInfo) int { return cmp.Compare(b.Entries, a.Entries) })
		infos, known.more = infos[:maxSegmentPaths], true
	}
	if c.namesOnly {
		for _, info := range infos {
			known.fields = append(known.fields, toldField{FieldInfo: info})
		}
		return known, nil
	}
	for _, name := range query.Aliases() {
		infos = append(infos, index.FieldInfo{Field: query.Field(name)})
	}
	for some := range slices.Chunk(infos, fieldsAtATime) {
		fields := make([]query.Field, len(some))
		for i, info := range some {
			fields[i] = info.Field
		}
		facets, err := x.Facets(ctx, fields, 0, matches, fetch)
		if err != nil {
			return nil, err
		}
		for i, f := range facets {
			if n := known.total - int64(f.Missing); n > 0 {
				hidden := slices.ContainsFunc(f.Hidden, func(h index.Bits) bool { return h.Count() > 0 })
				known.fields = append(known.fields, toldField{some[i], n, hidden, f.Values})
			}
		}
	}
	return known, nil
}

// add adds the content of an index.
func (c *collector) add(known *told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += known.total
	c.more = c.more || known.more
	for i := range known.fields {
		f := &known.fields[i]
		of := c.fields[f.Field]
		if of == nil && len(c.fields) == maxFields {
			c.more = true
			continue
		}
		if of == nil {
			of = &collected{values: map[query.Scalar]int64{}}
			c.fields[f.Field] = of
		}
		of.events += f.events
		if f.hidden {
			of.more = true
			of.strings, of.numbers, of.bools = of.strings || f.Strings, of.numbers || f.Numbers, of.bools || f.Bools
		}
		for _, v := range f.values {
			of.note(v.Value.Kind)
			c.count(of, v)
		}
	}
}

// count counts the events with a value of a field.
func (c *collector) count(of *collected, v index.Count) {
	if _, ok := of.values[v.Value]; !ok {
		if len(of.values) == maxDistinct || c.bytes+len(v.Value.Text) > maxTextBytes {
			of.more = true
			return
		}
		c.bytes += len(v.Value.Text)
	}
	of.values[v.Value] += int64(v.Entries)
}

// note records the kind of a value.
func (of *collected) note(k query.Kind) {
	switch k {
	case query.String:
		of.strings = true
	case query.Number:
		of.numbers = true
	case query.Bool:
		of.bools = true
	}
}

// result returns the fields: the aliases first, then the paths in order.
func (c *collector) result() *Fields {
	r := &Fields{Total: c.total, More: c.more}
	if c.total == 0 {
		return r
	}
	c.fields[timeField] = &collected{numbers: true, events: c.total, more: true}
	for name, of := range c.fields {
		f := Field{Field: name, Strings: of.strings, Numbers: of.numbers, Bools: of.bools, Events: of.events,
			Values: len(of.values), More: of.more}
		f.Examples = of.examples()
		r.Fields = append(r.Fields, f)
	}
	slices.SortFunc(r.Fields, func(a, b Field) int {
		return cmp.Or(cmp.Compare(rank(a.Field), rank(b.Field)), cmp.Compare(a.Field, b.Field))
	})
	return r
}

func rank(f query.Field) int {
	if i := slices.Index(query.Aliases(), string(f)); i >= 0 {
		return i
	}
	return len(query.Aliases())
}

// examples returns the most frequent values.
func (of *collected) examples() []query.Scalar {
	var all []Count
	for v, n := range of.values {
		if len(v.Text) <= maxExampleBytes {
			all = append(all, Count{v, n})
		}
	}
	slices.SortFunc(all, compareCounts)
	var some []query.Scalar
	for _, v := range all[:min(len(all), maxExamples)] {
		some = append(some, v.Value)
	}
	return some
}

// exemplify takes examples from events for the fields without examples.
func (r *Fields) exemplify(hits []Hit) error {
	var bare []*Field
	var names []query.Field
	for i := range r.Fields {
		if f := &r.Fields[i]; len(f.Examples) == 0 {
			bare, names = append(bare, f), append(names, f.Field)
		}
	}
	x := query.NewExtract(names...)
	for _, h := range hits {
		if err := x.Read(h.Line); err != nil {
			return err
		}
		for i, f := range bare {
			for _, v := range x.Values(i) {
				if len(f.Examples) < maxExamples && len(v.Text) <= maxExampleBytes && !slices.Contains(f.Examples, v) {
					v.Text = string([]byte(v.Text)) // it may be part of the event's line
					f.Examples = append(f.Examples, v)
				}
			}
		}
	}
	return nil
}

// lines are matching events without an index. An index is made of some of them at a time.
type lines struct {
	to    *collector
	data  []byte
	count int
}

// add adds the line of an event, without '\n'.
func (l *lines) add(ctx context.Context, line []byte) error {
	l.data = append(append(l.data, line...), '\n')
	if l.count++; len(l.data) < linesBytes && l.count < linesEntries {
		return nil
	}
	return l.flush(ctx)
}

// flush makes an index of the lines and adds its content.
func (l *lines) flush(ctx context.Context) error {
	if l.count == 0 {
		return nil
	}
	kind := index.Kind{Least: 1}
	b := segment.Block{Count: l.count, Raw: int64(len(l.data))}
	content, err := kind.Build([]segment.Made{{Block: &b, Note: kind.Note(segment.Content{Block: &b, Lines: l.data})}})
	if err != nil {
		return fmt.Errorf("fields of events: %w", err)
	}
	l.data, l.count = l.data[:0], 0
	if content == nil { // too many paths
		l.to.add(&told{total: int64(b.Count), more: true})
		return nil
	}
	head, err := index.HeadLength(content)
	if err != nil {
		return err
	}
	x, err := index.Open(content[:head])
	if err != nil {
		return err
	}
	fetch := func(_ context.Context, offset, length int64) ([]byte, error) {
		return content[offset : offset+length], nil
	}
	known, err := l.to.tell(ctx, x, []index.Matches{{Every: true}}, fetch)
	if err == nil {
		l.to.add(known)
	}
	return err
}
