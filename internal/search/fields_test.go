package search

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/tlog"
)

var paths = []query.Field{"actor.user.name", "long", "metadata.uid", "status_id", "tags", "time", "nowhere.at.all"}

// The reply about fields agrees with the values of all matching events, as far as it claims to.
func TestFieldsAgreeWithDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, tlog.Options{Beside: rapid.SampledFrom(besides).Draw(rt, "besides")})
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			w.grow(rt)
			if rapid.Bool().Draw(rt, "sequence") {
				w.sequence(rt)
			}
		}
		w.merge(rt)
		q := drawQuestion(rt)
		got, err := w.search.Fields(context.Background(), q)
		if err != nil {
			rt.Fatal(err)
		}
		hits := w.expected(rt, q, Newest)
		if got.Total != int64(len(hits)) || got.More {
			rt.Fatalf("%d events, more fields %t; there are %d", got.Total, got.More, len(hits))
		}
		known := map[query.Field]Field{}
		for _, f := range got.Fields {
			known[f.Field] = f
		}
		for _, field := range append(slices.Clone(paths), "who", "outcome", "target") {
			checkField(rt, field, known[field], hits)
		}
	})
}

// checkField compares a Field with the events.
func checkField(t *rapid.T, name query.Field, f Field, hits []Hit) {
	x := query.NewExtract(name)
	values := map[query.Scalar]int64{}
	events := int64(0)
	for _, h := range hits {
		if err := x.Read(h.Line); err != nil {
			t.Fatal(err)
		}
		for i, v := range x.Values(0) {
			if !slices.Contains(x.Values(0)[:i], v) {
				v.Text = strings.Clone(v.Text)
				values[v]++
			}
		}
		if len(x.Values(0)) > 0 {
			events++
		}
	}
	switch {
	case (f.Field == name) != (events > 0):
		t.Fatalf("%s: told of: %t; %d events have it", name, f.Field == name, events)
	case f.Events < events || !f.More && f.Events != events:
		t.Fatalf("%s: %d events (more %t) have it, not %d", name, f.Events, f.More, events)
	case f.Values > len(values) || !f.More && f.Values != len(values):
		t.Fatalf("%s: %d values (more %t), not %d", name, f.Values, f.More, len(values))
	case events > 0 && len(f.Examples) == 0 && name != "long":
		t.Fatalf("%s: no example", name)
	}
	for v := range values {
		if v.Kind == query.String && !f.Strings || v.Kind == query.Number && !f.Numbers {
			t.Fatalf("%s has %v, which is of another kind than is told", name, v)
		}
	}
	for i, v := range f.Examples {
		if values[v] == 0 {
			t.Fatalf("%s: no event has the example %v", name, v)
		}
		if !f.More && i > 0 && values[v] > values[f.Examples[i-1]] {
			t.Fatalf("%s: %v stands before %v, which is more frequent", name, f.Examples[i-1], v)
		}
	}
}

func TestNamesOfFields(t *testing.T) {
	for _, kinds := range besides {
		w := newWorld(t, tlog.Options{Beside: kinds})
		for i := range 100 {
			w.record(t, logs[i%2], `{"time":`+strconv.Itoa(1000+i)+`,"metadata":{"uid":"`+strconv.Itoa(i)+
				`"},"a":{"f`+strconv.Itoa(i%5)+`":[{"b":1}]}}`)
			if i%10 == 5 && i < 90 {
				w.sequence(t)
			}
		}
		names, err := w.search.Names(t.Context(), Question{Query: parse(t, ""), Logs: logs[:2], Start: 1000, End: 1100})
		want := []query.Field{"a.f0.b", "a.f1.b", "a.f2.b", "a.f3.b", "a.f4.b", "metadata.uid", "time"}
		if err != nil || !slices.Equal(names, want) {
			t.Fatalf("%v, %v", names, err)
		}
	}
}

// The memory for fields and values is bounded, and the reply says if there are more.
func TestFieldsAreBounded(t *testing.T) {
	w := newWorld(t, tlog.Options{})
	const events = 60
	for i := range events {
		var line strings.Builder
		line.WriteString(`{"time":1000,"metadata":{"uid":"` + strconv.Itoa(i) + `"}`)
		for j := range 100 {
			line.WriteString(`,"f` + strconv.Itoa(i*100+j) + `":1`)
		}
		w.record(t, logs[i%3], line.String()+"}")
	}
	for range 3 {
		w.sequence(t)
	}
	got, err := w.search.Fields(t.Context(), Question{Query: parse(t, "*"), Logs: logs, Start: 0, End: 2000})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Fields); n < 100 || n > maxFields+1 || !got.More || got.Total != events {
		t.Errorf("%d fields of %d events, more: %t", n, got.Total, got.More)
	}
}

func TestValuesOfFieldsAreBounded(t *testing.T) {
	c := &collector{fields: map[query.Field]*collected{}}
	for i := range 3 * maxDistinct {
		value := query.Scalar{Kind: query.String, Text: strconv.Itoa(i)}
		c.add(&told{total: 1, fields: []toldField{{FieldInfo: index.FieldInfo{Field: "f"}, events: 1,
			values: []index.Count{{Value: value, Entries: 1}}}}})
	}
	f := c.result().Fields[0]
	if f.Values != maxDistinct || !f.More || f.Events != 3*maxDistinct || len(f.Examples) != maxExamples {
		t.Errorf("%+v", f)
	}
}

func TestFieldsEndAtTheTimeLimit(t *testing.T) {
	w := newWorld(t, tlog.Options{})
	w.record(t, logs[0], `{"time":1000,"metadata":{"uid":"0"}}`)
	s := New(w.node.Logs, Options{TimeLimit: time.Nanosecond})
	one := Question{Query: parse(t, "*"), Logs: logs[:1], Start: 0, End: 2000}
	if _, err := s.Fields(t.Context(), one); !errors.Is(err, ErrTooSlow) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fields(ctx, one); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	none := Question{Query: parse(t, "*"), Start: 0, End: 2000}
	if names, err := w.search.Names(t.Context(), none); err != nil ||
		!slices.Equal(names, []query.Field{timeField}) {
		t.Errorf("%v, %v", names, err)
	}
}
