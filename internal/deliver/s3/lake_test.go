package s3

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/event"
)

// sampleEvents returns a day's events of several classes, in an order that is not that of their times.
func sampleEvents(n int) (batch []deliver.Event) {
	until := time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)
	lines := event.Samples("orders", "6a793f48c0eb9e7a17712f01", until)
	for i := range n {
		line := lines[(i*7)%30]
		var of struct{ Time int64 }
		if err := json.Unmarshal(line, &of); err != nil {
			panic(err)
		}
		batch = append(batch, deliver.Event{Log: log, Name: "orders", Index: int64(100 + i), Time: of.Time, Line: line})
	}
	return batch
}

// A batch becomes a file for each class and day, as Security Lake's rules have it, and again the same ones.
func TestFilesOfTheLake(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	s := &store{}
	sink := start(t, s, Settings{Prefix: "ext", Format: Parquet, Region: "eu-central-1", Account: "123456789012"})
	batch := sampleEvents(100)
	if refused, err := sink.Send(t.Context(), batch); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	all := s.objects(t)
	if _, err := sink.Send(t.Context(), batch); err != nil || fmt.Sprint(s.objects(t)) != fmt.Sprint(all) {
		t.Errorf("what is sent again is another file: %v", err)
	}
	rows := 0
	for name, data := range all {
		class, rest, _ := strings.Cut(strings.TrimPrefix(name, "ext/weir_"), "/")
		day, file, _ := strings.Cut(strings.TrimPrefix(rest, "region=eu-central-1/accountId=123456789012/eventDay="), "/")
		if file != log+"-0000000000000000100-0000000000000000199.parquet" {
			t.Errorf("a file has the name %s", name)
		}
		lines := readTable(t, []byte(data))
		rows += len(lines)
		var last int64
		for _, line := range lines {
			var e struct {
				Time  int64
				Class int64 `json:"class_uid"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || fmt.Sprint(e.Class) != class || e.Time < last ||
				time.UnixMilli(e.Time).UTC().Format("20060102") != day {
				t.Fatalf("%v: %s is not in its place in %s", err, line, name)
			}
			last = e.Time
		}
	}
	if rows != len(batch) || len(all) < 2 {
		t.Errorf("%d rows of %d events in %d files", rows, len(batch), len(all))
	}
}

// readTable reads a file back, compares each column with what the events have there, and returns the events.
func readTable(t *testing.T, data []byte) (lines []string) {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	paths := file.Schema().Columns()
	raw := slices.IndexFunc(paths, func(p []string) bool { return len(p) == 1 && p[0] == "raw_data" })
	var kinds []parquet.Kind
	for _, path := range paths {
		leaf, _ := file.Schema().Lookup(path...)
		kinds = append(kinds, leaf.Node.Type().Kind())
	}
	r := parquet.NewReader(file)
	defer r.Close()
	for buf := make([]parquet.Row, 1); ; {
		n, err := r.ReadRows(buf)
		if n == 1 {
			cells := make([][]string, len(paths))
			for _, v := range buf[0] {
				if !v.IsNull() {
					cells[v.Column()] = append(cells[v.Column()], v.String())
				}
			}
			compare(t, paths, kinds, cells, cells[raw][0])
			lines = append(lines, cells[raw][0])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func compare(t *testing.T, paths [][]string, kinds []parquet.Kind, cells [][]string, line string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var of map[string]any
	if err := d.Decode(&of); err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		switch name := strings.Join(path, "."); name {
		case "raw_data", "time", "time_dt":
			continue
		default:
			left := cells[i]
			for _, v := range valuesAt(of, path) {
				if len(left) > 0 && same(left[0], v) {
					left = left[1:]
				} else if fits(kinds[i], v) {
					t.Fatalf("column %s is %q, and has no %v of %s", name, cells[i], v, line)
				}
			}
			if len(left) > 0 {
				t.Fatalf("column %s is %q, and %s has no such", name, cells[i], line)
			}
		}
	}
}

// valuesAt returns what an event has at the path of a column. It is of the list's type wherever the path says so.
func valuesAt(of any, path []string) (all []any) {
	switch {
	case len(path) == 0:
		return []any{of}
	case path[0] == "list" && len(path) > 1 && path[1] == "element":
		list, _ := of.([]any)
		for _, element := range list {
			all = append(all, valuesAt(element, path[2:])...)
		}
		return all
	}
	object, _ := of.(map[string]any)
	value, ok := object[path[0]]
	if !ok {
		return nil
	}
	return valuesAt(value, path[1:])
}

// same tells whether a cell shows a value.
func same(cell string, v any) bool {
	if text, ok := v.(string); ok && text == cell {
		return true
	}
	var shown any
	d := json.NewDecoder(strings.NewReader(cell))
	d.UseNumber()
	return d.Decode(&shown) == nil && fmt.Sprint(shown) == fmt.Sprint(v)
}

// fits tells whether a value must be in a column of a kind. Whether an object is, depends on how OCSF describes it.
func fits(kind parquet.Kind, v any) bool {
	switch v := v.(type) {
	case string:
		return kind == parquet.ByteArray
	case bool:
		return kind == parquet.Boolean
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return err == nil && (kind == parquet.Int64 || kind == parquet.Int32 && n == int64(int32(n)))
	}
	return false
}

// The values of an event are those of its row, attribute by attribute.
func TestValuesOfARow(t *testing.T) {
	line := `{"class_uid":6003,"time":1763978401002,"activity_id":2,"metadata":{"uid":"u","product":{"name":"weir"},` +
		`"profiles":["cloud","host"],"logged_time":1763978401003},"actor":{"user":{"name":"anna","type_id":1,"groups":[` +
		`{"name":"a"},{"uid":"2"}]},"session":{"is_mfa":true}},"src_endpoint":{"ip":"192.0.2.7","port":50123,` +
		`"intermediate_ips":[]},"api":{"operation":"drop","request":{"data":{"a":[1,"b"]}},"response":{"code":13}},` +
		`"resources":[{"name":"p","type":"T"},{"name":"q"},7,{"uid":"r"}],"unmapped":{"x":1},"status_id":"wrong",` +
		`"count":99999999999,"other":1,"cloud":{"region":"x"}}`
	e := deliver.Event{Log: log, Time: 1763978401002, Line: []byte(line)}
	l := newLake(&Settings{})
	data, err := l.table(l.schema(6003), []*deliver.Event{&e})
	if err != nil {
		t.Fatal(err)
	}
	type named struct {
		Name *string `parquet:"name,optional"`
		UID  *string `parquet:"uid,optional"`
	}
	type row struct {
		Time     int64  `parquet:"time,optional"`
		Activity int32  `parquet:"activity_id,optional"`
		Status   *int32 `parquet:"status_id,optional"`
		Count    *int32 `parquet:"count,optional"`
		Metadata struct {
			UID      string   `parquet:"uid,optional"`
			Profiles []string `parquet:"profiles,optional,list"`
			Product  struct {
				Name string `parquet:"name,optional"`
			} `parquet:"product,optional"`
		} `parquet:"metadata,optional"`
		Actor struct {
			User struct {
				Groups []named `parquet:"groups,optional,list"`
			} `parquet:"user,optional"`
			Session struct {
				MFA bool `parquet:"is_mfa,optional"`
			} `parquet:"session,optional"`
		} `parquet:"actor,optional"`
		API struct {
			Request struct {
				Data string `parquet:"data,optional"`
			} `parquet:"request,optional"`
		} `parquet:"api,optional"`
		Resources []named `parquet:"resources,optional,list"`
		Unmapped  string  `parquet:"unmapped,optional"`
		Raw       string  `parquet:"raw_data,optional"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(data), int64(len(data)))
	if err != nil || len(rows) != 1 {
		t.Fatal(err, rows)
	}
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	r, groups, resources := rows[0], "", ""
	for _, g := range r.Actor.User.Groups {
		groups += text(g.Name) + text(g.UID) + " "
	}
	for _, g := range r.Resources {
		resources += text(g.Name) + text(g.UID) + " "
	}
	if r.Time != 1763978401002 || r.Activity != 2 || r.Status != nil || r.Count != nil || r.Metadata.UID != "u" ||
		!slices.Equal(r.Metadata.Profiles, []string{"cloud", "host"}) || r.Metadata.Product.Name != "weir" ||
		groups != "a- -2 " || !r.Actor.Session.MFA || r.API.Request.Data != `{"a":[1,"b"]}` || resources != "p- q- -r " ||
		r.Unmapped != `{"x":1}` || r.Raw != line {
		t.Errorf("%+v, groups %s, resources %s", r, groups, resources)
	}
}

// drawObject draws an object with attributes of OCSF, of their types or not.
func drawObject(t *rapid.T, attributes []event.Attribute, depth int) map[string]any {
	object := map[string]any{}
	for _, a := range rapid.SliceOfN(rapid.SampledFrom(attributes), 0, 6).Draw(t, "attributes") {
		value := func() any {
			below, known := event.ObjectAttributes(a.Type)
			if known && depth > 0 && rapid.IntRange(0, 4).Draw(t, "wrong") > 0 {
				return drawObject(t, below, depth-1)
			}
			return rapid.SampledFrom([]any{"", "é\u0000", int64(1), math.MaxInt64, -1, 1.5, true, nil, []any{1, "a"},
				map[string]any{}, json.Number("1e400")}).Draw(t, "value")
		}
		if object[a.Name] = value(); a.Array && rapid.Bool().Draw(t, "array") {
			list := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "elements") {
				list = append(list, value())
			}
			object[a.Name] = list
		}
	}
	return object
}

// Whatever an event is made of, its file can be read, and no column has what the event has not.
func TestAnyEventFits(t *testing.T) {
	l := newLake(&Settings{})
	for seed, class := range []int{0, 3001, 3002, 3004, 3005, 6002, 6003, 6005} {
		attributes, _ := event.ClassAttributes(int64(class))
		drawn := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []byte {
			line, err := json.Marshal(drawObject(t, attributes, 4))
			if err != nil {
				t.Fatal(err)
			}
			return line
		}), 20, 20).Example(seed)
		var batch []*deliver.Event
		for i, line := range drawn {
			batch = append(batch, &deliver.Event{Log: log, Index: int64(i), Time: int64(i), Line: line})
		}
		data, err := l.table(l.schema(int64(class)), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range readTable(t, data) {
			if line != string(batch[i].Line) {
				t.Fatalf("row %d is %s, want %s", i, line, batch[i].Line)
			}
		}
	}
}

