package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/export"
	"github.com/weirlog/weir/internal/visible"
)

type exportFlags struct {
	questionFlags
	client.ExportOptions
	output string
}

func exportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export [WORKSPACE] QUERY",
		Short: "Write all events that a query finds to a table: CSV, Parquet or lines of JSON (weir only)",
		Long: `Export writes all events that a query finds, the oldest first: of a workspace, or of all logs of the
project that you may read. The ending of the file name chooses the format, and whether it is compressed:
.csv, .ndjson, .parquet, .csv.gz, .ndjson.gz. The file gets its name only when it is whole.

The columns are time, who, who_uid, from_ip, operation, class, target_type, target_name, target_uid,
outcome, outcome_detail, session, event_uid, log, entry. --columns chooses others: any field or alias
of the query language, and event, the whole event. Lines of JSON are whole events without --columns.
` + exitHelp,
		Example: `  weir export prod 'outcome:failure' --start 90d -o failures.csv
  weir export 'who:admin.*' --start 2026-10-01 --end 2026-10-31 -o october.parquet
  weir export prod '' --columns time,who,status_detail,event -o - --format csv | head`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			workspace, text := workspaceAndQuery(args)
			return f.run(cmd, workspace, text)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "`file` to write, - for standard output")
	cmd.Flags().StringVar(&f.Format, "format", "", "csv, ndjson or parquet (default: by the ending of the file name)")
	cmd.Flags().StringSliceVar(&f.Columns, "columns", nil, "`names` of columns")
	cmd.Flags().BoolVar(&f.Raw, "raw", false, "do not escape cells that a spreadsheet would take for formulas")
	cmd.Flags().BoolVar(&f.BOM, "bom", false, "begin CSV with a byte-order mark, so that Excel reads it as UTF-8")
	return cmd
}

// formatOf returns the format by the extension of a file, and whether the file is to be compressed.
func formatOf(name string) (format string, compressed bool) {
	name, compressed = strings.CutSuffix(name, ".gz")
	for _, f := range export.Formats() {
		if strings.HasSuffix(name, "."+f) {
			return f, compressed
		}
	}
	return "", compressed
}

func (f *exportFlags) run(cmd *cobra.Command, workspace, text string) error {
	format, compressed := formatOf(f.output)
	if f.Format == "" {
		f.Format = format
	}
	switch {
	case f.output == "":
		return &exit{2, errors.New("name a file with --output, or - for standard output")}
	case !slices.Contains(export.Formats(), f.Format):
		return &exit{2, fmt.Errorf("the ending of %s names no format: give --format, one of %s", f.output,
			strings.Join(export.Formats(), ", "))}
	case compressed && f.Format == string(export.Parquet):
		return &exit{2, errors.New("a Parquet file is compressed already: leave .gz out")}
	}
	c, q, err := f.connect(cmd, workspace, text)
	if err != nil {
		return err
	}
	var e *client.Exported
	err = f.try(cmd, c, func() (err error) {
		e, err = c.Export(cmd.Context(), q, f.ExportOptions)
		return err
	})
	if err != nil {
		return err
	}
	defer e.Close()
	return f.save(cmd, e, compressed)
}

func (f *exportFlags) save(cmd *cobra.Command, e *client.Exported, compressed bool) error {
	write := func(w io.Writer) error {
		_, err := io.Copy(w, e)
		return err
	}
	if compressed {
		write = func(w io.Writer) error {
			z := gzip.NewWriter(w)
			if _, err := io.Copy(z, e); err != nil {
				return err
			}
			return z.Close()
		}
	}
	if f.output == "-" {
		return write(raw(cmd.OutOrStdout()))
	}
	progress, done := progressBar(-1)
	err := client.SaveFrom(f.output, client.SaveOptions{Progress: progress}, write)
	done()
	if err != nil {
		return fmt.Errorf("%w: %s was not written", err, f.output)
	}
	if e.Total >= 0 {
		visible.Printf(cmd.ErrOrStderr(), "%s: %d events when the export began\n", f.output, e.Total)
	}
	return nil
}
