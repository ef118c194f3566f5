package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/node"
)

type keysFlags struct {
	keys   []string
	output string
	config config.Config
}

func bucketKeysCommand() *cobra.Command {
	f := keysFlags{config: config.Default()}
	s3 := pflag.NewFlagSet("s3", pflag.ContinueOnError)
	f.config.AddFlags(s3, config.Store)
	cmd := &cobra.Command{
		Use:   "keys LOG [BUCKET]",
		Short: "Print the keys of the objects that hold the lines of a log, for other programs",
		Long: `Keys prints the keys of the segments that a log consists of now, one on each line, the oldest first,
for programs such as DuckDB that read a bucket themselves: a folder (./weir-data if none is named) or
s3://name/prefix. LOG is the id of the log. Each segment is a gzip file of whole lines, and each entry
is in exactly one of them. Events that are not sequenced yet are in none. The bucket may have other
segments of the log, which were merged: their lines would come twice. A segment stays for at least ten
minutes after it was merged.

The manifest's signature is checked if a public key is given (--key). The segments are not read; "weir
bucket check" checks them. With -o json the index of the first entry, the number of entries, the bytes
and the range of times of each segment are printed too.

Exit status: 0 done; 7 the manifest, or a list that it names, is not what was signed; 8 the log has no
segments yet, or something is missing; 1 failed otherwise.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.config.Complete(s3, "", os.LookupEnv); err != nil {
				return err
			}
			where := f.config.Bucket
			if len(args) == 2 {
				where = args[1]
			}
			return f.run(cmd, args[0], where)
		},
	}
	cmd.Flags().AddFlagSet(s3)
	addKeyFlag(cmd, &f.keys)
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print more of each segment, as JSON")
	return cmd
}

func (f *keysFlags) run(cmd *cobra.Command, log, where string) error {
	if !account.ValidID(log) {
		return &exit{2, fmt.Errorf("%.40q is not the id of a log: want 24 hexadecimal digits", log)}
	}
	keys, err := keysIfAny(f.keys)
	if err != nil {
		return err
	}
	b, closeBucket, err := openToRead(where, node.StoreOptions(f.config.S3))
	if err != nil {
		return err
	}
	defer closeBucket()
	found, err := (&audit.Auditor{Bucket: b, Keys: keys}).Segments(cmd.Context(), log)
	switch {
	case errors.Is(err, manifest.ErrNotAuthentic):
		return &exit{7, err}
	case errors.Is(err, bucket.ErrNotExist):
		return &exit{8, err}
	case err != nil:
		return err
	case len(found.Segments) == 0:
		return &exit{8, fmt.Errorf("log %s has no segments in %s", log, where)}
	}
	if keys == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: without --key, no signature was checked")
	}
	if f.output == "json" {
		return printJSON(cmd.OutOrStdout(), listOf(log, found))
	}
	for _, seg := range found.Segments {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), seg.Key); err != nil {
			return err
		}
	}
	return nil
}

// listed is the JSON output for a log.
type listed struct {
	Log      string          `json:"log"`
	First    int64           `json:"first"`   // index of the oldest entry that still exists
	Entries  int64           `json:"entries"` // number of entries that the log has had
	Segments []listedSegment `json:"segments"`
}

type listedSegment struct {
	Key   string    `json:"key"`
	First int64     `json:"first"`
	Count int64     `json:"count"`
	Bytes int64     `json:"bytes"`
	From  time.Time `json:"from"` // time of its earliest event
	To    time.Time `json:"to"`   // and of its latest one
}

func listOf(log string, found *audit.Listed) *listed {
	l := &listed{Log: log, First: found.First, Entries: found.Entries}
	for _, seg := range found.Segments {
		l.Segments = append(l.Segments, listedSegment{seg.Key, seg.First, seg.Count, seg.Size(),
			time.UnixMilli(seg.MinTime).UTC(), time.UnixMilli(seg.MaxTime).UTC()})
	}
	return l
}
