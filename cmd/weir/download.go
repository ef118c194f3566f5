package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/durable"
	"github.com/weirlog/weir/internal/visible"
)

const exitHelp = `
Exit status: 0 done; 1 failed (network, server, disk); 2 wrong usage, also if the server reports it;
3 not authenticated or not allowed; 4 not found; 5 events were refused; 6 the download was incomplete
or damaged; 7 does not verify; 8 cannot tell, since something is missing.

The environment names the server and the credential: WEIR_URL, MONGODB_ATLAS_BASE_URL or
MONGODB_ATLAS_OPS_MANAGER_URL (default https://cloud.mongodb.com), MONGODB_ATLAS_PROJECT_ID, and
MONGODB_ATLAS_CLIENT_ID with MONGODB_ATLAS_CLIENT_SECRET or MONGODB_ATLAS_PUBLIC_API_KEY with
MONGODB_ATLAS_PRIVATE_API_KEY.
"weir login" can keep these as a profile, which --profile or WEIR_PROFILE names. If a private authority
issued the server's certificate, name that authority's PEM file in WEIR_CA_FILE or --ca-file.`

// exitCode returns the exit status for an error of the client.
func exitCode(err error) int {
	var e *client.Error
	switch {
	case errors.Is(err, client.ErrRefused):
		return 5
	case errors.Is(err, client.ErrIncomplete):
		return 6
	case !errors.As(err, &e):
		return 1
	case e.Status == 400:
		return 2
	case e.Status == 401 || e.Status == 403:
		return 3
	case e.Status == 404:
		return 4
	}
	return 1
}

type downloadFlags struct {
	source                        client.Source
	output, start, end, processor string
	retry                         time.Duration
	proof                         bool
	keys                          []string
}

func downloadCommand() *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "download [WORKSPACE]",
		Short: "Download the audit log of a workspace, from weir or from MongoDB Atlas",
		Long: `Download writes the audit log of a workspace, or the log with an id (--log), to a .gz file. The file
gets its name only when it is whole and its gzip was checked to the end. Without --output no file is
replaced. With --output an existing file stays until the new one is whole. --output may also be a
symbolic link, which is followed, a device or a pipe.
` + exitHelp,
		Example: `  weir download prod
  weir download prod --start 2026-11-01 --end 2026-11-07 -o week.gz
  weir download prod --start now-1d --processor orders -o - | zcat | jq .
  weir download prod --proof -o prod.gz && weir verify prod.gz`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.source.Workspace, err = theWorkspace(cmd, args, f.source); err != nil {
				return err
			}
			return download(cmd, f)
		},
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "",
		"`file` to write, - for standard output (default: the name that the server suggests)")
	cmd.Flags().BoolVar(&f.source.Operational, "operational", false, "the operational log, not the audit log")
	cmd.Flags().BoolVar(&f.proof, "proof", false,
		"also write the file's proof, FILE.proof, for \"weir verify\" (weir only)")
	addKeyFlag(cmd, &f.keys)
	addServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.source.Log, "log", "", "`id` of a log, such as that of a deleted workspace (weir only)")
	cmd.Flags().StringVar(&f.source.Organization, "org", "", "`id` of the organization whose own log --log names")
	cmd.Flags().StringVar(&f.source.Project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVar(&f.start, "start", "", "from this `time` on: a date (2026-11-01, in UTC), RFC 3339, how "+
		"long ago (7d, now-1d, 12h), or seconds since the epoch (default: 30 days ago)")
	cmd.Flags().StringVar(&f.end, "end", "", "up to this `time`, its second or day included (default: now)")
	cmd.Flags().StringVar(&f.processor, "processor", "", "only events of the stream processor with this `name`")
	cmd.Flags().DurationVar(&f.retry, "max-retry-time", 2*time.Minute,
		"how long a refused or failed request is tried again, before the first byte")
	return cmd
}

