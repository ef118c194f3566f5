package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/bucket/s3"
	"github.com/weirlog/weir/internal/node"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
)

func addKeyFlag(cmd *cobra.Command, keys *[]string) {
	cmd.Flags().StringArrayVar(keys, "key", nil, "public `key` to trust, or a file of keys; may be repeated (default WEIR_VERIFIER_KEY); \"weir key show\" prints it")
}

// trusted returns the keys of the flags, or of the environment.
func trusted(keys []string) (*proof.Keys, error) {
	if env := os.Getenv("WEIR_VERIFIER_KEY"); len(keys) == 0 && env != "" {
		keys = []string{env}
	}
	k, err := verify.LoadKeys(keys...)
	if err != nil {
		return nil, &exit{2, err}
	}
	return k, nil
}

type verifyFlags struct {
	keys, logs           []string
	proof, since, output string
	source               client.Source
	config               node.Config // how to reach a bucket on S3
}

func verifyCommand() *cobra.Command {
	f := verifyFlags{config: node.DefaultConfig()}
	s3 := pflag.NewFlagSet("s3", pflag.ContinueOnError)
	f.config.AddS3Flags(s3)
	cmd := &cobra.Command{
		Use:   "verify FILE.gz | FOLDER | s3://BUCKET/PREFIX | LOG-ID",
		Short: "Check that nothing was altered, removed or reordered",
		Long: `Verify checks, with nothing but a public key,
  - a downloaded file, by the .proof that "weir download --proof" wrote beside it;
  - a bucket in a folder or on S3, one log of it, or a folder of segments: every byte, without weir, even with the manifest gone;
  - a log by its id, over the API: all that can be downloaded of it.
--since compares with a checkpoint that was kept elsewhere, which shows too whether everything was put back to an earlier
state; a proof or a file with a signed checkpoint serves.

Exit status: 0 verified; 7 does not verify; 8 cannot tell, since something is missing; 2 wrong usage; 1 failed otherwise, as
other commands do.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := node.Complete(s3, "", os.LookupEnv); err != nil {
				return &exit{2, err}
			}
			return f.run(cmd, args[0])
		},
	}
	cmd.Flags().AddFlagSet(s3)
	addKeyFlag(cmd, &f.keys)
	cmd.Flags().StringVar(&f.proof, "proof", "", "`file` with the proof (default: FILE.gz.proof)")
	cmd.Flags().StringVar(&f.since, "since", "", "`file` with an older checkpoint, or proof, that the log must go on from")
	cmd.Flags().StringArrayVar(&f.logs, "log", nil, "`id` of a log in the bucket; may be repeated (default: all)")
	cmd.Flags().StringVar(&f.source.Project, "project", "", "`id` of the project, for a log over the API (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVar(&f.source.Organization, "org", "", "`id` of the organization whose own log it is")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print a report as JSON")
	return cmd
}

var logID = regexp.MustCompile(`^[0-9a-f]{24}$`)

func (f *verifyFlags) run(cmd *cobra.Command, target string) error {
	if f.output != "" && f.output != "json" {
		return &exit{2, errors.New("--output must be json or left out")}
	}
	keys, err := trusted(f.keys)
	if err != nil {
		return err
	}
	var since *verify.Checkpoint
	if f.since != "" {
		c, err := verify.LoadCheckpoint(f.since, keys)
		if err != nil {
			return &exit{8, err}
		}
		since = &c
	}
	reports, err := f.check(cmd, target, keys, since)
	if err != nil {
		return err
	}
	if err := printReports(cmd.OutOrStdout(), f.output, reports); err != nil {
		return err
	}
	switch verdict := verify.Worst(reports); verdict {
	case verify.Differs:
		return &exit{7, fmt.Errorf("%s: %s", target, verdict)}
	case verify.Unknown:
		return &exit{8, fmt.Errorf("%s: %s", target, verdict)}
	}
	return nil
}

// check finds out what the target is.
func (f *verifyFlags) check(cmd *cobra.Command, target string, keys *proof.Keys, since *verify.Checkpoint) ([]*verify.Report, error) {
	info, err := os.Stat(target)
	switch {
	case location.IsS3(target):
		b, err := s3.OpenReadOnly(target, f.config.S3)
		if err != nil {
			return nil, err
		}
		defer b.Close()
		count, done := counter(0)
		defer done()
		return verify.Bucket(cmd.Context(), b, f.logs, keys, since, count)
	case err == nil && info.IsDir():
		b, log, err := verify.OpenFolder(target)
		if err != nil {
			return nil, &exit{2, err}
		}
		if log != "" {
			f.logs = []string{log}
		}
		count, done := counter(0)
		defer done()
		return verify.Bucket(cmd.Context(), b, f.logs, keys, since, count)
	case err == nil:
		name := f.proof
		if name == "" {
			name = target + ".proof"
		}
		count, done := counter(info.Size())
		defer done()
		r, err := verify.File(cmd.Context(), target, name, keys, since, count)
		return []*verify.Report{r}, err
	case logID.MatchString(target):
		return f.remote(cmd, target, keys, since)
	}
	return nil, &exit{2, fmt.Errorf("%s is neither a file, nor a folder, nor the id of a log", target)}
}

func (f *verifyFlags) remote(cmd *cobra.Command, log string, keys *proof.Keys, since *verify.Checkpoint) ([]*verify.Report, error) {
	d := downloadFlags{source: f.source}
	d.source.Log = log
	c, err := d.connect()
	if err != nil {
		return nil, err
	}
	count, done := counter(0)
	defer done()
	r, err := verify.Log(cmd.Context(), c, d.source, keys, since, count)
	return []*verify.Report{r}, err
}

// counter shows on a terminal how many bytes of size (0: unknown) were read.
func counter(size int64) (count func(int64), done func()) {
	wrap, done := progressBar(size)
	w := wrap(io.Discard)
	return func(n int64) { io.CopyN(w, zeros{}, n) }, done
}

// zeros is an endless source of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func printReports(w io.Writer, format string, reports []*verify.Report) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Verdict verify.Verdict   `json:"verdict"`
			Reports []*verify.Report `json:"reports"`
		}{verify.Worst(reports), reports})
	}
	for _, r := range reports {
		printReport(w, r)
	}
	return nil
}

// maxShown is how many runs of entries a report shows that a file does not hold: one of a single processor has thousands.
const maxShown = 5

func printReport(w io.Writer, r *verify.Report) {
	fmt.Fprintf(w, "%s: %s\n", r.Subject, r.Verdict)
	if r.Log != "" {
		fmt.Fprintf(w, "  log      %s\n", r.Log)
	}
	if r.Root != "" {
		fmt.Fprintf(w, "  tree     %d entries, root %s\n", r.Size, r.Root)
	}
	if r.First != nil {
		fmt.Fprintf(w, "  entries  %d, from %d to %d\n", r.Entries, *r.First, *r.Last)
	} else if r.Root != "" {
		fmt.Fprintf(w, "  entries  %d\n", r.Entries)
	}
	for i, b := range r.Between {
		if i == maxShown {
			fmt.Fprintf(w, "  without  %d more runs of entries; -o json lists them\n", len(r.Between)-i)
			break
		}
		fmt.Fprintf(w, "  without  %d to %d\n", b.First, b.First+b.Count-1)
	}
	if r.Removed > 0 {
		fmt.Fprintf(w, "  removed  %d by retention, whose digests are there\n", r.Removed)
	}
	if r.Unsequenced > 0 {
		fmt.Fprintf(w, "  waiting  %d not sequenced yet\n", r.Unsequenced)
	}
	if r.Since != "" {
		fmt.Fprintf(w, "  since    it goes on from the checkpoint of %s entries\n", r.Since)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s%s\n", place(p), p.What)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  (%s)\n", n)
	}
}

// place says where a problem is.
func place(p verify.Problem) (text string) {
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	if p.Object != "" {
		add("%s", p.Object)
	}
	if p.Line != nil && p.Lines > 1 {
		add("lines %d to %d", *p.Line, *p.Line+p.Lines-1)
	} else if p.Line != nil {
		add("line %d", *p.Line)
	}
	if p.Entry != nil {
		add("entry %d", *p.Entry)
	}
	if text == "" {
		return ""
	}
	return text + ": "
}
