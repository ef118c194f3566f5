package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/visible"
)

type tailFlags struct {
	questionFlags
	outputFlags
	last time.Duration
}

func tailCommand() *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail [WORKSPACE] [QUERY]",
		Short: "Print events as they are recorded (weir only)",
		Long: `Tail prints events that match a query as they are recorded: of a workspace, or of all logs of the
project that you may read. A single argument is the query, or nothing to print all. An interrupt ends it.

It prints only events that are recorded while it runs. If it misses some, because it was too slow or because
the connection was cut, it reports that on standard error; "weir follow" misses none.
` + exitHelp,
		Example: `  weir tail prod ''
  weir tail 'outcome:failure' --for 10m
  weir tail prod 'what:dropStreamProcessor' -o ndjson | notify-somebody`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			workspace, text := workspaceAndQuery(args)
			return f.run(cmd, workspace, text)
		},
	}
	f.questionFlags.add(cmd)
	f.outputFlags.add(cmd, "table, csv or ndjson")
	cmd.Flags().DurationVar(&f.last, "for", 0, "end after this `time`, such as 10m (default: never)")
	for _, dates := range []string{"start", "end"} { // a tail is about events from now on
		_ = cmd.Flags().MarkHidden(dates)
	}
	return cmd
}

func (f *tailFlags) run(cmd *cobra.Command, workspace, text string) error {
	if f.start != "" || f.end != "" {
		return &exit{2, errors.New("tail takes no --start and --end: it prints events as they are recorded; " +
			"\"weir search\" finds earlier ones")}
	}
	if f.format == "json" {
		return &exit{2, errors.New("--output json: want table, csv or ndjson")}
	}
	if f.last < 0 {
		return &exit{2, errors.New("--for must not be negative")}
	}
	out, err := f.printer(cmd)
	if err != nil {
		return err
	}
	c, q, err := f.connect(cmd, workspace, text)
	if err != nil {
		return err
	}
	q.Query = client.Query{}
	ctx := cmd.Context()
	if f.last > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.last)
		defer cancel()
	}
	if err := f.tail(ctx, cmd, c, q, out); err != nil && ctx.Err() == nil {
		return err
	}
	return out.end()
}

// again is the pause before a tail is opened again.
const again = time.Second

// tail prints events of one tail after another until ctx ends.
func (f *tailFlags) tail(ctx context.Context, cmd *cobra.Command, c *client.Client, q client.Question,
	out eventPrinter) error {
	read := ""
	for ctx.Err() == nil {
		t := teller{out: out, say: func(format string, args ...any) { visible.Printf(cmd.ErrOrStderr(), format, args...) }}
		begun := false
		err := client.Retry(ctx, client.RetryOptions{Most: f.retry, Waiting: failures(waiting(cmd, c))}, func() error {
			err := c.Tail(ctx, q, read, func(r string) { read, begun = r, true }, t.tell)
			if begun && t.printing == nil {
				return nil // the tail was open: its end is not a failure, and the next try has the full time
			}
			return err
		})
		if err != nil {
			return err
		}
		if t.ended == "time" {
			read = "" // the next try is another read
			continue
		}
		if ctx.Err() == nil {
			t.say("the connection was cut (%s); events are not shown until it is back\n", t.reason())
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil
}

// teller prints the messages of a tail.
type teller struct {
	out      eventPrinter
	say      func(format string, args ...any)
	ended    string // why the tail has ended; empty if it was interrupted
	behind   bool   // whether it was reported that the server cannot read the logs
	printing error  // error of printing
}

func (t *teller) reason() string {
	if t.ended == "" {
		return "the server gave no reason"
	}
	return t.ended
}

// behindBy is the age of the server's last read of the logs from which it is reported.
const behindBy = 30 * time.Second

func (t *teller) tell(told client.Told) error {
	if told.Log != "" {
		t.printing = t.out.page([]client.Found{told.Found})
		return t.printing
	}
	if told.Missed > 0 {
		t.say("%d events are not shown: they came faster than they were read\n", told.Missed)
	}
	t.ended = told.End
	beat, err := time.Parse(time.RFC3339, told.Heartbeat)
	upTo, upToErr := time.Parse(time.RFC3339, told.UpTo)
	if err != nil || upToErr != nil {
		return nil
	}
	if behind := beat.Sub(upTo) > behindBy; behind != t.behind {
		if t.behind = behind; behind {
			t.say("the server cannot read some of the logs since %s\n", told.UpTo)
		} else {
			t.say("the server can read all logs again\n")
		}
	}
	return nil
}
