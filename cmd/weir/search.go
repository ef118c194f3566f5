package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/export"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/visible"
)

// questionFlags select events.
type questionFlags struct {
	project, start, end string
	logs                []string
	retry               time.Duration
}

func (f *questionFlags) add(cmd *cobra.Command) {
	addServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringArrayVar(&f.logs, "log", nil, "`id` of a log to look in, such as that of a deleted workspace; "+
		"may be repeated")
	cmd.Flags().StringVar(&f.start, "start", "", "from this `time` on: a date (2026-11-01, in UTC), RFC 3339, how "+
		"long ago (7d, now-1d, 12h), or seconds since the epoch (default: 30 days ago)")
	cmd.Flags().StringVar(&f.end, "end", "", "up to this `time`, its second or day included (default: now)")
	cmd.Flags().DurationVar(&f.retry, "max-retry-time", 2*time.Minute, "how long a failed request is tried again")
}

// connect returns a client, and the question of a workspace (which may be empty), a query and the flags.
func (f *questionFlags) connect(cmd *cobra.Command, workspace, text string) (*client.Client, client.Question, error) {
	q := client.Question{Text: text, Logs: f.logs}
	if _, err := query.Parse(text); err != nil {
		return nil, q, &exit{2, fmt.Errorf("%s\n%w", text, err)}
	}
	if workspace != "" && len(f.logs) > 0 {
		return nil, q, &exit{2, errors.New("name a workspace, or logs with --log")}
	}
	dates := downloadFlags{start: f.start, end: f.end}
	var err error
	if q.Query, err = dates.query(time.Now()); err != nil {
		return nil, q, &exit{2, err}
	}
	c, project, err := connect(cmd, f.project)
	if err != nil {
		return nil, q, err
	}
	q.Project = project
	switch {
	case workspace != "":
		if q.Logs, err = f.logsOf(cmd, c, project, workspace); err == nil && len(q.Logs) == 0 {
			err = &exit{4, fmt.Errorf("there is no workspace %q in this project", workspace)}
		}
	case workspaceName.MatchString(text):
		if logs, err := f.logsOf(cmd, c, project, text); err == nil && len(logs) > 0 {
			visible.Printf(cmd.ErrOrStderr(), "this looks for the word %s everywhere; for the workspace %s write: %s %s ''\n",
				text, text, cmd.CommandPath(), text)
		}
	}
	return c, q, err
}

// workspaceName matches names of workspaces. A query of one word may match too.
var workspaceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (f *questionFlags) logsOf(cmd *cobra.Command, c *client.Client, project, workspace string) (logs []string,
	err error) {
	err = f.try(cmd, c, func() (err error) {
		logs, err = c.LogsOf(cmd.Context(), project, workspace)
		return err
	})
	return logs, err
}

func (f *questionFlags) try(cmd *cobra.Command, c *client.Client, do func() error) error {
	return client.Retry(cmd.Context(), client.RetryOptions{Most: f.retry, Waiting: waiting(cmd, c)}, do)
}

// workspaceAndQuery splits the arguments [WORKSPACE] [QUERY]. Without a query, all events match.
func workspaceAndQuery(args []string) (workspace, text string) {
	switch len(args) {
	case 1:
		text = args[0]
	case 2:
		workspace, text = args[0], args[1]
	}
	return workspace, text
}

// outputFlags select the output of events.
type outputFlags struct {
	fields []string
	format string
}

// add adds the flags. formats lists the values of --output.
func (f *outputFlags) add(cmd *cobra.Command, formats string) {
	cmd.Flags().StringSliceVar(&f.fields, "fields", usualFields, "columns: `fields` of events and aliases")
	cmd.Flags().StringVarP(&f.format, "output", "o", "table", formats)
}

// printer returns a printer for the flags.
func (f *outputFlags) printer(cmd *cobra.Command) (eventPrinter, error) {
	names := strings.Join(f.fields, ",")
	fields, err := query.ParseFields(names)
	if err != nil {
		return nil, &exit{2, fmt.Errorf("--fields %s: %w", names, err)}
	}
	out, err := newEventPrinter(f.format, cmd.OutOrStdout(), fields)
	if err != nil {
		return nil, &exit{2, err}
	}
	return out, nil
}

// usualFields are the default columns of events.
var usualFields = []string{"time", "who", "from", "what", "target", "outcome"}

type searchFlags struct {
	questionFlags
	outputFlags
	limit       int
	all, oldest bool
	proof       string // name of a file
	keys        []string
}

