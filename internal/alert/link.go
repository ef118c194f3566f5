package alert

import (
	"net/url"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/query"
)

// link returns the address of the page that shows the events of an alert; "" without a public address. It is a part of
// messages to notifiers, so it does not change until the alert becomes longer.
func link(public, project string, r *rule.Rule, a *rule.Alert) string {
	if public == "" {
		return ""
	}
	before := time.Duration(r.Within)
	if r.Kind == rule.NewValue {
		before = 0
	}
	moment := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
	p := url.Values{"project": {project}, "q": {question(r, a)},
		"from": {moment(a.From - before.Milliseconds())}, "to": {moment(max(a.From, a.To, a.Fired))}}
	return strings.TrimSuffix(public, "/") + "/?" + p.Encode()
}

// question returns the query for the events of an alert.
func question(r *rule.Rule, a *rule.Alert) string {
	q, err := query.Parse(r.Query)
	if err != nil {
		return r.Query
	}
	all := query.And{}
	if nodes, ok := q.Root.(query.And); ok {
		all = append(all, nodes...)
	} else if _, every := q.Root.(query.All); !every {
		all = append(all, q.Root)
	}
	for i, text := range r.Fields() {
		if i >= len(a.Group) || strings.Contains(a.Group[i], "…") {
			continue // a value that was cut
		}
		if n := termOf(text, a.Group[i]); n != nil {
			all = append(all, n)
		}
	}
	switch len(all) {
	case 0:
		return r.Query
	case 1:
		return (&query.Query{Root: all[0]}).String()
	}
	return (&query.Query{Root: all}).String()
}

// termOf returns a query for the events of which one of the fields in text has a value; nil if text does not name
// fields. If value is empty, the first field must be missing.
func termOf(text, value string) query.Node {
	var any query.Or
	for one := range strings.SplitSeq(text, "|") {
		fields, err := query.ParseFields(strings.TrimSpace(one))
		if err != nil || len(fields) != 1 {
			return nil
		}
		if value == "" {
			return query.Not{Node: query.Term{Field: fields[0], Match: query.Exists{}}}
		}
		any = append(any, query.Term{Field: fields[0], Match: query.Value{Text: value}})
	}
	if len(any) == 1 {
		return any[0]
	}
	return any
}
