package api

import (
	"context"
	"strings"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
)

// fieldsView is which fields the events have that match.
type fieldsView struct {
	Total  int64       `json:"total"`
	Start  string      `json:"startDate"`
	End    string      `json:"endDate"` // the last moment
	Fields []fieldView `json:"fields"`
	More   bool        `json:"moreFields,omitempty"`
}

// fieldView is what is known of a field.
type fieldView struct {
	Field    query.Field `json:"field"`
	Alias    bool        `json:"alias,omitempty"`
	Types    []string    `json:"types"`
	Events   int64       `json:"events"` // if More, at most so many
	Values   int         `json:"values"` // different ones; if More, at least so many
	More     bool        `json:"moreValues,omitempty"`
	Examples []any       `json:"examples"` // strings, numbers and booleans
}

// fields answers with the fields that the events have that match.
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

// hint says of a field in a query that no event has it, and which may be meant.
type hint struct {
	Field query.Field `json:"field"`
	Near  []string    `json:"near"` // the likeliest first
}

// hints returns the fields of a question that found nothing which no event of its range has. It is help, not an answer:
// what cannot be found out in time is left out.
//
// It is within the share of the search that found nothing.
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
	everything.Query, _ = query.Parse("")                   // which cannot fail
	everything.End = min(everything.End, c.now.UnixMilli()) // without the question's own event
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
		if !isKnown(string(f), known) && len(all) < maxHints {
			all = append(all, hint{f, append([]string{}, query.Near(string(f), known)...)})
		}
	}
	return all
}

// maxHints bounds the hints of a reply.
const maxHints = 10

// isKnown tells whether a field, or one in it, is among some.
func isKnown(field string, some []string) bool {
	for _, name := range some {
		if name == field || strings.HasPrefix(name, field+".") {
			return true
		}
	}
	return false
}
