package export

import (
	"io"
	"reflect"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Bounds of a row group, which is kept in memory until it is full.
const (
	groupRows  = 50_000
	groupBytes = 16 << 20
)

// parquetWriter writes a Parquet file. Columns are text, except time, a timestamp in milliseconds (UTC), and entry, an
// integer.
type parquetWriter struct {
	w     *parquet.GenericWriter[any]
	table *table
	row   parquet.Row
	rows  int
	bytes int
}

func newParquet(w io.Writer, t *table) Writer {
	options := []parquet.WriterOption{parquet.NewSchema("events", ordered(t)), parquet.CreatedBy("weir", "1", ""),
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault})}
	for i, name := range t.names {
		if kind := t.columns[i].kind; kind != timeColumn && kind != entryColumn {
			// The writer would keep the least and the greatest text of each page until the end, and texts may be long.
			options = append(options, parquet.SkipPageBounds(name))
		}
	}
	return &parquetWriter{w: parquet.NewGenericWriter[any](w, options...), table: t}
}

// orderedGroup is a group whose columns are in the order of the table, not sorted by name.
type orderedGroup struct {
	parquet.Group
	columns []parquet.Field
}

func (g orderedGroup) Fields() []parquet.Field { return g.columns }

// namedNode is a column.
type namedNode struct {
	parquet.Node
	name string
}

func (n namedNode) Name() string { return n.name }

// Value is only used for rows that are structs.
func (n namedNode) Value(reflect.Value) reflect.Value { return reflect.Value{} }

func ordered(t *table) parquet.Node {
	g := orderedGroup{Group: parquet.Group{}}
	for i, name := range t.names {
		node := parquet.String()
		switch t.columns[i].kind {
		case timeColumn:
			node = parquet.Timestamp(parquet.Millisecond)
		case entryColumn:
			node = parquet.Int(64)
		case eventColumn:
			node = parquet.JSON()
		}
		node = parquet.Optional(node)
		g.Group[name] = node
		g.columns = append(g.columns, namedNode{node, name})
	}
	return g
}

func (p *parquetWriter) Write(r Row) error {
	if err := p.table.extract.Read(r.Line); err != nil {
		return err
	}
	p.row = p.row[:0]
	for i := range p.table.columns {
		v := p.value(&p.table.columns[i], r)
		defined := 1
		if v.IsNull() {
			defined = 0
		}
		p.row = append(p.row, v.Level(0, defined, i))
	}
	if _, err := p.w.WriteRows([]parquet.Row{p.row}); err != nil {
		return err
	}
	p.rows++
	if p.rows < groupRows && p.bytes < groupBytes {
		return nil
	}
	p.rows, p.bytes = 0, 0
	return p.w.Flush()
}

func (p *parquetWriter) value(c *column, r Row) parquet.Value {
	switch c.kind {
	case logColumn:
		return p.text(r.Log)
	case eventColumn:
		p.bytes += len(r.Line)
		return parquet.ByteArrayValue(r.Line)
	case entryColumn:
		if r.Entry < 0 {
			return parquet.NullValue()
		}
		return parquet.Int64Value(r.Entry)
	}
	text, ok := p.table.values(c)
	if !ok {
		return parquet.NullValue()
	}
	if c.kind == timeColumn {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return parquet.NullValue() // no event has such a time
		}
		return parquet.Int64Value(ms)
	}
	return p.text(text)
}

func (p *parquetWriter) text(s string) parquet.Value {
	p.bytes += len(s)
	return parquet.ByteArrayValue([]byte(s))
}

func (p *parquetWriter) Close() error { return p.w.Close() }
