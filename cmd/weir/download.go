package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/proof"
)

const exitHelp = `
Exit status: 0 done; 1 failed (network, server, disk); 2 wrong usage, also if it is the server that finds it wrong; 3 not
authenticated or not allowed; 4 not found; 5 events were refused; 6 the download was incomplete or damaged; 7 does not verify;
8 cannot tell, since something is missing.

The environment says whom to ask: WEIR_URL or MONGODB_ATLAS_OPS_MANAGER_URL (default https://cloud.mongodb.com),
MONGODB_ATLAS_PROJECT_ID, and MONGODB_ATLAS_CLIENT_ID with MONGODB_ATLAS_CLIENT_SECRET or MONGODB_ATLAS_PUBLIC_API_KEY with
MONGODB_ATLAS_PRIVATE_API_KEY.`

// exitCode returns the status for an error of the client.
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

// connect returns a client and the project, from the environment.
func connect(project string) (*client.Client, string, error) {
	c, err := dial()
	if project == "" {
		project = os.Getenv("MONGODB_ATLAS_PROJECT_ID")
	}
	if err == nil && project == "" {
		err = &exit{2, errors.New("no project: set MONGODB_ATLAS_PROJECT_ID or --project")}
	}
	return c, project, err
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
		Long: `Download writes the audit log of a workspace, or the log with an id (--log), to a .gz file. The file gets its name only when it is whole and its gzip
was checked to the end; until then a file that it replaces stays.
` + exitHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 == (f.source.Log != "") {
				return &exit{2, errors.New("name a workspace, or a log by its id with --log")}
			}
			f.source.Workspace = strings.Join(args, "")
			return download(cmd, f)
		},
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "`file` to write, - for standard output (default: the name that the server suggests)")
	cmd.Flags().BoolVar(&f.source.Operational, "operational", false, "the operational log, not the audit log")
	cmd.Flags().BoolVar(&f.proof, "proof", false, "write beside the file, as FILE.proof, what \"weir verify\" checks it by (weir only)")
	addKeyFlag(cmd, &f.keys)
	cmd.Flags().StringVar(&f.source.Log, "log", "", "`id` of a log, such as that of a deleted workspace (weir only)")
	cmd.Flags().StringVar(&f.source.Organization, "org", "", "`id` of the organization whose own log --log names")
	cmd.Flags().StringVar(&f.source.Project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVar(&f.start, "start", "", "from this `time` on: seconds since the epoch, RFC 3339, or how long ago (30d, 12h, 90m)")
	cmd.Flags().StringVar(&f.end, "end", "", "up to this `time`, its second included")
	cmd.Flags().StringVar(&f.processor, "processor", "", "only events of the stream processor with this `name`")
	cmd.Flags().DurationVar(&f.retry, "max-retry-time", 2*time.Minute, "how long a refused or failed request is tried again, before the first byte")
	return cmd
}

func download(cmd *cobra.Command, f downloadFlags) error {
	q := client.Query{Processor: f.processor}
	for _, t := range []struct {
		text string
		to   **int64
	}{{f.start, &q.Start}, {f.end, &q.End}} {
		if t.text == "" {
			continue
		}
		seconds, err := client.ParseTime(t.text, time.Now())
		if err != nil {
			return &exit{2, err}
		}
		*t.to = &seconds
	}
	if f.proof {
		if f.output == "-" {
			return &exit{2, errors.New("--proof needs a file: give another --output")}
		}
		fixRange(&q, time.Now())
	}
	c, err := f.connect()
	if err != nil {
		return err
	}
	var d *client.Download
	err = client.Retry(cmd.Context(), f.retry, func() (err error) {
		d, err = c.Download(cmd.Context(), f.source, q)
		return err
	})
	if err != nil {
		return err
	}
	defer d.Close()
	name := f.output
	if name == "" {
		name = d.Name
	}
	if name == "" {
		name = f.source.Workspace + f.source.Log + "_audit.log.gz"
	}
	var saved client.Saved
	if name == "-" {
		saved, err = client.Copy(cmd.OutOrStdout(), d)
	} else {
		progress, done := progressBar(d.Size)
		saved, err = client.Save(name, d, progress)
		done()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d events, %d bytes\n", name, saved.Events, saved.Bytes)
	if d.Removed != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "retention has removed of this range: %s\n", d.Removed)
	}
	if f.proof {
		return f.prove(cmd, c, d, q, name)
	}
	return nil
}

// fixRange says of a range that the server would complete by its own clock what it is, so that it can be asked for again.
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

// prove writes the proof of a file that was downloaded.
func (f *downloadFlags) prove(cmd *cobra.Command, c *client.Client, d *client.Download, q client.Query, name string) error {
	if d.Log == "" {
		return errors.New("the server proves nothing of its logs: it is not weir")
	}
	text, err := c.FileProof(cmd.Context(), f.source.LogPath(d.Log), q, d.Sequenced)
	if err != nil {
		return err
	}
	p, err := proof.ParseFile(text)
	if err != nil {
		return &exit{7, err}
	}
	return writeProof(cmd, c, p, name, f.keys)
}

func (f *downloadFlags) connect() (c *client.Client, err error) {
	if f.source.Organization != "" {
		return dial()
	}
	c, f.source.Project, err = connect(f.source.Project)
	return c, err
}

// progressBar returns what shows on a terminal how far a download has come, and what ends that.
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