// Pages have at most 1 MB, row groups at most 256 MB, and all is compressed by zstandard.
func TestSizesOfTheLake(t *testing.T) {
	batch := sampleEvents(300)
	l := newLake(&Settings{Source: "weir"})
	files, err := l.files(batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		file, err := parquet.OpenFile(bytes.NewReader(f.data), int64(len(f.data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Metadata().RowGroups {
			if g.TotalByteSize > 256<<20 {
				t.Errorf("a row group of %d bytes", g.TotalByteSize)
			}
			for _, c := range g.Columns {
				if c.MetaData.Codec.String() != "ZSTD" {
					t.Errorf("compressed by %v", c.MetaData.Codec)
				}
			}
		}
		for _, g := range file.RowGroups() {
			for _, c := range g.ColumnChunks() {
				pages := c.Pages()
				for {
					p, err := pages.ReadPage()
					if err != nil {
						break
					}
					if p.Size() > 1<<20 {
						t.Errorf("a page of %d bytes", p.Size())
					}
				}
				pages.Close()
			}
		}
	}
}

// A batch of more days than files can be written in time is too much at once.
func TestManyDays(t *testing.T) {
	batch := events(0, maxFiles+1)
	for i := range batch {
		batch[i].Time += int64(i) * (24 * time.Hour).Milliseconds()
	}
	l := newLake(&Settings{})
	if _, err := l.files(batch); !errors.Is(err, deliver.ErrTooMuch) {
		t.Error(err)
	}
	if files, err := l.files(batch[:3]); err != nil || len(files) != 3 {
		t.Error(len(files), err)
	}
	batch[0].Line = []byte(`{"class_uid":999999}`)
	if files, err := l.files(batch[:1]); err != nil || !strings.HasPrefix(files[0].name, "_0/") {
		t.Errorf("an unknown class: %v", err)
	}
}

// A line of any bytes becomes a row with values that the columns take. Writing the row, as TestAnyEventFits does, would
// cost a fuzz target seconds.
func FuzzRow(f *testing.F) {
	for _, e := range sampleEvents(3) {
		f.Add(e.Line)
	}
	f.Add([]byte(`{"resources":[[],{"name":1},{"labels":["a",1]}],"actor":{"user":[]}`))
	l := newLake(&Settings{})
	leaves := map[int64][]parquet.LeafColumn{}
	for _, class := range []int64{3002, 6003} {
		leaves[class] = leavesOf(l.schema(class))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for class, columns := range leaves {
			row := l.schema(class).row(&deliver.Event{Log: log, Line: line})
			if err := takes(columns, row); err != nil {
				t.Fatalf("class %d: %v", class, err)
			}
		}
	})
}

// leavesOf returns the columns of a schema, in order.
func leavesOf(s *schema) []parquet.LeafColumn {
	made := parquet.NewSchema("event", s.root.group())
	var all []parquet.LeafColumn
	for _, path := range made.Columns() {
		leaf, _ := made.Lookup(path...)
		all = append(all, leaf)
	}
	return all
}

// takes returns an error unless a row has values for each of the columns, of their types and within their levels.
func takes(columns []parquet.LeafColumn, row parquet.Row) error {
	next := 0
	var err error
	row.Range(func(column int, values []parquet.Value) bool {
		if column != next || column >= len(columns) || len(values) == 0 {
			err = fmt.Errorf("%d values of column %d, want some of column %d of %d", len(values), column, next, len(columns))
			return false
		}
		of := columns[next]
		for i, v := range values {
			whole := v.DefinitionLevel() == of.MaxDefinitionLevel
			if v.DefinitionLevel() > of.MaxDefinitionLevel || v.RepetitionLevel() > of.MaxRepetitionLevel ||
				(v.RepetitionLevel() == 0) != (i == 0) || v.IsNull() == whole ||
				whole && v.Kind() != of.Node.Type().Kind() {
				err = fmt.Errorf("value %d of %v: %+v", i, of.Path, v)
				return false
			}
		}
		next++
		return true
	})
	if err == nil && next != len(columns) {
		err = fmt.Errorf("%d of %d columns", next, len(columns))
	}
	return err
}

func BenchmarkLake(b *testing.B) {
	batch := sampleEvents(5000)
	l := newLake(&Settings{})
	for b.Loop() {
		if _, err := l.files(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "events/s")
}