func searchCommand() *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use:   "search [WORKSPACE] QUERY",
		Short: "Find events (weir only)",
		Long: `Search prints the events that a query finds: of a workspace, or of all logs of the project that you
may read. The newest come first. docs/search.md describes the query language; an empty query finds all.

Without --output it prints a table. With -o ndjson it prints {"log","index","event"} for each event, as
the server sends it. -o json prints the same in an array; -o csv prints the columns.

With --proof FILE it prints nothing. It writes the events as they were recorded to FILE, a gzip file, and
to FILE.proof a proof that each of them is an entry of its log; "weir verify FILE" checks it. The proof does
not show that no event was left out. "weir prove FILE" completes it with events that are not sequenced yet.
` + exitHelp,
		Example: `  weir search prod 'who:admin.* outcome:failure' --start 7d
  weir search 'from:203.0.113.0/24 -what:authenticate' --all -o csv > found.csv
  weir search '"6a7941c22c88faeba59c580d"' --oldest --limit 1 -o ndjson | jq .event
  weir search prod 'target:orders-*' --fields time,who,what,status_detail
  weir search prod 'who:anna outcome:failure' --all --proof anna.gz && weir verify anna.gz`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			workspace, text := workspaceAndQuery(args)
			if f.limit < 1 {
				return &exit{2, errors.New("--limit must be at least 1")}
			}
			if f.proof != "" {
				return f.prove(cmd, workspace, text)
			}
			return f.run(cmd, workspace, text)
		},
	}
	f.questionFlags.add(cmd)
	addKeyFlag(cmd, &f.keys)
	cmd.Flags().StringVar(&f.proof, "proof", "", "`file` to write the events to, with a proof, FILE.proof, for \"weir "+
		"verify\"")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "maximum number of events to print")
	cmd.Flags().BoolVar(&f.all, "all", false, "print all events")
	cmd.Flags().BoolVar(&f.oldest, "oldest", false, "the oldest first")
	f.outputFlags.add(cmd, "table, csv, json or ndjson")
	return cmd
}

func (f *searchFlags) run(cmd *cobra.Command, workspace, text string) error {
	out, err := f.printer(cmd)
	if err != nil {
		return err
	}
	c, q, err := f.connect(cmd, workspace, text)
	if err != nil {
		return err
	}
	found, err := f.each(cmd, c, q, out)
	if err != nil {
		return err
	}
	if err := out.end(); err != nil {
		return err
	}
	if found == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no events")
	}
	return nil
}

// mostPerPage is the number of events in a request.
const mostPerPage = 1000

// each prints the events page by page.
func (f *searchFlags) each(cmd *cobra.Command, c *client.Client, q client.Question, out eventPrinter) (int, error) {
	found, cursor := 0, ""
	for {
		limit := mostPerPage
		if !f.all {
			limit = min(limit, f.limit-found)
		}
		var p *client.Page
		err := f.try(cmd, c, func() (err error) {
			p, err = c.Find(cmd.Context(), q, f.oldest, limit, cursor)
			return err
		})
		if err != nil {
			return found, err
		}
		if err := out.page(p.Results); err != nil {
			return found, err
		}
		printHints(cmd, p.Hints)
		found, cursor = found+len(p.Results), p.Cursor
		switch {
		case cursor == "":
			return found, nil
		case !f.all && found >= f.limit:
			visible.Printf(cmd.ErrOrStderr(), "there are more: --limit %d or --all shows them\n", 10*f.limit)
			return found, nil
		}
	}
}

// printHints reports the fields of a query that no event has.
func printHints(cmd *cobra.Command, hints []client.Hint) {
	for _, h := range hints {
		text := "no event has the field " + h.Field
		if len(h.Near) > 0 {
			text += "; did you mean " + strings.Join(h.Near, " or ") + "?"
		}
		visible.Printf(cmd.ErrOrStderr(), "%s\n", text)
	}
}

// eventPrinter prints events.
type eventPrinter interface {
	page([]client.Found) error
	end() error
}

// newEventPrinter returns a printer for a format. Characters in events cannot affect a terminal.
func newEventPrinter(format string, w io.Writer, fields []query.Field) (eventPrinter, error) {
	if !onTerminal() {
		w = raw(w)
	}
	cells := cellReader{query.NewExtract(fields...), fields}
	switch format {
	case "table":
		return &tablePrinter{cells: cells, w: w, colours: onTerminal() && os.Getenv("NO_COLOR") == ""}, nil
	case "csv":
		var columns []string
		for _, f := range fields {
			columns = append(columns, string(f))
		}
		return newRowPrinter(export.CSV, w, append(columns, "log", "entry")...)
	case "ndjson":
		return newRowPrinter(export.NDJSON, w)
	case "json":
		return &arrayPrinter{w: bufio.NewWriter(w)}, nil
	}
	return nil, fmt.Errorf("--output %s: want table, csv, json or ndjson", format)
}

