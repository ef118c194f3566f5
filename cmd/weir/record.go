package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/visible"
)

type recordFlags struct {
	project, output string
	sender          client.Sender
	follow          bool
	state           string
}

// endless is how long --follow retries, since the server may return after any time.
const endless = 10 * 365 * 24 * time.Hour

func recordCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record WORKSPACE [FILE…]",
		Short: "Record audit events, one JSON object on each line",
		Long: `Record sends the lines of the files, or of standard input, to the audit log of a workspace. Text is
UTF-8; files may be gzip. Failed requests are tried again; an event is recorded once, however often it was
sent. When it is interrupted (SIGINT, SIGTERM), it sends the lines that it has read, and names those that it
could not send. WEIR_INGEST_TOKEN, if it is set, is used in place of other credentials.

With --follow it continues as the files grow, also when they are rotated: renamed, copied and truncated, or
compressed (gzip, zstd). The state file (--state) says how far each file was sent. It is written after the
events are recorded: after a crash record continues there, and lines that were sent twice are recorded once.
Rotated files must lie in the same folder, with a number or a date in their names. Refused lines are
reported, many of them as a range, and skipped.
` + exitHelp,
		Example: `  weir record prod events.ndjson events-2026-10.ndjson.gz
  tail -f events.ndjson | weir record prod --partial
  weir record prod --follow /var/log/app/*.ndjson --state /var/lib/weir/record.state
  weir download prod --start 30d -o - | gunzip | weir record copy -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.follow {
				if !cmd.Flags().Changed("max-retry-time") {
					f.sender.Retry.Most = endless
				}
				return followFiles(cmd, args[0], args[1:], f)
			}
			return recordFiles(cmd, args[0], args[1:], f)
		},
	}
	addServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print what was recorded as JSON on standard output")
	cmd.Flags().IntVar(&f.sender.MaxEvents, "batch", 5000, "events in one request")
	cmd.Flags().DurationVar(&f.sender.MaxWait, "flush-interval", time.Second,
		"how long a line waits for others to be sent with")
	cmd.Flags().DurationVar(&f.sender.Grace, "grace", 10*time.Second,
		"how long lines that were read are still sent after an interrupt")
	cmd.Flags().DurationVar(&f.sender.Retry.Most, "max-retry-time", 5*time.Minute,
		"how long a failed request is tried again (with --follow by default without end)")
	cmd.Flags().BoolVar(&f.sender.Partial, "partial", false,
		"record the good events of a request although others are refused")
	cmd.Flags().BoolVar(&f.follow, "follow", false, "send lines as the files grow and rotate, until interrupted")
	cmd.Flags().StringVar(&f.state, "state", "weir-record.state", "`file` that says how far --follow has come")
	return cmd
}

// checkBatches returns an error for flags that would make batches of nothing.
func (f *recordFlags) checkBatches() error {
	if f.sender.MaxEvents < 1 {
		return &exit{2, errors.New("--batch must be at least 1")}
	}
	if f.sender.MaxWait <= 0 {
		return &exit{2, errors.New("--flush-interval must be more than 0")}
	}
	return nil
}

func recordFiles(cmd *cobra.Command, workspace string, files []string, f recordFlags) error {
	if f.output != "" && f.output != "json" {
		return &exit{2, errors.New("--output must be json or left out")}
	}
	if err := f.checkBatches(); err != nil {
		return err
	}
	c, project, err := connectBy(cmd, f.project, dialToRecord)
	if err != nil {
		return err
	}
	s := &f.sender
	s.Client, s.Project, s.Workspace, s.MaxBytes = c, project, workspace, 8<<20
	s.Retry.Waiting = waiting(cmd, c)
	s.Report = func(r client.Refused) { visible.Printf(cmd.ErrOrStderr(), "%s:%d: %s\n", r.File, r.Line, r.Reason) }
	if len(files) == 0 {
		files = []string{"-"}
	}
	for i, name := range files {
		if err = sendFile(cmd, s, name); err != nil {
			err = fmt.Errorf("recorded %d events, all up to %s:%d, nothing after it%s: %w",
				s.Sent.Recorded+s.Sent.Duplicates, display(name), s.Done(), left(files[i+1:]), err)
			break
		}
	}
	if err == nil && s.Sent.Refused > 0 {
		err = &exit{5, fmt.Errorf("%d events were refused", s.Sent.Refused)}
	}
	if f.output == "json" {
		return errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(s.Sent))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d events recorded, %d were there already, %d refused\n", s.Sent.Recorded,
		s.Sent.Duplicates, s.Sent.Refused)
	if s.Sent.Conflicts > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d of those recorded are conflicts: another event has the same time and "+
			"metadata.uid, but other content\n", s.Sent.Conflicts)
	}
	return err
}

// left names the files that were not started.
func left(files []string) string {
	if len(files) == 0 {
		return ""
	}
	return ", nor of " + strings.Join(files, ", ")
}

// waiting returns a function that reports that a request takes long.
func waiting(cmd *cobra.Command, c *client.Client) func(time.Duration, error) {
	return func(elapsed time.Duration, last error) {
		if last == nil {
			visible.Printf(cmd.ErrOrStderr(), "weir: %s has not answered for %s; still waiting\n", c.URL(), elapsed)
			return
		}
		visible.Printf(cmd.ErrOrStderr(), "weir: still trying after %s: %v\n", elapsed, last)
	}
}

func display(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

func sendFile(cmd *cobra.Command, s *client.Sender, name string) error {
	in := interruptible(cmd.Context(), cmd.InOrStdin())
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if in, err = unpacked(f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return s.Send(cmd.Context(), display(name), in)
}

// unpacked returns a reader of r, which may be gzip.
func unpacked(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(2)
	if err != nil || string(head) != gzipmember.Head[:2] {
		return b, nil
	}
	z := new(gzipmember.Reader)
	return z, z.Reset(b)
}
