package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
)

// someBlocks returns blocks with all features: lists, hidden values, functions of other columns, unnamed paths, and a
// line that is not an event.
func someBlocks() (blocks [][][]byte) {
	for b := range 3 {
		var lines [][]byte
		for i := range 40 {
			lines = append(lines, fmt.Appendf(nil, `{"time":%d,"metadata":{"uid":"u-%d-%d"},"who":"w%d","from":"10.0.0.%d",`+
				`"status_id":%d,"tags":["a","b%d"],"actor":{"user":{"name":"w%d"}}}`, firstTime+int64(i), b, i, i%7, i%7,
				1+i%2, i%3, i%7))
		}
		lines[3] = []byte(`{"time":1793529000001,"object":{},"big":1e400}`)
		if b == 1 {
			lines = append(lines, wide("w", maxChildren+1))
		}
		blocks = append(blocks, crowded(lines))
	}
	return append(blocks, [][]byte{[]byte("no event"), []byte(`{"time":1}`)})
}

func someQueries(t fatal) (all []*query.Query) {
	t.Helper()
	for _, text := range []string{"*", "nowhere", "u-1-7", "a", "who:*", `"who":w3`, "tags:b2 status_id:1",
		"time > 2026-11-01", "from:10.0.0.0/8", "target:x or outcome:failure", "value-20", "w.m128:128",
		"user.name:user-3*"} {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		all = append(all, q)
	}
	return all
}