func onTerminal() bool { return term.IsTerminal(int(os.Stdout.Fd())) }

// cellReader reads the columns of an event.
type cellReader struct {
	extract *query.Extract
	fields  []query.Field
}

func (r *cellReader) read(event json.RawMessage) ([]string, error) {
	if err := r.extract.Read(event); err != nil {
		return nil, fmt.Errorf("the server's reply: %w", err)
	}
	cells := make([]string, len(r.fields))
	for i, f := range r.fields {
		var texts []string
		for _, v := range r.extract.Values(i) {
			texts = append(texts, v.Text)
		}
		cells[i] = strings.Join(texts, ",")
		if f != "time" {
			continue
		}
		if ms, err := strconv.ParseInt(cells[i], 10, 64); err == nil {
			cells[i] = time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		}
	}
	return cells, nil
}

// tablePrinter prints a table page by page. A column is as wide as its widest cell so far.
type tablePrinter struct {
	cells   cellReader
	w       io.Writer
	colours bool
	widths  []int // of columns, in characters; nil before the first output
}

func (p *tablePrinter) page(events []client.Found) error {
	if len(events) == 0 {
		return nil
	}
	var rows [][]string
	if p.widths == nil {
		p.widths = make([]int, len(p.cells.fields))
		var names []string
		for _, f := range p.cells.fields {
			names = append(names, strings.ToUpper(string(f)))
		}
		rows = append(rows, names)
	}
	for _, e := range events {
		cells, err := p.cells.read(e.Event)
		if err != nil {
			return err
		}
		for i, cell := range cells {
			cells[i] = visible.Text(cmp.Or(cell, "-"))
		}
		rows = append(rows, cells)
	}
	text := p.lines(rows)
	w := p.w
	if p.colours {
		w = raw(w) // everything except weir's own text is visible already
		text = coloured.Replace(text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// lines formats rows with at least two spaces after each cell.
func (p *tablePrinter) lines(rows [][]string) string {
	for _, row := range rows {
		for i, cell := range row {
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var lines strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&lines, "%-*s  ", p.widths[i], cell)
		}
		lines.WriteByte('\n')
	}
	return lines.String()
}

func (p *tablePrinter) end() error { return nil }

// coloured colours outcomes. Cells are followed by at least two spaces.
var coloured = strings.NewReplacer("  failure  ", "  \x1b[31mfailure\x1b[0m  ", "  success  ",
	"  \x1b[32msuccess\x1b[0m  ")

// rowPrinter prints events in an export format.
type rowPrinter struct {
	buffer *bufio.Writer
	rows   export.Writer
}

func newRowPrinter(f export.Format, w io.Writer, columns ...string) (eventPrinter, error) {
	p := &rowPrinter{buffer: bufio.NewWriter(w)}
	var err error
	p.rows, err = export.New(f, p.buffer, export.Options{Columns: columns})
	return p, err
}

func (p *rowPrinter) page(events []client.Found) error {
	for _, e := range events {
		r := export.Row{Log: e.Log, Entry: -1, Line: e.Event}
		if e.Index != nil {
			r.Entry = *e.Index
		}
		if err := p.rows.Write(r); err != nil {
			return err
		}
	}
	return p.buffer.Flush()
}

func (p *rowPrinter) end() error { return errors.Join(p.rows.Close(), p.buffer.Flush()) }

// arrayPrinter prints events as the server sends them, in an array.
type arrayPrinter struct {
	w     *bufio.Writer
	count int
}

func (p *arrayPrinter) page(events []client.Found) error {
	for _, e := range events {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false) // the event has the bytes that were recorded
		if err := encoder.Encode(e); err != nil {
			return err
		}
		data := bytes.TrimSuffix(line.Bytes(), []byte("\n"))
		separator := ",\n"
		if p.count == 0 {
			separator = "[\n"
		}
		p.count++
		p.w.WriteString(separator) // an error stays until Flush
		p.w.Write(data)
	}
	return p.w.Flush()
}

func (p *arrayPrinter) end() error {
	if p.count == 0 {
		p.w.WriteString("[")
	}
	p.w.WriteString("\n]\n")
	return p.w.Flush()
}
