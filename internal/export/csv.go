package export

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// csvWriter writes CSV (RFC 4180) with a header.
type csvWriter struct {
	out   io.Writer
	w     *csv.Writer // to out
	table *table
	raw   bool
}

func newCSV(w io.Writer, t *table, o Options) (Writer, error) {
	if o.BOM {
		if _, err := io.WriteString(w, "\uFEFF"); err != nil {
			return nil, err
		}
	}
	c := &csvWriter{w, csv.NewWriter(w), t, o.Raw}
	return c, c.w.Write(t.names)
}

func (c *csvWriter) Write(r Row) error {
	cells, _, err := c.table.texts(r)
	if err != nil {
		return err
	}
	if !c.raw {
		for i, cell := range cells {
			cells[i] = harmless(cell)
		}
	}
	if len(cells) == 1 && cells[0] == "" {
		return c.writeEmpty()
	}
	return c.w.Write(cells)
}

// writeEmpty writes a row with one empty cell, in quotes, since readers skip empty lines.
func (c *csvWriter) writeEmpty() error {
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return err
	}
	_, err := io.WriteString(c.out, "\"\"\n")
	return err
}

func (c *csvWriter) Close() error {
	c.w.Flush()
	return c.w.Error()
}

// harmless adds an apostrophe before a cell that a spreadsheet would treat as a formula
// (https://owasp.org/www-community/attacks/CSV_Injection).
func harmless(cell string) string {
	if cell != "" && strings.IndexByte("=+-@\t\r\n", cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

// texts returns the cells of a row as text, and which of them exist. They are valid until the next call.
func (t *table) texts(r Row) (cells []string, has []bool, err error) {
	if err := t.extract.Read(r.Line); err != nil {
		return nil, nil, err
	}
	has = make([]bool, len(t.columns))
	for i := range t.columns {
		c := &t.columns[i]
		switch c.kind {
		case logColumn:
			t.cells[i], has[i] = r.Log, true
		case entryColumn:
			t.cells[i], has[i] = "", r.Entry >= 0
			if has[i] {
				t.cells[i] = strconv.FormatInt(r.Entry, 10)
			}
		case eventColumn:
			t.cells[i], has[i] = string(r.Line), true
		default:
			t.cells[i], has[i] = t.values(c)
			if ms, err := strconv.ParseInt(t.cells[i], 10, 64); err == nil && c.kind == timeColumn {
				t.cells[i] = time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
			}
		}
	}
	return t.cells, has, nil
}

// ndjsonWriter writes one JSON object on each line: the event, or if there is a table, the columns that the event has.
type ndjsonWriter struct {
	w     io.Writer
	table *table
	buf   []byte
}

func (n *ndjsonWriter) Write(r Row) error {
	n.buf = n.buf[:0]
	if n.table == nil {
		n.buf = append(append(append(n.buf, `{"log":"`...), r.Log...), `","index":`...)
		if r.Entry < 0 {
			n.buf = append(n.buf, "null"...)
		} else {
			n.buf = strconv.AppendInt(n.buf, r.Entry, 10)
		}
		n.buf = append(append(append(n.buf, `,"event":`...), r.Line...), "}\n"...)
	} else if err := n.columns(r); err != nil {
		return err
	}
	_, err := n.w.Write(n.buf)
	return err
}

func (n *ndjsonWriter) columns(r Row) error {
	cells, has, err := n.table.texts(r)
	if err != nil {
		return err
	}
	n.buf = append(n.buf, '{')
	for i, cell := range cells {
		if !has[i] {
			continue
		}
		if len(n.buf) > 1 {
			n.buf = append(n.buf, ',')
		}
		n.buf = append(appendString(n.buf, n.table.names[i]), ':')
		switch n.table.columns[i].kind {
		case entryColumn, eventColumn:
			n.buf = append(n.buf, cell...)
		default:
			n.buf = appendString(n.buf, cell)
		}
	}
	n.buf = append(n.buf, "}\n"...)
	return nil
}

func appendString(dst []byte, s string) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string cannot fail
	return append(dst, strings.TrimSuffix(b.String(), "\n")...)
}

func (n *ndjsonWriter) Close() error { return nil }
