package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// question is one of those that weir and VictoriaLogs are asked, over all days of a corpus that is Sought.
type question struct {
	Name  string
	query string // of weir
	logsQ string // the same in LogsQL
	shape shape
	limit float64 // how many milliseconds weir should take at most, warm; 0 if there is no target
	part  float64 // and which part of VictoriaLogs' time
	grows bool    // it is one of those that are asked at each size
}

// shape is the form of the answer.
type shape int

const (
	newest100 shape = iota // lines
	allLines
	byDay // how many they are, and a histogram by day
	facets
)

// facetFields are those that facets are of.
const facetFields = "unmapped.atype,status,class_uid,severity_id,actor.user.name,entity.name"

const (
	topValues = 10
	dayBars   = 40 // so many bars at most are of a day each, over 30 days
)

// questions returns all of them, given the uid of an event.
func questions(uid string) []question {
	const busy, busyQ = "src_endpoint.ip:" + corpus.BusyAddress, "src_endpoint.ip:=\"" + corpus.BusyAddress + "\""
	return []question{
		{"one id", uid, `*:"` + uid + `"`, newest100, 5, 1, true},
		{"an IP: total, by day", busy, busyQ, byDay, 10, 1. / 3, true},
		{"an IP: 6 facets", busy, busyQ, facets, 40, 1. / 5, true},
		{"an IP: newest 100 lines", busy, busyQ, newest100, 15, 1. / 10, true},
		{"an IP: all lines", busy, busyQ, allLines, 0, 1, false},
		{"a rare word", corpus.RareWord, "*:" + corpus.RareWord, newest100, 20, 1, false},
		{"a word that is nowhere", "kookaburra", "*:kookaburra", newest100, 20, 1, false},
		{"everything: by day", "*", "*", byDay, 3, 0, true},
		{"everything: 6 facets", "*", "*", facets, 60, 0, true},
		{"ten conditions: by day",
			"(unmapped.atype:startStreamProcessor or unmapped.atype:stopStreamProcessor or entity.name:processor-3*) " +
				"and actor.user.name:admin.user-1* and not actor.user.name:admin.user-12 " +
				"and not src_endpoint.ip:203.0.113.0/24 and severity_id >= 1 " +
				"and (status_id:2 or src_endpoint.ip:203.0.112.0/24) and not entity.name:processor-31",
			`(unmapped.atype:="startStreamProcessor" or unmapped.atype:="stopStreamProcessor" or ` +
				`entity.name:="processor-3"*) actor.user.name:="admin.user-1"* !actor.user.name:="admin.user-12" ` +
				`!src_endpoint.ip:ipv4_range("203.0.113.0/24") severity_id:>=1 ` +
				`(status_id:="2" or src_endpoint.ip:ipv4_range("203.0.112.0/24")) !entity.name:="processor-31"`,
			byDay, 60, 0, false},
	}
}

// span is the range of times of a corpus, seconds, half-open.
type span struct{ start, end int64 }

// ask returns the path and the parameters of the question in weir's API, of one log.
func (q question) ask(project, log string, s span) (path string, v url.Values) {
	v = url.Values{"q": {q.query}, "log": {log}, "startDate": {fmt.Sprint(s.start)}, "endDate": {fmt.Sprint(s.end - 1)}}
	path = "/api/weir/v1/groups/" + project + "/events"
	switch q.shape {
	case newest100:
		v.Set("limit", "100")
	case allLines:
		path += ":export"
		v.Set("format", "ndjson")
	case byDay:
		path += ":summary"
		v.Set("buckets", strconv.Itoa(dayBars))
	case facets:
		path += ":summary"
		v.Set("facets", facetFields)
		v.Set("top", strconv.Itoa(topValues))
	}
	return path, v
}

// askVictoria returns the same for VictoriaLogs.
func (q question) askVictoria(s span) (path string, v url.Values) {
	v = url.Values{"query": {q.logsQ}, "start": {fmt.Sprint(s.start)}, "end": {fmt.Sprint(s.end)}}
	path = "/select/logsql/query"
	switch q.shape {
	case newest100:
		v.Set("limit", "100")
	case byDay:
		path = "/select/logsql/hits"
		v.Set("step", "1d")
	case facets:
		v.Set("query", fmt.Sprintf("%s | fields %s | facets %d max_values_per_field 1000000 keep_const_fields", q.logsQ,
			facetFields, topValues))
	}
	return path, v
}
