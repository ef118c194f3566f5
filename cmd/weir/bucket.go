package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/internal/backup"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/bucket/s3"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/node"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
	"github.com/weirlog/weir/internal/visible"
)

func bucketCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bucket",
		Short: "Copy a bucket, check everything in it, or list the objects of a log"}
	cmd.AddCommand(bucketCopyCommand(), bucketCheckCommand(), bucketKeysCommand())
	return cmd
}

// openToRead opens a bucket that may be in use. It changes nothing.
func openToRead(where string, o s3.Options) (bucket.Bucket, func() error, error) {
	if err := mustExist(where); err != nil {
		return nil, nil, err
	}
	b, err := location.OpenReadOnly(where, o)
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

// mustExist refuses a folder that does not exist, since its name may be mistyped.
func mustExist(where string) error {
	if location.IsS3(where) {
		return nil
	}
	info, err := os.Stat(where)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", where)
	}
	if err != nil {
		return &exit{2, fmt.Errorf("open bucket: %w", err)}
	}
	return nil
}

// keysIfAny returns the keys in the flags or in the environment, or nil.
func keysIfAny(keys []string) (*proof.Keys, error) {
	if len(keys) == 0 && os.Getenv("WEIR_VERIFIER_KEY") == "" {
		return nil, nil
	}
	return trusted(keys)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type copyFlags struct {
	keys     []string
	output   string
	from, to config.Config
}

func bucketCopyCommand() *cobra.Command {
	f := copyFlags{from: config.Default(), to: config.Default()}
	settings := pflag.NewFlagSet("bucket copy", pflag.ContinueOnError)
	f.from.AddFlags(settings, config.Store)
	f.to.AddPrefixedFlags(settings, "to-", config.Store)
	cmd := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Copy a bucket, which may be in use, or bring an older copy forward",
		Long: `Copy copies the bucket SRC to DST while nodes use it. Each is a folder or s3://name/prefix. The copy has
all events that were acknowledged before it began. If it is interrupted, run it again to continue.
If it is run later, it brings the copy forward, and removes objects that SRC does not have any more.
It verifies what it has copied: digests, and signatures if a public key is given (--key). No node
starts on a copy that is not complete. Copy does not write to a copy that a node has worked on.
Keys are in no bucket: copy the file with the signing keys, and the nodes' secret, yourself.

Exit status: 0 complete; 5 DST is not an older copy of SRC; 7 copied objects do not verify; 1 failed.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(f.from.Complete(settings, "", os.LookupEnv),
				f.to.Complete(settings, "", os.LookupEnv)); err != nil {
				return err
			}
			return f.run(cmd, args[0], args[1])
		},
	}
	cmd.Flags().AddFlagSet(settings)
	addKeyFlag(cmd, &f.keys)
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print a summary as JSON")
	return cmd
}

// copied is the JSON output of a copy.
type copied struct {
	backup.Summary
	Verdict verify.Verdict   `json:"verdict"`
	Reports []*verify.Report `json:"reports,omitempty"` // of logs that do not verify
}

func (f *copyFlags) run(cmd *cobra.Command, src, dst string) error {
	keys, err := keysIfAny(f.keys)
	if err != nil {
		return err
	}
	from, closeFrom, err := openToRead(src, node.StoreOptions(f.from.S3))
	if err != nil {
		return err
	}
	defer closeFrom()
	to, err := location.Open(cmd.Context(), dst, node.StoreOptions(f.to.S3))
	if err != nil {
		return err
	}
	defer to.Close()
	count, done := counter(0)
	c := &backup.Copier{From: from, To: to, Progress: count, Retry: time.Second}
	result := copied{}
	result.Summary, err = c.Run(cmd.Context())
	done()
	if errors.Is(err, backup.ErrOther) {
		return &exit{5, err}
	}
	if err != nil {
		return err
	}
	if err := result.verify(cmd.Context(), to, keys); err != nil {
		return err
	}
	if err := result.print(cmd, f.output, dst); err != nil {
		return err
	}
	if result.Verdict != verify.Verified {
		return &exit{7, fmt.Errorf("%s: %s", dst, result.Verdict)}
	}
	return nil
}

// verify verifies the logs that the copy has extended.
func (r *copied) verify(ctx context.Context, to bucket.Bucket, keys *proof.Keys) error {
	r.Verdict = verify.Verified
	if len(r.Changed) == 0 {
		return nil
	}
	count, done := counter(0)
	defer done()
	reports, err := verify.Check{Keys: keys, Progress: count}.Bucket(ctx, to, r.Changed)
	if err != nil {
		return err
	}
	r.Verdict = verify.Worst(reports)
	for _, report := range reports {
		if report.Verdict != verify.Verified {
			r.Reports = append(r.Reports, report)
		}
	}
	return nil
}

func (r *copied) print(cmd *cobra.Command, format, dst string) error {
	if format == "json" {
		return printJSON(cmd.OutOrStdout(), r)
	}
	for _, report := range r.Reports {
		printReport(cmd.OutOrStdout(), report)
	}
	if r.Verdict == verify.Verified {
		fmt.Fprintf(cmd.OutOrStdout(), "%s is complete: %d logs; %d objects copied (%d bytes), %d were "+
			"there, %d removed; %d logs verified.\n",
			dst, r.Logs, r.Copied, r.Bytes, r.There, r.Removed, len(r.Changed))
		fmt.Fprintln(cmd.OutOrStdout(), "To run a node on it, bring the signing keys (--signing-key-file) and the "+
			"node's secret (--key-file): they are in no bucket.")
	}
	return nil
}

type checkFlags struct {
	keys, since     []string
	output          string
	repair, stopped bool
	config          config.Config
}

func bucketCheckCommand() *cobra.Command {
	f := checkFlags{config: config.Default()}
	s3 := pflag.NewFlagSet("s3", pflag.ContinueOnError)
	f.config.AddFlags(s3, config.Store)
	f.config.AddFlag(s3, "key-file")
	cmd := &cobra.Command{
		Use:   "check [BUCKET]",
		Short: "Check every object of a bucket, which may be in use",
		Long: `Check reads every object of a bucket, which is a folder (default ./weir-data) or s3://name/prefix:
documents, the write-ahead log, plans, every log with all its manifests, and objects that nothing
names. It checks digests, signatures if a public key is given (--key), and seals if the nodes' secret
is given (--key-file or WEIR_SECRET). It changes nothing. An object that a node is writing at the
moment can look like one that nothing names.

--repair moves objects that nothing names below quarantine/<time>/ in the bucket, where each keeps its
key. It deletes an object only after it has read the moved one back, and does not touch the objects of
a log. No node may use the bucket meanwhile. A damaged object can only be put back from a copy.

Exit status: 0 all is well; 7 something is damaged; 8 something is missing; 1 failed otherwise.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.config.Complete(s3, "", os.LookupEnv); err != nil {
				return err
			}
			where := f.config.Bucket
			if len(args) > 0 {
				where = args[0]
			}
			return f.run(cmd, where)
		},
	}
	cmd.Flags().AddFlagSet(s3)
	addKeyFlag(cmd, &f.keys)
	addSinceFlag(cmd, &f.since)
	cmd.Flags().BoolVar(&f.repair, "repair", false, "move objects that nothing names below quarantine/")
	cmd.Flags().BoolVar(&f.stopped, "nodes-are-stopped", false,
		"with --repair, on S3: confirm that no node uses the bucket")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print a report as JSON")
	return cmd
}

