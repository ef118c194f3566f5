package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
)

const log = "6a793f48c0eb9e7a17712f00"

// written returns the bytes of a file with these rows.
func written(t rapid.TB, f Format, o Options, rows ...Row) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := New(f, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// cellsOf parses a file. It returns the columns, and each row as text; missing cells are "".
func cellsOf(t rapid.TB, f Format, data []byte) (names []string, rows [][]string) {
	t.Helper()
	switch f {
	case CSV:
		all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return all[0], all[1:]
	case NDJSON:
		for line := range strings.Lines(string(data)) {
			d := json.NewDecoder(strings.NewReader(line))
			if !strings.HasSuffix(line, "}\n") {
				t.Fatalf("a line without an end: %s", line)
			}
			var row []string
			for token, err := d.Token(); err != io.EOF; token, err = d.Token() {
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				row = append(row, fmt.Sprint(token))
			}
			rows = append(rows, row[1:len(row)-1]) // names and values alternate
		}
		return nil, rows
	}
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range file.Root().Columns() {
		names = append(names, field.Name())
	}
	r := parquet.NewReader(file)
	defer r.Close()
	for buf := make([]parquet.Row, 1); ; {
		n, err := r.ReadRows(buf)
		if n == 1 {
			var row []string
			for i, v := range buf[0] {
				text := v.String()
				if v.IsNull() {
					text = ""
				} else if names[i] == "time" {
					text = time.UnixMilli(v.Int64()).UTC().Format("2006-01-02T15:04:05.000Z")
				}
				row = append(row, text)
			}
			rows = append(rows, row)
		}
		if errors.Is(err, io.EOF) {
			return names, rows
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsualColumns(t *testing.T) {
	for _, test := range []struct {
		event string
		want  string // the existing columns, by name
	}{
		{`{"time":1763978401002,"class_uid":3004,"metadata":{"uid":"e1","correlation_uid":"c1"},"actor":{"user":{` +
			`"name":"anna","uid":"u1"},"session":{"uid":"s1"}},"src_endpoint":{"ip":"192.0.2.7"},"api":{"operation":"drop"},` +
			`"entity":{"name":"p","uid":"p1","type":"Stream Processor"},"status_id":2,"status_detail":"not allowed"}`,
			"time=2025-11-24T10:00:01.002Z who=anna who_uid=u1 from_ip=192.0.2.7 operation=drop class=Entity Management " +
				"target_type=Stream Processor target_name=p target_uid=p1 outcome=failure outcome_detail=not allowed " +
				"session=s1 event_uid=e1 log=" + log + " entry=7"},
		{`{"time":1763978401000,"class_uid":3002,"metadata":{"uid":"e2","correlation_uid":"c1"},"user":{"name":` +
			`"bert","uid":"u2","type":"User"},"status_id":1}`,
			"time=2025-11-24T10:00:01.000Z who=bert who_uid=u2 class=Authentication outcome=success session=c1 event_uid=e2 " +
				"log=" + log + " entry=7"},
		{`{"time":1763978401000,"metadata":{"uid":"e3"},"actor":{"app_name":"ci","app_uid":"a1"},"user":{"name":` +
			`"bert","uid":"u2","type":"User"},"api":{"operation":"x","response":{"code":13,"error":"Unauthorized"}},` +
			`"class_name":"Own"}`,
			"time=2025-11-24T10:00:01.000Z who=ci who_uid=a1 operation=x class=Own target_type=User target_name=bert " +
				"target_uid=u2 outcome=failure outcome_detail=Unauthorized event_uid=e3 log=" + log + " entry=7"},
		{`{"time":1763978401000,"metadata":{"uid":"e4"},"resources":[{"name":"a","uid":"1"},{"name":"b","uid":"2"}]}`,
			"time=2025-11-24T10:00:01.000Z target_name=a,b target_uid=1,2 outcome=unknown event_uid=e4 log=" + log +
				" entry=7"},
		{`{"time":1763978401000,"actor":{"user":{"name":"","uid":""}},"user":{"name":"bert","uid":"u2"},"entity":{` +
			`"uid":""},"status_detail":"","status_code":"13"}`,
			"time=2025-11-24T10:00:01.000Z who=bert who_uid=u2 outcome=unknown outcome_detail=13 log=" + log + " entry=7"},
	} {
		for _, f := range []Format{CSV, Parquet} {
			names, rows := cellsOf(t, f, written(t, f, Options{}, Row{log, 7, []byte(test.event)}))
			var got []string
			for i, cell := range rows[0] {
				if cell != "" {
					got = append(got, names[i]+"="+cell)
				}
			}
			if !slices.Equal(names, Columns()) || strings.Join(got, " ") != test.want {
				t.Errorf("%s of %s:\n got %s\nwant %s", f, test.event, strings.Join(got, " "), test.want)
			}
		}
	}
}

// drawText draws texts that are difficult for formats.
func drawText(t *rapid.T) string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"=1+1", "+x", "-x", "@x", "\tx", "\rx", "\nx", `a"b`,
		"a,b", "a\r\nb", "", " ", "\u0000", "\u2028", "<b>&", "'", "é€😀", "null"})).Draw(t, "text")
}

