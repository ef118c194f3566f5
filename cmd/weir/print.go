package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/weirlog/weir/internal/visible"
)

// column is a column of a table: its heading, and the paths of its value in the JSON, with dots between names. The
// first path that exists counts.
type column struct {
	heading string
	from    []string
}

func col(heading string, from ...string) column { return column{heading, from} }

func printList(w io.Writer, format string, items []json.RawMessage, columns []column) error {
	if format == "json" {
		data, err := json.MarshalIndent(items, "", "  ")
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", data)
		}
		return err
	}
	return printTable(w, items, columns)
}

func printOne(w io.Writer, format string, item json.RawMessage, columns []column) error {
	if format != "json" {
		return printTable(w, []json.RawMessage{item}, columns)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, item, "", "  "); err != nil {
		return fmt.Errorf("the server's reply: %w", err)
	}
	_, err := fmt.Fprintf(w, "%s\n", &indented)
	return err
}

func printTable(w io.Writer, items []json.RawMessage, columns []column) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for i, c := range columns {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, c.heading)
	}
	fmt.Fprintln(t)
	for _, item := range items {
		var v any
		d := json.NewDecoder(bytes.NewReader(item))
		d.UseNumber()
		if err := d.Decode(&v); err != nil && err != io.EOF {
			return fmt.Errorf("the server's reply: %w", err)
		}
		for i, c := range columns {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c.value(v))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func (c column) value(v any) string {
	for _, path := range c.from {
		if text := show(lookup(v, strings.Split(path, "."))); text != "" {
			return text
		}
	}
	return "-"
}

// lookup follows names into objects. In an array, it follows them into each element.
func lookup(v any, names []string) any {
	if len(names) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		return lookup(v[names[0]], names[1:])
	case []any:
		var all []any
		for _, element := range v {
			if found := lookup(element, names); found != nil {
				all = append(all, found)
			}
		}
		return all
	}
	return nil
}

// show formats a value for a cell, without characters that would break the table or affect the terminal.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		var parts []string
		for _, element := range v {
			parts = append(parts, show(element))
		}
		return strings.Join(parts, ",")
	case string:
		return visible.Text(v)
	}
	return fmt.Sprint(v)
}
