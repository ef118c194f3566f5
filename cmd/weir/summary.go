package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/visible"
)

type summaryFlags struct {
	questionFlags
	client.Outline
	output string
}

func summaryCommand() *cobra.Command {
	var f summaryFlags
	cmd := &cobra.Command{
		Use:   "summary [WORKSPACE] [QUERY]",
		Short: "Count events: in all, by time, and by who, what and other fields (weir only)",
		Long: `Summary counts the events that a query finds: of a workspace, or of all logs of the project that you
may read. A single argument is the query, or nothing to count all events. The counts are exact over the whole range.
` + exitHelp,
		Example: `  weir summary prod '' --by who,what
  weir summary 'outcome:failure' --start 90d --by from --top 20
  weir summary prod 'class:authentication' --buckets 24 --time-zone Europe/Berlin -o json`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			workspace, text := workspaceAndQuery(args)
			return f.run(cmd, workspace, text)
		},
	}
	f.add(cmd)
	cmd.Flags().StringSliceVar(&f.Facets, "by", nil, "count by `fields` of events and aliases")
	cmd.Flags().IntVar(&f.Top, "top", 10, "maximum number of values shown for each field")
	cmd.Flags().IntVar(&f.Bars, "buckets", 30, "maximum number of bars of time")
	cmd.Flags().StringVar(&f.Zone, "time-zone", "UTC", "`name` of the time zone in which days begin")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "text, or json: the API's reply")
	return cmd
}

func (f *summaryFlags) run(cmd *cobra.Command, workspace, text string) error {
	if f.output != "text" && f.output != "json" {
		return &exit{2, fmt.Errorf("--output %s: want text or json", f.output)}
	}
	if f.Top < 1 || f.Bars < 1 {
		return &exit{2, errors.New("--top and --buckets must both be at least 1")}
	}
	c, q, err := f.connect(cmd, workspace, text)
	if err != nil {
		return err
	}
	var s *client.Summary
	var reply []byte
	err = f.try(cmd, c, func() (err error) {
		s, reply, err = c.Summarize(cmd.Context(), q, f.Outline)
		return err
	})
	if err != nil {
		return err
	}
	if f.output == "json" {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", reply)
		return err
	}
	printHints(cmd, s.Hints)
	return printSummary(cmd.OutOrStdout(), s)
}

const widestBar = 40 // characters

func printSummary(w io.Writer, s *client.Summary) error {
	visible.Printf(w, "%d events from %s to %s\n", s.Total, s.Start, s.End)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, count, most int64) {
		bar := ""
		if count > 0 {
			bar = strings.Repeat("█", int(max(1, count*widestBar/most)))
		}
		fmt.Fprintf(t, "%s\t%d\t%s\n", visible.Text(name), count, bar)
	}
	most := int64(1)
	for _, bar := range s.Histogram {
		most = max(most, bar.Count)
	}
	fmt.Fprintln(t)
	for _, bar := range s.Histogram {
		row(strings.Replace(bar.Start, ".000", "", 1), bar.Count, most)
	}
	for _, facet := range s.Facets {
		fmt.Fprintf(t, "\n%s\n", strings.ToUpper(visible.Text(facet.Field)))
		if facet.TooMany {
			fmt.Fprintln(t, "too many different values to count")
			continue
		}
		most := max(1, facet.Other, facet.Missing)
		for _, v := range facet.Values {
			most = max(most, v.Count)
		}
		for _, v := range facet.Values {
			row(fmt.Sprint(v.Value), v.Count, most)
		}
		if facet.Other > 0 {
			row("(other)", facet.Other, most)
		}
		if facet.Missing > 0 {
			row("(none)", facet.Missing, most)
		}
	}
	return t.Flush()
}