func download(cmd *cobra.Command, f downloadFlags) error {
	q, err := f.query(time.Now())
	if err != nil {
		return &exit{2, err}
	}
	if f.output == "/dev/stdout" {
		f.output = "-"
	}
	if f.proof && f.output != "" && (f.output == "-" || !client.IsRegular(f.output)) {
		return &exit{2, errors.New("--proof needs a regular file: name one with --output")}
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	var d *client.Download
	err = client.Retry(cmd.Context(), client.RetryOptions{Most: f.retry, Waiting: waiting(cmd, c)}, func() (err error) {
		d, err = c.Download(cmd.Context(), f.source, q)
		return err
	})
	if err != nil {
		return err
	}
	defer d.Close()
	name, err := f.save(cmd, d)
	if err != nil {
		return err
	}
	if d.Removed != "" {
		visible.Printf(cmd.ErrOrStderr(), "retention has removed events of this range: %s\n", d.Removed)
	}
	if f.proof {
		return f.prove(cmd, c, d, q, name)
	}
	return nil
}

// query returns the query of the flags.
func (f *downloadFlags) query(now time.Time) (client.Query, error) {
	q := client.Query{Processor: f.processor}
	if f.start != "" {
		start, err := client.ParseTime(f.start, now)
		if err != nil {
			return q, err
		}
		q.Start = &start
	}
	if f.end != "" {
		end, err := client.ParseEnd(f.end, now)
		if err != nil {
			return q, err
		}
		q.End = &end
	}
	if f.proof {
		fixRange(&q, now)
	}
	return q, nil
}

// save writes the download, and returns the name of the file. It replaces an existing file only if the user gave its
// name.
func (f *downloadFlags) save(cmd *cobra.Command, d *client.Download) (name string, err error) {
	name = f.output
	if name == "" {
		name = cmp.Or(d.Name, client.FileName(f.source.Workspace+f.source.Log+"_audit.log.gz"), "audit.log.gz")
		for _, file := range []string{name, name + ".proof"} {
			if _, err := os.Lstat(file); err == nil && (f.proof || file == name) {
				return "", &exit{2, fmt.Errorf("%s exists: give --output %s to replace it, or another name",
					file, name)}
			}
		}
	}
	var saved client.Saved
	if name == "-" {
		saved, err = client.Copy(raw(cmd.OutOrStdout()), d)
	} else {
		progress, done := progressBar(d.Size)
		saved, err = client.Save(name, d, client.SaveOptions{New: f.output == "", Progress: progress})
		done()
	}
	if err == nil {
		visible.Printf(cmd.ErrOrStderr(), "%s: %d events, %d bytes\n", name, saved.Events, saved.Bytes)
	}
	return name, err
}

// raw returns the writer for bytes that are not text.
func raw(w io.Writer) io.Writer {
	if v, ok := w.(*visible.Writer); ok {
		return v.Raw()
	}
	return w
}

// fixRange fills in the range that the server would choose by its own clock, so that the same range can be requested
// again.
func fixRange(q *client.Query, now time.Time) {
	const usual = 30 * 24 * 60 * 60 // seconds
	if q.End == nil {
		end := now.Unix()
		q.End = &end
	}
	if q.Start == nil {
		start := *q.End - usual
		q.Start = &start
	}
}

// prove writes the proof of a downloaded file: first as the server sent it, so that "weir verify" finds the same
// faults, and then completed.
func (f *downloadFlags) prove(cmd *cobra.Command, c *client.Client, d *client.Download, q client.Query,
	name string) error {
	if d.Log == "" {
		return errors.New("the server gives no proofs, so it is not weir: download without --proof")
	}
	var text io.ReadCloser
	err := client.Retry(cmd.Context(), client.RetryOptions{Most: f.retry, Waiting: waiting(cmd, c)},
		func() (err error) {
			text, err = c.FileProof(cmd.Context(), f.source.LogPath(d.Log), q, d.Sequenced)
			return err
		})
	if err != nil {
		return fmt.Errorf("%s was written, but not its proof: %w", name, err)
	}
	defer text.Close()
	copied := func(w io.Writer) error { _, err := io.Copy(w, text); return err }
	if err := durable.ReplaceFrom(name+".proof", 0o644, copied); err != nil {
		return fmt.Errorf("%s was written, but not its proof: %w", name, err)
	}
	return completeProof(cmd, c, name, f.keys)
}

func (f *downloadFlags) connect(cmd *cobra.Command) (c *client.Client, err error) {
	if f.source.Organization != "" {
		return dial(cmd)
	}
	c, f.source.Project, err = connect(cmd, f.source.Project)
	return c, err
}

// progressBar returns a function that shows the progress of a download on a terminal, and one that ends that.
func progressBar(size int64) (progress func(io.Writer) io.Writer, done func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func(w io.Writer) io.Writer { return w }, func() {}
	}
	bars := mpb.New(mpb.WithOutput(os.Stderr))
	bar := bars.AddBar(max(size, 0),
		mpb.PrependDecorators(decor.Counters(decor.SizeB1024(0), "% .1f / % .1f")),
		mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f")))
	proxy := func(w io.Writer) io.Writer {
		if p, err := bar.ProxyWriter(w); err == nil {
			return p
		}
		return w // without progress
	}
	return proxy, func() {
		bar.Abort(false)
		bars.Wait()
	}
}
