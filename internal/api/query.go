package api

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/export"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/tlog"
)

// parameter is a parameter that the query of an operation may have.
type parameter struct {
	name string
	want func(value string) string // returns what the value must be, or "" if it is valid
	many bool                      // whether it may be given more than once
}

// Parameters by name.
var (
	envelopeFlag = parameter{name: "envelope", want: wantFlag}
	prettyFlag   = parameter{name: "pretty", want: wantFlag}

	pageNum      = parameter{name: "pageNum", want: wantInteger(1, 1<<31-1)}
	itemsPerPage = parameter{name: "itemsPerPage", want: wantInteger(1, maxItems)}
	includeCount = parameter{name: "includeCount", want: wantFlag}

	namePrefix         = parameter{name: "name", want: wantText(64)}
	projectOwner       = parameter{name: "projectOwnerId", want: wantID}
	systemManaged      = parameter{name: "includeSystemManaged", want: wantFlag}
	includeConnections = parameter{name: "includeConnections", want: wantFlag}

	startDate     = parameter{name: "startDate", want: wantDate}
	endDate       = parameter{name: "endDate", want: wantDate}
	processorName = parameter{name: "spName", want: wantAnything}

	everywhere = parameter{name: "everywhere", want: wantFlag}

	partial     = parameter{name: "partial", want: wantFlag}
	conformance = parameter{name: "conformance", want: wantOneOf("warn")}

	integrationType = parameter{name: "integrationType", want: wantText(64)}
	validateFirst   = parameter{name: "validate", want: wantFlag}

	entryIndex = parameter{name: "index", want: wantInteger(0, 1<<63-1)}
	fromSize   = parameter{name: "from", want: wantInteger(0, 1<<63-1)}
	toSize     = parameter{name: "to", want: wantInteger(0, 1<<63-1)}
	treeSize   = parameter{name: "size", want: wantInteger(0, 1<<63-1)}

	queryText    = parameter{name: "q", want: wantText(query.MaxBytes)}
	startMoment  = parameter{name: "startDate", want: wantMoment}
	endMoment    = parameter{name: "endDate", want: wantMoment}
	someLogs     = parameter{name: "log", want: wantID, many: true}
	eventOrder   = parameter{name: "order", want: wantOneOf(newest, oldest)}
	resultLimit  = parameter{name: "limit", want: wantInteger(1, maxResults)}
	pageCursor   = parameter{name: cursorReference, want: wantAnything}
	readBefore   = parameter{name: readReference, want: wantAnything}
	barCount     = parameter{name: "buckets", want: wantInteger(1, maxBars)}
	barSplit     = parameter{name: "split", want: wantOneOf(splitOutcome)}
	barZone      = parameter{name: "timeZone", want: wantZone}
	facetFields  = parameter{name: "facets", want: wantText(query.MaxBytes)}
	entryLimit   = parameter{name: "limit", want: wantInteger(1, maxResults)}
	waitSeconds  = parameter{name: "wait", want: wantInteger(0, maxWait)}
	tableFormat  = parameter{name: "format", want: wantOneOf(export.Formats()...)}
	tableColumns = parameter{name: "columns", want: wantText(query.MaxBytes)}
	rawCells     = parameter{name: "raw", want: wantFlag}
	byteOrder    = parameter{name: "bom", want: wantFlag}
	tailSeconds  = parameter{name: "seconds", want: wantInteger(0, int64(remembered/time.Second))}
	facetTop     = parameter{name: "top", want: wantInteger(0, maxTop)}
)

var (
	lists  = []parameter{pageNum, itemsPerPage, includeCount}
	ranges = []parameter{startDate, endDate, processorName}
	none   []parameter

	questions = []parameter{queryText, startMoment, endMoment, someLogs, readBefore}
)

func with(some []parameter, more ...parameter) []parameter { return slices.Concat(some, more) }

func wantAnything(string) string { return "" }

func wantFlag(value string) string {
	if value == "true" || value == "false" || value == "" {
		return ""
	}
	return fmt.Sprintf("must be true or false, not %s", quoted(value))
}

func wantInteger(least, most int64) func(string) string {
	return func(value string) string {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err == nil && n >= least && n <= most:
			return ""
		case most == 1<<63-1:
			return fmt.Sprintf("must be an integer, at least %d, not %s", least, quoted(value))
		}
		return fmt.Sprintf("must be an integer from %d to %d, not %s", least, most, quoted(value))
	}
}

func wantText(longest int) func(string) string {
	return func(value string) string {
		if len(value) <= longest {
			return ""
		}
		return fmt.Sprintf("may have at most %d bytes", longest)
	}
}