// open opens the bucket for reading or, for a repair, for exclusive writing.
func (f *checkFlags) open(ctx context.Context, where string) (bucket.Bucket, func() error, error) {
	if !f.repair {
		return openToRead(where, node.StoreOptions(f.config.S3))
	}
	if location.IsS3(where) && !f.stopped {
		return nil, nil, &exit{2, errors.New("--repair needs a bucket that no node uses: stop all nodes, and confirm it " +
			"with --nodes-are-stopped")}
	}
	if err := mustExist(where); err != nil {
		return nil, nil, err // Open would create it
	}
	b, err := location.Open(ctx, where, node.StoreOptions(f.config.S3))
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

func (f *checkFlags) run(cmd *cobra.Command, where string) error {
	keys, err := keysIfAny(f.keys)
	if err != nil {
		return err
	}
	b, closeBucket, err := f.open(cmd.Context(), where)
	if err != nil {
		return err
	}
	defer closeBucket()
	f.config.Bucket = where
	seals, err := node.Seals(cmd.Context(), &f.config, b)
	if err != nil {
		return err
	}
	check := verify.Check{Keys: keys, Seals: seals}
	if check.Since, err = loadSince(f.since, keys); err != nil {
		return err
	}
	var done func()
	check.Progress, done = counter(0)
	whole, err := check.Everything(cmd.Context(), b)
	done()
	if err != nil {
		return err
	}
	if seals.Err() != nil {
		whole.Notes = append(whole.Notes,
			"without the nodes' secret (--key-file or WEIR_SECRET), digests were checked, "+
				"but not the seals of documents and of the write-ahead log")
	}
	if err := backup.Check(cmd.Context(), b); err != nil {
		whole.Notes = append(whole.Notes, err.Error())
	}
	if f.repair {
		err = whole.Quarantine(cmd.Context(), b, time.Now())
	}
	if f.output == "json" {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), whole))
	} else {
		printWhole(cmd.OutOrStdout(), whole, keys != nil, len(check.Since) > 0)
	}
	if err != nil {
		return err
	}
	switch whole.Verdict {
	case verify.Differs:
		return &exit{7, fmt.Errorf("%s: something is damaged", where)}
	case verify.Unknown:
		return &exit{8, fmt.Errorf("%s: something is missing", where)}
	}
	return nil
}

func printWhole(w io.Writer, whole *verify.Whole, signatures, since bool) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "kind\tobjects\tbytes\t")
	for _, k := range whole.Kinds {
		visible.Printf(table, "%s\t%d\t%d\t\n", k.Name, k.Objects, k.Bytes)
	}
	table.Flush()
	for _, l := range whole.Intact {
		visible.Printf(w, "log %s: intact as far as can be told, up to entry %d", l.Log, l.Entries)
		if l.Since > 0 {
			visible.Printf(w, "; it extends the older checkpoint of %d entries", l.Since)
		}
		fmt.Fprintln(w)
	}
	for _, p := range whole.Problems {
		visible.Printf(w, "PROBLEM %s: %s\n", p.Object, p.What)
	}
	for _, s := range whole.Strays {
		visible.Printf(w, "not needed: %s: %s\n", s.Object, s.Why)
	}
	for _, key := range whole.Moved {
		visible.Printf(w, "moved to quarantine: %s\n", key)
	}
	for _, note := range whole.Notes {
		visible.Printf(w, "note: %s\n", note)
	}
	if !since {
		fmt.Fprintln(w, "note: without --since, this check cannot detect a log that was put back to an earlier "+
			"state or removed")
	}
	if !signatures {
		fmt.Fprintln(w, "note: without --key, digests were checked, but not signatures")
	}
	if whole.Verdict == verify.Verified {
		visible.Printf(w, "All is well: %d logs.\n", whole.Logs)
	}
}
