package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/bucket/s3"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/node"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
	"github.com/weirlog/weir/internal/visible"
)

func addKeyFlag(cmd *cobra.Command, keys *[]string) {
	cmd.Flags().StringArrayVar(keys, "key", nil, "public `key` to trust, or a file of keys; may be repeated (default "+
		"WEIR_VERIFIER_KEY); \"weir key show\" prints it")
}

// trusted returns the keys in the flags, or in the environment.
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
	keys, logs, witness, since []string
	quorum                     int
	proof, output              string
	source                     client.Source
	config                     config.Config // for access to a bucket on S3
}

func verifyCommand() *cobra.Command {
	f := verifyFlags{config: config.Default()}
	s3 := pflag.NewFlagSet("s3", pflag.ContinueOnError)
	f.config.AddFlags(s3, config.Store)
	cmd := &cobra.Command{
		Use:   "verify FILE.gz | FOLDER | s3://BUCKET/PREFIX | LOG-ID",
		Short: "Check that nothing was altered, removed or reordered",
		Long: `Verify checks, with nothing but a public key,
  - a downloaded file, by the .proof that "weir download --proof" wrote beside it;
  - a bucket in a folder or on S3, one log of it, or a folder of segments: every byte, without weir,
    even with the manifest gone;
  - a log by its id, over the API: all that can be downloaded of it.
It prints which entries of the log are proven. Lines that begin with "claimed" are statements of the
proof that nothing confirms; no verdict depends on them. --since compares with a checkpoint that was
kept elsewhere, in a proof or a file of its own, and so detects that everything was put back to an
earlier state. --witness-key requires that witnesses have cosigned the checkpoint.

Exit status: 0 verified; 7 does not verify; 8 cannot tell, since something is missing; 2 wrong
usage; 1 failed otherwise, as other commands do.`,
		Example: `  weir verify prod.gz --key "$(cat log.pub)"
  weir verify prod.gz --since kept.proof --witness-key witness.pub
  weir verify ./weir-data
  weir verify s3://audit/weir --log 6a793f48c0eb9e7a17712f00
  weir verify 6a793f48c0eb9e7a17712f00 --since kept.checkpoint -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.config.Complete(s3, "", os.LookupEnv); err != nil {
				return err
			}
			return f.run(cmd, args[0])
		},
	}
	cmd.Flags().AddFlagSet(s3)
	addKeyFlag(cmd, &f.keys)
	addServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.proof, "proof", "", "`file` with the proof (default: FILE.gz.proof)")
	addSinceFlag(cmd, &f.since)
	cmd.Flags().StringArrayVar(&f.witness, "witness-key", nil,
		"public `key` of a witness that must have cosigned the checkpoint, or a file of them; may be repeated")
	cmd.Flags().IntVar(&f.quorum, "quorum", 0,
		"how many of the witnesses must have cosigned (default: all that --witness-key names)")
	cmd.Flags().StringArrayVar(&f.logs, "log", nil, "`id` of a log in the bucket; may be repeated (default: all)")
	cmd.Flags().StringVar(&f.source.Project, "project", "",
		"`id` of the project, for a log over the API (default MONGODB_ATLAS_PROJECT_ID)")
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
	check := verify.Check{Keys: keys}
	if err := f.addWitnesses(cmd, &check); err != nil {
		return &exit{2, err}
	}
	if check.Since, err = loadSince(f.since, keys); err != nil {
		return err
	}
	reports, err := f.check(cmd, target, check)
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

// addSinceFlag adds --since.
func addSinceFlag(cmd *cobra.Command, since *[]string) {
	cmd.Flags().StringArrayVar(since, "since", nil,
		"`file` with an older checkpoint or proof that the log must "+
			"extend, or a folder of them; may be repeated")
}

// loadSince loads the checkpoints that --since names.
func loadSince(names []string, keys *proof.Keys) ([]verify.Checkpoint, error) {
	if len(names) > 0 && keys == nil {
		return nil, &exit{2, errors.New("--since needs --key: a trusted key must have signed the checkpoints")}
	}
	all, err := verify.LoadCheckpoints(names, keys)
	if err != nil {
		return nil, &exit{8, err}
	}
	return all, nil
}

// addWitnesses adds the witnesses of the flags.
func (f *verifyFlags) addWitnesses(cmd *cobra.Command, check *verify.Check) (err error) {
	if check.Witnesses, err = verify.LoadWitnesses(f.witness...); err != nil {
		return err
	}
	check.Quorum = len(check.Witnesses)
	if cmd.Flags().Changed("quorum") {
		check.Quorum = f.quorum
	}
	if check.Quorum < 0 || check.Quorum > len(check.Witnesses) {
		return fmt.Errorf("--quorum must be from 0 to the number of witnesses that --witness-key names, %d",
			len(check.Witnesses))
	}
	return nil
}

// check finds out what the target is.
func (f *verifyFlags) check(cmd *cobra.Command, target string, check verify.Check) ([]*verify.Report, error) {
	info, err := os.Stat(target)
	size := int64(0)
	if err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	switch {
	case location.IsS3(target), err == nil && info.IsDir():
		return f.bucket(cmd, target, check)
	case err == nil:
		var done func()
		check.Progress, done = counter(size)
		defer done()
		r, err := check.File(cmd.Context(), target, cmp.Or(f.proof, target+".proof"))
		return []*verify.Report{r}, err
	case logID.MatchString(target):
		return f.remote(cmd, target, check)
	}
	return nil, &exit{2, fmt.Errorf("%s is neither a file, nor a folder, nor the id of a log", target)}
}

// bucket checks a bucket, or a folder with a part of one.
func (f *verifyFlags) bucket(cmd *cobra.Command, target string, check verify.Check) ([]*verify.Report, error) {
	var done func()
	check.Progress, done = counter(0)
	defer done()
	if location.IsS3(target) {
		b, err := s3.OpenReadOnly(target, node.StoreOptions(f.config.S3))
		if err != nil {
			return nil, err
		}
		defer b.Close()
		return check.Bucket(cmd.Context(), b, f.logs)
	}
	b, log, err := verify.OpenFolder(target)
	if err != nil {
		return nil, &exit{2, err}
	}
	logs := f.logs
	if log != "" {
		logs = []string{log}
	}
	return check.Bucket(cmd.Context(), b, logs)
}

func (f *verifyFlags) remote(cmd *cobra.Command, log string, check verify.Check) ([]*verify.Report, error) {
	d := downloadFlags{source: f.source}
	d.source.Log = log
	c, err := d.connect(cmd)
	if err != nil {
		return nil, err
	}
	var done func()
	check.Progress, done = counter(0)
	defer done()
	r, err := check.Log(cmd.Context(), c, d.source)
	return []*verify.Report{r}, err
}

// counter shows on a terminal how many bytes were read, of a size if that is not 0.
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

// maxShown is how many runs of entries a report shows that a file does not hold: one of a single processor has
// thousands.
const maxShown = 5

func printReport(w io.Writer, r *verify.Report) {
	line := func(label, format string, args ...any) { visible.Printf(w, "  "+label+" "+format+"\n", args...) }
	visible.Printf(w, "%s: %s\n", r.Subject, string(r.Verdict))
	if r.Log != "" {
		line("log     ", "%s", r.Log)
	}
	if r.Root != "" {
		line("tree    ", "%d entries, root %s", r.Size, r.Root)
	}
	if r.First != nil {
		line("entries ", "%d, from %d to %d", r.Entries, *r.First, *r.Last)
	} else if r.Root != "" {
		line("entries ", "%d", r.Entries)
	}
	for i, b := range r.Between {
		if i == maxShown {
			line("without ", "%d more runs of entries; -o json lists them", len(r.Between)-i)
			break
		}
		line("without ", "%d to %d", b.First, b.First+b.Count-1)
	}
	if r.Removed > 0 {
		line("removed ", "%d by retention, whose digests are there", r.Removed)
	}
	if r.Unsequenced > 0 {
		line("waiting ", "%d not sequenced yet", r.Unsequenced)
	}
	if t := r.Taken; t != nil {
		line("taken   ", "from %s to %s, by weir's clock (%d lines)", t.First.UTC().Format(time.RFC3339Nano),
			t.Last.UTC().Format(time.RFC3339Nano), t.Lines)
	}
	if r.Since > 0 {
		line("since   ", "it extends the older checkpoint of %d entries", r.Since)
	}
	for _, id := range r.Witnesses {
		line("witness ", "%s has cosigned the tree", id)
	}
	printClaims(line, r.Claims)
	for _, p := range r.Problems {
		visible.Printf(w, "  %s%s\n", place(p), p.What)
	}
	for _, n := range r.Notes {
		visible.Printf(w, "  (%s)\n", n)
	}
}

// printClaims prints what a proof says that nothing signs.
func printClaims(line func(label, format string, args ...any), c *verify.Claims) {
	if c == nil {
		return
	}
	claim := func(format string, args ...any) { line("claimed ", format, args...) }
	switch {
	case c.Query != "":
		claim("events of %s from %s to %s that a search for %s found, when %d entries were sequenced", c.Source, c.Start,
			c.End, c.Query, c.Sequenced)
	case c.Source != "":
		processor := ""
		if c.Processor != "" {
			processor = fmt.Sprintf(", of processor %q", c.Processor)
		}
		claim("a download of %s from %s to %s%s, when %d entries were sequenced", c.Source, c.Start, c.End, processor,
			c.Sequenced)
	}
	if c.Pending > 0 {
		claim("%d lines were not sequenced yet", c.Pending)
	}
	if c.Removed != nil {
		claim("retention had removed the entries %d to %d", c.Removed.First, c.Removed.First+c.Removed.Count-1)
	}
	for i, id := range c.Signatures {
		if i == maxShown {
			claim("signatures of %d more keys that were not given", len(c.Signatures)-i)
			break
		}
		claim("a signature of the tree by %s, a key that was not given", id)
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