// Files are read back as they were written, with any texts.
func TestFilesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := []string{"time", "a.b", `"odd, \"name\""`, "n", "on", "log", "entry", "event"}
		var rows []Row
		var want [][]string
		for i := range rapid.IntRange(0, 5).Draw(t, "rows") {
			a, b := drawText(t), drawText(t)
			odd, n := strings.ToValidUTF8(a, "\uFFFD"), rapid.Int64().Draw(t, "n")
			line, err := json.Marshal(map[string]any{"time": 1763978401000 + i, "a": []any{map[string]any{"b": b}},
				`odd, "name"`: odd, "n": n, "on": true})
			if err != nil {
				t.Fatal(err)
			}
			entry := rapid.Int64Range(-1, 5).Draw(t, "entry")
			shown := ""
			if entry >= 0 {
				shown = fmt.Sprint(entry)
			}
			rows = append(rows, Row{log, entry, line})
			want = append(want, []string{fmt.Sprintf("2025-11-24T10:00:01.%03dZ", i), strings.ToValidUTF8(b, "\uFFFD"), odd,
				strconv.FormatInt(n, 10), "true", log, shown, string(line)})
		}
		for _, f := range []Format{CSV, Parquet} {
			names, got := cellsOf(t, f, written(t, f, Options{Columns: columns, Raw: true}, rows...))
			same := func(a, b string) bool {
				if f == CSV { // CSV readers replace \r\n by \n
					b = strings.ReplaceAll(b, "\r\n", "\n")
				}
				return a == b
			}
			if !slices.Equal(names, columns) || !slices.EqualFunc(got, want, func(a, b []string) bool {
				return slices.EqualFunc(a, b, same)
			}) {
				t.Fatalf("%s: %q, want %q", f, got, want)
			}
		}
		lines := written(t, NDJSON, Options{}, rows...)
		for i, r := range rows {
			var v struct {
				Log   string
				Index *int64
				Event json.RawMessage
			}
			line, rest, _ := bytes.Cut(lines, []byte("\n"))
			lines = rest
			if err := json.Unmarshal(line, &v); err != nil || v.Log != log || !bytes.Equal(v.Event, r.Line) ||
				(v.Index == nil) != (r.Entry < 0) {
				t.Fatalf("line %d: %s: %v", i, line, err)
			}
		}
	})
}