func wantID(value string) string {
	if value == "" || account.ValidID(value) {
		return ""
	}
	return "must be 24 hexadecimal digits"
}

func wantOneOf(values ...string) func(string) string {
	return func(value string) string {
		if value == "" || slices.Contains(values, value) {
			return ""
		}
		return fmt.Sprintf("must be %s, not %s", strings.Join(values, " or "), quoted(value))
	}
}

// wantZone checks the name of a time zone, such as Europe/Berlin.
func wantZone(value string) string {
	if _, err := time.LoadLocation(value); err == nil && value != "Local" {
		return ""
	}
	return fmt.Sprintf("must be the name of a time zone, such as UTC or Europe/Berlin, not %s", quoted(value))
}

// Bounds of dates: the earliest is that of Atlas's API; the latest is the last with a year of four digits.
const (
	minDate = event.Earliest / 1000 // 2008-01-01T00:00:00Z
	maxDate = 253402300799          // 9999-12-31T23:59:59Z
)

// wantDate says what is expected if a date has another form.
func wantDate(value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err == nil && !strings.HasPrefix(value, "+") && n >= minDate && n <= maxDate:
		return ""
	case err == nil && !strings.HasPrefix(value, "+"):
		return fmt.Sprintf("must be from %d (2008-01-01T00:00:00Z) to %d, in seconds since the epoch", minDate, maxDate)
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, value); err == nil {
			return fmt.Sprintf("must be an integer, in seconds since the epoch: %d for %s", at.Unix(), quoted(value))
		}
	}
	return fmt.Sprintf("must be an integer, in seconds since the epoch, such as 1767225600 for "+
		"2026-01-01T00:00:00Z, not %s", quoted(value))
}

// checkQuery parses the query. It refuses unknown parameters, duplicates and bad values.
func (c *call) checkQuery() error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalidQuery(field{"query", "is malformed: " + quoted(err.Error())})
	}
	known := slices.Concat(c.operation.query, c.operation.form.parameters)
	var wrong []field
	onlyDates := true
	for _, name := range sortedKeys(values) {
		i := slices.IndexFunc(known, func(p parameter) bool { return p.name == name })
		bad := ""
		switch {
		case i < 0:
			bad = "is not a parameter of this operation" + meant(name, known)
		case len(values[name]) > 1 && !known[i].many:
			bad = "must not be given more than once"
		default:
			for _, v := range values[name] {
				bad = cmp.Or(bad, known[i].want(v))
			}
		}
		if bad != "" {
			wrong = append(wrong, field{name, bad})
			onlyDates = onlyDates && i >= 0 && isDate(known[i])
		}
	}
	switch {
	case len(wrong) == 0:
		c.query = values
		return nil
	case onlyDates:
		return invalid("Invalid query parameters.", wrong...)
	}
	return invalidQuery(wrong...)
}

func isDate(p parameter) bool { return p.name == startDate.name || p.name == endDate.name }

// meant guesses which parameter was meant: one that differs only in case, or in '_' and '-'.
func meant(name string, known []parameter) string {
	plain := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	for _, p := range known {
		if len(name) < 64 && plain(p.name) == plain(name) {
			return ": write " + p.name
		}
	}
	return ""
}

func invalidQuery(fields ...field) *problem {
	name := cut(fields[0].Field, maxName)
	detail := "Invalid query parameter " + name + " specified."
	if len(fields) > 1 {
		detail = "Invalid query parameters " + names(fields) + " specified."
	}
	return &problem{status: http.StatusBadRequest, code: "INVALID_QUERY_PARAMETER", parameters: []any{name},
		detail: detail, fields: fields}
}

const defaultRange = 30 * 24 * 60 * 60 // seconds

// rangeOf returns the time range of a checked query. An event within the second endDate is in it.
func rangeOf(values url.Values, now time.Time) (tlog.Query, error) {
	date := func(name string, otherwise int64) int64 {
		if n, err := strconv.ParseInt(values.Get(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	end := date("endDate", now.Unix())
	start := date("startDate", end-defaultRange)
	if start > end {
		return tlog.Query{}, invalid("Invalid query parameters.",
			field{"startDate", fmt.Sprintf("must not be later than endDate (%d)", end)})
	}
	return tlog.Query{Start: start * 1000, End: (end + 1) * 1000, Processor: values.Get("spName")}, nil
}

// integer returns the value of a parameter that was checked to be an integer.
func (c *call) integer(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(c.query.Get(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

func sortedKeys(values url.Values) []string { return slices.Sorted(maps.Keys(values)) }