// answers asks an index all questions.
func answers(x *opened, queries []*query.Query) (all []any, err error) {
	ctx := context.Background()
	for _, q := range queries {
		result, err := x.Evaluate(ctx, q, x.All(), x.fetch)
		if err != nil {
			return nil, err
		}
		facets, err := x.Facets(ctx, []query.Field{"who", `"who"`, "tags", "class", "metadata.uid"}, 0, result, x.fetch)
		if err != nil {
			return nil, err
		}
		all = append(all, result, facets)
	}
	for block := range x.Blocks() {
		err := x.Times(ctx, []int{block}, x.fetch, func(_ int, times []int64) error {
			all = append(all, times)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return append(all, x.Fields()), nil
}

// Any damaged byte after the head is either found or not read.
func TestDamageIsFound(t *testing.T) {
	content, queries := build(someBlocks()), someQueries(t)
	want, err := answers(open(t, content), queries)
	if err != nil {
		t.Fatal(err)
	}
	x := open(t, content)
	noticed := 0
	for at := x.filter.offset; at < int64(len(content)); at += 37 {
		damaged := open(t, append([]byte{}, content...))
		damaged.content[at] ^= 0x10
		got, err := answers(damaged, queries)
		switch {
		case errors.Is(err, ErrCorrupt):
			noticed++
		case err != nil:
			t.Fatalf("byte %d: %v", at, err)
		case !reflect.DeepEqual(got, want):
			t.Fatalf("with byte %d damaged the answers are others", at)
		}
		if _, err := decodeNotes(damaged.content); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d: a merge does not notice: %v", at, err)
		}
	}
	if noticed == 0 {
		t.Error("nothing was noticed")
	}
}

func TestShortRangesAreFound(t *testing.T) {
	x := open(t, build(someBlocks()))
	short := func(ctx context.Context, offset, length int64) ([]byte, error) {
		data, err := x.fetch(ctx, offset, length)
		return data[:len(data)-1], err
	}
	if _, err := x.Evaluate(context.Background(), someQueries(t)[2], x.All(), short); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	failed := errors.New("no bucket")
	fails := func(context.Context, int64, int64) ([]byte, error) { return nil, failed }
	if _, err := x.Evaluate(context.Background(), someQueries(t)[2], x.All(), fails); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// replaced is an index of which one section has other bytes, with matching digests.
func replaced(content []byte, number, section int, data []byte) []byte {
	length, err := HeadLength(content)
	if err != nil {
		panic(err)
	}
	x, err := Open(content[:length])
	if err != nil {
		panic(err)
	}
	regions := []*region{&x.filter, &x.times, &x.lists, &x.records}
	number %= len(regions)
	section %= len(regions[number].ends)
	writers := make([]regionWriter, len(regions))
	for n, r := range regions {
		for i := range r.ends {
			part := content[r.offset+r.start(i) : r.offset+r.ends[i]]
			if n == number && i == section {
				part = data
			}
			writers[n].data = append(writers[n].data, part...)
			writers[n].end()
		}
	}
	// The part of the head before the regions stays as it is.
	rest := 0
	for _, r := range regions {
		for i := range r.ends {
			rest += len(binary.AppendUvarint(nil, uint64(r.ends[i]-r.start(i))))
		}
		rest += len(r.sums)
	}
	head := append([]byte{}, content[:int(length)-rest]...)
	for i := range writers {
		head = writers[i].append(head)
	}
	binary.LittleEndian.PutUint32(head[len(magic):], uint32(len(head)))
	for i := range writers {
		head = append(head, writers[i].data...)
	}
	return head
}

// A section without its end is refused, even if its digest matches.
func TestShortSectionsAreRefused(t *testing.T) {
	content, queries := build(someBlocks()), someQueries(t)
	x := open(t, content)
	for number, r := range []*region{&x.filter, &x.times, &x.lists, &x.records} {
		for i := range r.ends {
			section := content[r.offset+r.start(i) : r.offset+r.ends[i]]
			for _, cut := range []int{1, len(section) / 2} {
				if cut > len(section) || cut == 0 {
					continue
				}
				changed := replaced(content, number, i, section[:len(section)-cut])
				_, err := decodeNotes(changed)
				if length, _ := HeadLength(changed); err == nil {
					x, _ := Open(changed[:length])
					_, err = answers(&opened{Index: x, content: changed}, queries)
				}
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("region %d, section %d without %d bytes: %v", number, i, cut, err)
				}
			}
		}
	}
}

// A column that is a function of itself is refused.
func TestCirclesAreRefused(t *testing.T) {
	content := build(someBlocks()[2:3])
	x := open(t, content)
	number := x.column("tags")
	if x.columns[number].lists != 3 || number > 127 {
		t.Fatalf("column %d has %d lists", number, x.columns[number].lists)
	}
	record := []byte{byte(function) << 2, 3, byte(number), 0}
	for _, r := range [][]byte{record, {byte(function), 3, byte(number), 0, 0, 0, 0}, {byte(same), 3, byte(number), 0}} {
		changed := open(t, replaced(content, 3, number, append([]byte{1, 0, byte(len(r))}, r...)))
		q, err := query.Parse("tags:b2")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := changed.Evaluate(context.Background(), q, changed.All(), changed.fetch); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestColumnsOutOfOrderAreRefused(t *testing.T) {
	notes := []*note{noteLines(someBlocks()[0])}
	columns := unite(notes)
	open := func() error {
		head := append([]byte(magic), 0, 0, 0, 0)
		head = binary.AppendUvarint(appendBlocks(head, notes), uint64(len(columns)))
		var filter, times, lists, records regionWriter
		last := ""
		for i := range columns {
			head = columns[i].append(head, last)
			last = string(columns[i].path)
			lists.data = columns[i].appendLists(lists.data)
			lists.end()
			records.end()
		}
		for range stripes {
			filter.end()
		}
		times.end()
		for _, r := range []*regionWriter{&filter, &times, &lists, &records} {
			head = r.append(head)
		}
		binary.LittleEndian.PutUint32(head[len(magic):], uint32(len(head)))
		_, err := Open(head)
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	columns[1], columns[2] = columns[2], columns[1]
	if err := open(); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// For any bytes of a section, the index returns errors or answers, in bounded memory.
func FuzzSections(f *testing.F) {
	content, queries := build(someBlocks()), someQueries(f)
	x := open(f, content)
	for number, r := range []*region{&x.filter, &x.times, &x.lists, &x.records} {
		for i := range r.ends {
			f.Add(uint8(number), uint16(i), content[r.offset+r.start(i):r.offset+r.ends[i]])
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, section uint16, data []byte) {
		changed := replaced(content, int(number), int(section), data)
		length, _ := HeadLength(changed)
		x, err := Open(changed[:length]) // which compares the lengths of sections with their contents
		if err == nil {
			_, err = answers(&opened{Index: x, content: changed}, queries)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if _, err := decodeNotes(changed); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	content := build(someBlocks())
	length, _ := HeadLength(content)
	f.Add(content[:length])
	f.Add([]byte(magic))
	queries := someQueries(f)
	f.Fuzz(func(t *testing.T, head []byte) {
		if len(head) >= headStart {
			copy(head, magic)
			binary.LittleEndian.PutUint32(head[len(magic):], uint32(len(head)))
		}
		x, err := Open(head)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if _, err := answers(&opened{Index: x, content: content}, queries); err == nil {
			return // nothing was fetched, or only unchanged bytes
		}
	})
}

// FuzzNote checks that all lines are noted, even those that are not events, and that merging gives the same index.
func FuzzNote(f *testing.F) {
	for _, lines := range someBlocks() {
		for _, line := range lines[:2] {
			f.Add(line, lines[0])
		}
	}
	for _, line := range []string{`{"time":1,"a":"\ud83d\ude00\u00e9\"\\\/","b":{}}`, `{"a":"`, `{"a":[1,`, "{",
		`{"a":"\`, `{"a":-}`} {
		f.Add([]byte(line), []byte(`{"time":1}`))
	}
	queries := someQueries(f)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		content := build([][][]byte{{first, second}, {second}})
		notes, err := decodeNotes(content)
		if err != nil {
			t.Fatal(err)
		}
		if got := encode(notes); string(got) != string(content) {
			t.Fatalf("%q, want %q", got, content)
		}
		if _, err := answers(open(t, content), queries); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzAnswers compares the index with the oracle on lines that weir may have recorded.
func FuzzAnswers(f *testing.F) {
	for _, lines := range someBlocks()[:3] {
		for _, line := range lines[:5] {
			for _, q := range []string{"u-1-7 or a", "who:w1 outcome:failure", "not tags:b* time > 2026-11", "from:10.0.0.0/8",
				"object:* -big:1e400", `"1793529000000" or time:2026-11-01`} {
				f.Add(q, line, uint8(0))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string, line []byte, others uint8) {
		q, err := query.Parse(text)
		v := jsontext.Value(line)
		if err != nil || bytes.ContainsRune(line, '\n') || v.Kind() != '{' || !v.IsValid() {
			return
		}
		q = q.Resolve(time.UnixMilli(firstTime))
		var p event.Parser
		if _, err := p.Entry(line); err != nil {
			return
		}
		lines := [][]byte{line}
		if others > 128 {
			lines = crowded(lines)
		}
		m := open(t, build([][][]byte{lines})).evaluate(t, q, Scope{0, 1, math.MinInt64, math.MaxInt64})[0]
		certain, possible := m.sets(len(lines))
		want, err := q.Match(line)
		if err != nil {
			t.Fatal(err)
		}
		if !possible.Has(0) && certain.Has(0) != want {
			t.Fatalf("%s on %s: %t, want %t", q, line, certain.Has(0), want)
		}
	})
}