// sourcesOf returns the fields from which the usual columns come, without time.
func sourcesOf() (all []string) {
	for _, fields := range sources {
		if slices.Contains(query.Aliases(), fields[0]) {
			for _, s := range query.AliasSources(query.Field(fields[0])) {
				all = append(all, string(s.Field))
			}
			continue
		}
		for _, f := range fields {
			all = append(all, strings.TrimLeft(f, "+-"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// valueAt returns the value of a field of an event, as text.
func valueAt(event map[string]any, field string) string {
	var v any = event
	for name := range strings.SplitSeq(field, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// A column for which the query language has an alias agrees with the alias. Another column has the first of its fields
// that is not empty.
func TestUsualColumnsAgreeWithTheQueryLanguage(t *testing.T) {
	people := []string{"actor.user.name", "actor.app_name", "user.name", "user.uid", "user.type"}
	fields := rapid.OneOf(rapid.SampledFrom(sourcesOf()), rapid.SampledFrom(people))
	rapid.Check(t, func(t *rapid.T) {
		event := map[string]any{"time": 1763978401000}
		for _, field := range rapid.SliceOfN(fields, 0, 10).Draw(t, "fields") {
			at, names := event, strings.Split(field, ".")
			for _, name := range names[:len(names)-1] {
				if at[name] == nil {
					at[name] = map[string]any{}
				}
				at = at[name].(map[string]any)
			}
			at[names[len(names)-1]] = rapid.SampledFrom([]any{"", "a", "b", "failure", 1, 2, 3002, true}).Draw(t, field)
		}
		line, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		var aliases []query.Field
		for _, alias := range query.Aliases() {
			aliases = append(aliases, query.Field(alias))
		}
		x := query.NewExtract(aliases...)
		if err := x.Read(line); err != nil {
			t.Fatal(err)
		}
		hasActor := slices.ContainsFunc(actor, func(f string) bool { return valueAt(event, f) != "" })
		want := func(column string) string {
			for _, f := range sources[column] {
				if i := slices.Index(query.Aliases(), f); i >= 0 {
					return joined(x.Values(i))
				}
				if f[0] == '+' && !hasActor || f[0] == '-' && hasActor {
					continue
				}
				if text := valueAt(event, strings.TrimLeft(f, "+-")); text != "" {
					return text
				}
			}
			return ""
		}
		for _, f := range []Format{CSV, Parquet} {
			names, rows := cellsOf(t, f, written(t, f, Options{Raw: true}, Row{log, 7, line}))
			for i, name := range names {
				if sources[name] != nil && rows[0][i] != want(name) {
					t.Fatalf("%s of %s is %q in %s, want %q", name, line, rows[0][i], f, want(name))
				}
			}
		}
	})
}

func TestLinesOfColumns(t *testing.T) {
	data := written(t, NDJSON, Options{Columns: []string{"who", "entry", "a.b", "event"}},
		Row{log, 3, []byte(`{"time":1,"actor":{"user":{"name":"<anna>"}}}`)})
	want := `{"who":"<anna>","entry":3,"event":{"time":1,"actor":{"user":{"name":"<anna>"}}}}` + "\n"
	if string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
}

// A spreadsheet does not treat a cell as a formula, unless Raw is set.
func TestCellsAreNoFormulas(t *testing.T) {
	for _, text := range []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\tx", "\rx", "\nx"} {
		line, err := json.Marshal(map[string]string{"x": text})
		if err != nil {
			t.Fatal(err)
		}
		for raw, want := range map[bool]string{false: "'" + text, true: text} {
			_, rows := cellsOf(t, CSV, written(t, CSV, Options{Columns: []string{"x"}, Raw: raw}, Row{log, 0, line}))
			if rows[0][0] != want {
				t.Errorf("%q with raw=%t: %q, want %q", text, raw, rows[0][0], want)
			}
		}
	}
	if data := written(t, CSV, Options{BOM: true}); !bytes.HasPrefix(data, []byte("\xef\xbb\xbftime,who,")) {
		t.Errorf("with a byte-order mark: %.20q", data)
	}
}

// A row is written even if all of its cells are empty.
func TestEmptyRowsAreRows(t *testing.T) {
	rows := []Row{{log, 0, []byte(`{"y":1}`)}, {log, 1, []byte(`{"x":"a"}`)}, {log, 2, []byte(`{"x":""}`)}}
	for _, f := range []Format{CSV, Parquet} {
		_, got := cellsOf(t, f, written(t, f, Options{Columns: []string{"x"}}, rows...))
		if fmt.Sprintf("%q", got) != `[[""] ["a"] [""]]` {
			t.Errorf("%s: %q", f, got)
		}
	}
	got := written(t, NDJSON, Options{Columns: []string{"x"}}, rows...)
	if string(got) != "{}\n{\"x\":\"a\"}\n{\"x\":\"\"}\n" {
		t.Errorf("%s", got)
	}
}

func TestBadColumnsAreRefused(t *testing.T) {
	for _, columns := range [][]string{{"who", "a b"}, {""}, {"who,what"}, {"who", "who"}, {"a.*"}} {
		for _, f := range []Format{CSV, NDJSON, Parquet} {
			if _, err := New(f, io.Discard, Options{Columns: columns}); err == nil {
				t.Errorf("%s: %q is taken", f, columns)
			}
		}
	}
	if _, err := New("xml", io.Discard, Options{}); err == nil {
		t.Error("xml is taken for a format")
	}
}

// A Parquet file that was not closed is not valid, whatever part of it was written.
func TestParquetThatWasNotClosedIsInvalid(t *testing.T) {
	var b bytes.Buffer
	w, err := New(Parquet, &b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	line := event.Samples("w", "6a793f48c0eb9e7a17712c9a", time.Now())[0]
	for i := range groupRows + 10 {
		if err := w.Write(Row{log, int64(i), line}); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() == 0 {
		t.Fatal("nothing is written before the file is closed")
	}
	if _, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len())); err == nil {
		t.Error("a part is taken for a file")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for _, f := range []Format{CSV, NDJSON, Parquet} {
		w, err := New(f, io.Discard, Options{Columns: []string{"x", "event"}, Raw: true})
		if err != nil {
			t.Fatal(err)
		}
		var before, during runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		most := uint64(0)
		for i := range 200 { // 200 MiB
			line := fmt.Appendf(nil, `{"x":"%s%d"}`, strings.Repeat("x", 1<<20), i)
			if err := w.Write(Row{log, int64(i), line}); err != nil {
				t.Fatal(err)
			}
			if i%20 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&during)
				most = max(most, during.HeapAlloc-min(during.HeapAlloc, before.HeapAlloc))
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if most > 150<<20 {
			t.Errorf("%s keeps %d MiB", f, most>>20)
		}
	}
}

func FuzzWrite(f *testing.F) {
	for _, line := range event.Samples("w", "6a793f48c0eb9e7a17712c9a", time.Unix(1763978401, 0)) {
		f.Add(line)
	}
	f.Add([]byte(`{"time":"x","actor":[],"entity":{"name":[{}]}}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, format := range []Format{CSV, NDJSON, Parquet} {
			w, err := New(format, io.Discard, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if w.Write(Row{log, 0, line}) == nil {
				if err := w.Close(); err != nil {
					t.Errorf("%s: %v", format, err)
				}
			}
		}
	})
}
