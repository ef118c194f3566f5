package api

import (
	"context"
	"slices"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
)

// fieldsView lists the fields of the matching events.
type fieldsView struct {
	Total  int64       `json:"total"`
	Start  string      `json:"startDate"`
	End    string      `json:"endDate"` // the last moment of the range
	Fields []fieldView `json:"fields"`
	More   bool        `json:"moreFields,omitempty"`
}

// fieldView describes a field.
type fieldView struct {
	Field    query.Field `json:"field"`
	Alias    bool        `json:"alias,omitempty"`
	Types    []string    `json:"types"`
	Events   int64       `json:"events"` // if more is set, an upper bound
	Values   int         `json:"values"` // number of different values; if more is set, a lower bound
	More     bool        `json:"moreValues,omitempty"`
	Examples []any       `json:"examples"` // strings, numbers and booleans
}

// fields returns the fields of the matching events.
func (h events) fields(c *call) (result, error) {
	q, err := h.ask(c)
	if err != nil {
		return nil, err
	}
	return h.searching(c, q, func(ctx context.Context, asked search.Question) (result, error) {
		all, err := h.search.Fields(ctx, asked)
		if err != nil {
			return nil, err
		}
		return h.toldOf(c, q, fieldsViewOf(all, q)), nil
	})
}

func fieldsViewOf(all *search.Fields, q *question) fieldsView {
	v := fieldsView{Total: all.Total, Start: moment(q.Start), End: moment(q.End - 1), Fields: []fieldView{},
		More: all.More}
	for _, f := range all.Fields {
		shown := fieldView{Field: f.Field, Alias: f.Field.Alias(), Types: typesOf(f), Events: f.Events, Values: f.Values,
			More: f.More, Examples: []any{}}
		for _, example := range f.Examples {
			shown.Examples = append(shown.Examples, scalarView(example))
		}
		v.Fields = append(v.Fields, shown)
	}
	return v
}

func typesOf(f search.Field) []string {
	types := []string{}
	for _, kind := range []struct {
		has  bool
		name string
	}{{f.Strings, "string"}, {f.Numbers, "number"}, {f.Bools, "boolean"}} {
		if kind.has {
			types = append(types, kind.name)
		}
	}
	return types
}

// hint names a field of a query that no event has, and fields that may be meant.
type hint struct {
	Field query.Field `json:"field"`
	Near  []string    `json:"near"` // the most likely first
}

// hints returns hints for a question that found nothing. They are optional: what takes too long is left out.
//
// The share of the search must still be taken.
func (h events) hints(ctx context.Context, c *call, q *question) []hint {
	var asked []query.Field
	for term := range q.Query.Terms() {
		if term.Field != "" && !term.Field.Alias() {
			asked = append(asked, term.Field)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	everything := q.Question
	everything.Query, _ = query.Parse("")                   // cannot fail
	everything.End = min(everything.End, c.now.UnixMilli()) // without the event of the question itself
	names, err := h.search.Names(ctx, everything)
	if err != nil {
		return nil
	}
	known := query.Aliases()
	for _, name := range names {
		known = append(known, string(name))
	}
	var all []hint
	for _, f := range asked {
		if !slices.Contains(known, string(f)) && len(all) < maxHints {
			all = append(all, hint{f, append([]string{}, query.Near(string(f), known)...)})
		}
	}
	return all
}

// maxHints bounds the hints in a reply.
const maxHints = 10
