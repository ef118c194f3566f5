package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/filelock"
	"github.com/weirlog/weir/internal/logfile"
	"github.com/weirlog/weir/internal/visible"
)

// followFiles sends the lines of growing files until the command is interrupted.
func followFiles(cmd *cobra.Command, workspace string, files []string, f recordFlags) error {
	if len(files) == 0 {
		return &exit{2, errors.New("--follow needs files: name them as arguments")}
	}
	if err := f.checkBatches(); err != nil {
		return err
	}
	for i, name := range files {
		var err error
		if files[i], err = filepath.Abs(name); err != nil {
			return err
		}
	}
	c, project, err := connectBy(cmd, f.project, dialToRecord)
	if err != nil {
		return err
	}
	lock, err := filelock.Acquire(f.state + ".lock")
	if err != nil {
		return fmt.Errorf("state %s: %w", f.state, err)
	}
	defer lock.Close()
	state, err := logfile.LoadState(f.state, strings.Join([]string{c.URL(), project, workspace}, " "))
	if err != nil {
		return &exit{2, err}
	}
	f.sender.Retry.Waiting = waiting(cmd, c)
	s := following{cmd: cmd, client: c, project: project, workspace: workspace, flags: f}
	err = (&logfile.Follower{State: state, StateFile: f.state, Lines: f.sender.MaxEvents, Bytes: 8 << 20,
		Pause: f.sender.MaxWait, Send: s.send, Tell: func(_ string, err error) {
			visible.Printf(cmd.ErrOrStderr(), "weir: %v\n", err)
		}}).Follow(cmd.Context(), files)
	fmt.Fprintf(cmd.ErrOrStderr(), "%d events recorded, %d were there already, %d refused\n", s.sent.Recorded,
		s.sent.Duplicates, s.sent.Refused)
	return err
}

// following sends lines of files.
type following struct {
	cmd                *cobra.Command
	client             *client.Client
	project, workspace string
	flags              recordFlags
	sent               client.Sent
}

// send sends a batch. It continues for a while after ctx has ended. It reports refused lines and skips them.
func (s *following) send(ctx context.Context, b logfile.Batch) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.flags.sender.Grace, cancel) })()
	for _, at := range b.TooLong {
		s.refused(b.Name, at, "the line is longer than is ever taken")
	}
	s.sent.Refused += len(b.TooLong)
	if len(strings.TrimSpace(string(b.Lines))) == 0 {
		return nil
	}
	return client.InParts(b.Lines, func(part []byte, before int) error {
		return s.sendPart(work, b.Name, part, b.Offsets[before:])
	}, func(before int, said *client.Error) error {
		s.refused(b.Name, b.Offsets[before], said.Error())
		s.sent.Refused++
		return nil
	})
}

// sendPart sends some lines of a file, which are at offsets, and maybe more offsets behind them.
func (s *following) sendPart(ctx context.Context, name string, lines []byte, offsets []int64) error {
	var r client.Recorded
	err := client.Retry(ctx, s.flags.sender.Retry, func() (err error) {
		r, err = s.client.Record(ctx, s.project, s.workspace, lines, true)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s, from byte %d on: %w", name, offsets[0], err)
	}
	offsets = offsets[:min(len(offsets), bytes.Count(lines, []byte("\n")))]
	for _, f := range r.BadRequest.Fields {
		n, err := strconv.Atoi(strings.TrimPrefix(f.Field, "line "))
		if err == nil && n >= 1 && n <= len(offsets) {
			s.refused(name, offsets[n-1], f.Description)
		}
	}
	if more := r.Rejected - len(r.BadRequest.Fields); more > 0 {
		visible.Printf(s.cmd.ErrOrStderr(), "%s: %d more lines between the bytes %d and %d are refused\n", name, more,
			offsets[0], offsets[len(offsets)-1])
	}
	s.sent.Recorded += r.Recorded
	s.sent.Duplicates += r.Duplicates
	s.sent.Refused += r.Rejected
	return nil
}

func (s *following) refused(name string, at int64, reason string) {
	visible.Printf(s.cmd.ErrOrStderr(), "%s, the line at byte %d: %s\n", name, at, reason)
}
