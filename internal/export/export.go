// Package export writes events as tables: CSV for spreadsheets, Parquet for databases, lines of JSON for programs. Its
// memory is bounded for any number of events.
package export

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/query"
)

// Row is an event to write.
type Row struct {
	Log   string // id
	Entry int64  // index in the log; negative if it waits to be sequenced
	Line  []byte // the event as it was recorded
}

// Writer writes events in a format. After an error it must not be used any more.
type Writer interface {
	Write(Row) error

	// Close writes the rest. A Parquet file that was not closed has no footer, so no reader accepts it. In the other
	// formats, the sender must indicate that bytes are missing.
	Close() error
}

// Format is a format of tables.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	NDJSON  Format = "ndjson"
	Parquet Format = "parquet"
)

// Formats returns the formats.
func Formats() []string { return []string{string(CSV), string(NDJSON), string(Parquet)} }

// Options configures a Writer. Options of other formats are ignored.
type Options struct {
	Columns []string // names of columns, see Columns; if empty, the usual ones
	Raw     bool     // CSV: do not change cells that a spreadsheet would treat as formulas
	BOM     bool     // CSV: begin with a byte-order mark, by which Excel detects UTF-8
}

// New returns a Writer to w. If the format or a column does not exist, it returns an error that names it.
func New(f Format, w io.Writer, o Options) (Writer, error) {
	names := o.Columns
	if len(names) == 0 {
		names = usual
	}
	t, err := newTable(names)
	if err != nil {
		return nil, err
	}
	switch f {
	case CSV:
		return newCSV(w, t, o)
	case Parquet:
		return newParquet(w, t), nil
	case NDJSON:
		if len(o.Columns) == 0 {
			t = nil
		}
		return &ndjsonWriter{w: w, table: t}, nil
	}
	return nil, fmt.Errorf("%q is not a format: want %s", f, strings.Join(Formats(), ", "))
}

// usual lists the columns that are written if none are named.
var usual = []string{"time", "who", "who_uid", "from_ip", "operation", "class", "target_type", "target_name",
	"target_uid", "outcome", "outcome_detail", "session", "event_uid", "log", "entry"}

// Columns returns the names of the usual columns. There are also event, which is the whole event as it was recorded,
// and every field and alias of the query language.
func Columns() []string { return slices.Clone(usual) }

// sources lists the fields from which a column takes its values; the first one that is not empty counts. A field after
// '+' counts only if the event has an actor, and one after '-' only if it has none: a user beside an actor is the
// target, and otherwise the user is the actor.
var sources = map[string][]string{
	"who":            {"who"},
	"who_uid":        {"actor.user.uid", "actor.app_uid", "-user.uid"},
	"from_ip":        {"src_endpoint.ip", "direct_endpoint.ip"},
	"operation":      {"what"},
	"class":          {"class"},
	"target_type":    {"entity.type", "resources.type", "resource.type", "+user.type"},
	"target_name":    {"target"},
	"target_uid":     {"entity.uid", "resources.uid", "resource.uid", "+user.uid", "group.uid", "policy.uid"},
	"outcome":        {"outcome"},
	"outcome_detail": {"status_detail", "api.response.error", "api.response.message", "status_code"},
	"session":        {"actor.session.uid", "session.uid", "metadata.correlation_uid"},
	"event_uid":      {"metadata.uid"},
}

// actor lists the fields that an event with an actor has.
var actor = []string{"actor.user.name", "actor.user.uid", "actor.user.email_addr", "actor.app_name", "actor.app_uid",
	"actor.invoked_by", "actor.process.name"}

// table reads the cells of events.
type table struct {
	names   []string
	columns []column
	extract *query.Extract
	numbers map[query.Field]int // indexes of fields in extract
	fields  []query.Field
	actor   []int // indexes of the fields of actor
	cells   []string
}

// column describes where the values of a column come from.
type column struct {
	kind    columnKind
	sources []source
}

type columnKind int

const (
	fromFields columnKind = iota
	timeColumn            // text in RFC 3339, or milliseconds since the epoch
	logColumn
	entryColumn
	eventColumn
)

type source struct {
	field int  // index in the table's extract
	when  byte // '+', '-' or 0
}

func newTable(names []string) (*table, error) {
	t := &table{names: names, numbers: map[query.Field]int{}}
	for _, f := range actor {
		t.actor = append(t.actor, t.number(query.Field(f)))
	}
	for i, name := range names {
		c, err := t.column(name)
		if err == nil && slices.Contains(names[:i], name) {
			err = errors.New("it is named twice")
		}
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
		t.columns = append(t.columns, c)
	}
	t.extract = query.NewExtract(t.fields...)
	t.cells = make([]string, len(names))
	return t, nil
}

func (t *table) column(name string) (column, error) {
	switch name {
	case "time":
		return column{timeColumn, []source{{field: t.number("time")}}}, nil
	case "log":
		return column{kind: logColumn}, nil
	case "entry":
		return column{kind: entryColumn}, nil
	case "event":
		return column{kind: eventColumn}, nil
	}
	if from, ok := sources[name]; ok {
		var c column
		for _, f := range from {
			var s source
			if f[0] == '+' || f[0] == '-' {
				s.when, f = f[0], f[1:]
			}
			s.field = t.number(query.Field(f))
			c.sources = append(c.sources, s)
		}
		return c, nil
	}
	fields, err := query.ParseFields(name)
	if err != nil {
		return column{}, err
	}
	if len(fields) != 1 {
		return column{}, fmt.Errorf("it names %d fields", len(fields))
	}
	return column{sources: []source{{field: t.number(fields[0])}}}, nil
}

// number returns the index of a field in fields. It adds a missing one.
func (t *table) number(f query.Field) int {
	n, ok := t.numbers[f]
	if !ok {
		n = len(t.fields)
		t.numbers[f], t.fields = n, append(t.fields, f)
	}
	return n
}

func (t *table) hasActor() bool {
	return slices.ContainsFunc(t.actor, func(n int) bool { return joined(t.extract.Values(n)) != "" })
}

// values returns the values of a column in the current event, separated by commas. If there are none, ok is false. If
// there are several fields, one with an empty value counts only if no other field has a value.
func (t *table) values(c *column) (text string, ok bool) {
	for _, s := range c.sources {
		if s.when != 0 && t.hasActor() != (s.when == '+') {
			continue
		}
		values := t.extract.Values(s.field)
		ok = ok || len(values) > 0
		if text = joined(values); text != "" {
			return text, true
		}
	}
	return "", ok
}

func joined(values []query.Scalar) string {
	if len(values) == 1 {
		return values[0].Text
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.Text
	}
	return strings.Join(texts, ",")
}
