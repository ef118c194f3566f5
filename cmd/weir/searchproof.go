package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/durable"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
	"github.com/weirlog/weir/internal/visible"
)

// errNone says that no event was found.
var errNone = errors.New("no events")

// checkProof returns an error for flags that --proof does not allow.
func (f *searchFlags) checkProof(cmd *cobra.Command, workspace string) error {
	for _, flag := range []string{"output", "fields"} {
		if cmd.Flags().Changed(flag) {
			return fmt.Errorf("--%s cannot be used with --proof, which writes the events as they were recorded", flag)
		}
	}
	if len(f.logs) > 1 || (workspace == "") == (len(f.logs) == 0) {
		return errors.New("--proof needs one log: name a workspace, for its audit log, or one log with --log")
	}
	if !client.IsRegular(f.proof) {
		return fmt.Errorf("--proof %s: not a regular file", f.proof)
	}
	return nil
}

// prove writes the found events to a file, one on each line, and beside it the proof that they are entries of their
// log.
func (f *searchFlags) prove(cmd *cobra.Command, workspace, text string) error {
	if err := f.checkProof(cmd, workspace); err != nil {
		return &exit{2, err}
	}
	c, q, err := f.connect(cmd, "", text)
	if err != nil {
		return err
	}
	if workspace != "" {
		if q.Logs, err = f.auditLog(cmd, c, q.Project, workspace); err != nil {
			return err
		}
	}
	fixRange(&q.Query, time.Now())
	fetch := func(ctx context.Context, path string) (data []byte, err error) {
		err = f.try(cmd, c, func() (err error) {
			data, err = c.Fetch(ctx, path, nil)
			return err
		})
		return data, err
	}
	s, err := verify.Select(cmd.Context(), fetch, client.Source{Project: q.Project}.LogPath(q.Logs[0]))
	if err != nil {
		return err
	}
	found, err := f.saveFound(cmd, c, q, s)
	if errors.Is(err, errNone) {
		fmt.Fprintln(cmd.ErrOrStderr(), "no events")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %s was not written", err, f.proof)
	}
	visible.Printf(cmd.ErrOrStderr(), "%s: %d events\n", f.proof, found)
	p, err := s.Proof(cmd.Context(), proof.Claims{Start: *q.Start * 1000, End: (*q.End + 1) * 1000,
		Query: cmp.Or(text, "*")})
	if err == nil {
		err = durable.ReplaceFrom(f.proof+".proof", 0o644, p.Write)
	}
	if err != nil {
		return fmt.Errorf("%s was written, but not its proof: %w", f.proof, err)
	}
	return completeProof(cmd, c, f.proof, f.keys)
}

func (f *searchFlags) auditLog(cmd *cobra.Command, c *client.Client, project, workspace string) ([]string, error) {
	var log string
	err := f.try(cmd, c, func() (err error) {
		log, err = c.AuditLogOf(cmd.Context(), project, workspace)
		return err
	})
	if err == nil && log == "" {
		err = &exit{4, fmt.Errorf("there is no workspace %q in this project", workspace)}
	}
	return []string{log}, err
}

// saveFound writes the found events to the file, if there are any.
func (f *searchFlags) saveFound(cmd *cobra.Command, c *client.Client, q client.Question,
	s *verify.Selection) (found int, err error) {
	err = client.SaveFrom(f.proof, client.SaveOptions{}, func(w io.Writer) (err error) {
		z := gzip.NewWriter(w)
		if found, err = f.each(cmd, c, q, &selector{z, s}); err != nil {
			return err
		}
		if found == 0 {
			return errNone
		}
		return z.Close()
	})
	return found, err
}

// selector writes events as lines of a file, and adds them to a selection.
type selector struct {
	w         io.Writer
	selection *verify.Selection
}

func (s *selector) page(events []client.Found) error {
	for _, e := range events {
		if err := s.selection.Add(e.Index); err != nil {
			return err
		}
		if _, err := s.w.Write(append(e.Event, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (s *selector) end() error { return nil }
