package verify

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/wal"
)

// bareLog is the id used for a log whose segments are in a folder by themselves.
const bareLog = "000000000000000000000000"

// beside lists the kinds of objects that are computed from segments and compared with those beside them: indexes, of
// segments of any size.
var beside = []segment.Kind{index.Kind{Least: 1}}

// OpenFolder opens a folder with a bucket, with one log of it, or only with segments. log is the log, if the folder
// holds only one, and "" otherwise; see Bucket.
func OpenFolder(root string) (b bucket.Bucket, log string, err error) {
	prefix := ""
	has := func(name string) bool { _, err := os.Stat(filepath.Join(root, name)); return err == nil }
	switch segments, _ := filepath.Glob(filepath.Join(root, "*.gz")); {
	case has(layout.Segment.Top()), has(layout.Settings.Top()):
	case has("segments"), has("manifest"):
		if log = filepath.Base(root); len(log) != len(bareLog) {
			log = bareLog
		}
		prefix = manifest.LogPrefix(log)
	case len(segments) > 0:
		log = bareLog
		prefix = manifest.SegmentPrefix(log)
	default:
		return nil, "", fmt.Errorf("%s holds neither a bucket, nor a log, nor segments", root)
	}
	b, err = folder.OpenReader(root, prefix)
	return b, log, err
}

// Bucket checks logs in a bucket, and the write-ahead log. If logs is empty, it checks all logs that the bucket has,
// and all that older checkpoints name.
func (c Check) Bucket(ctx context.Context, b bucket.Bucket, logs []string) ([]*Report, error) {
	d := &audit.Auditor{Bucket: b, Keys: c.Keys, Beside: beside, Progress: c.Progress}
	waiting, err := wal.Audit(ctx, b, c.Seals)
	if err != nil {
		return nil, err
	}
	all := len(logs) == 0
	if all {
		if logs, err = logsOf(ctx, d, c.Since); err != nil {
			return nil, err
		}
	}
	var reports []*Report
	for _, log := range logs {
		r, err := c.oneLog(ctx, d, log, waiting.Waiting[log])
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	if all && waiting.Objects+len(waiting.Damaged) > 0 {
		reports = append(reports, waitingReport(waiting))
	}
	return reports, nil
}

// logsOf returns the logs that a bucket has, and those that older checkpoints prove it to have had.
func logsOf(ctx context.Context, d *audit.Auditor, since []Checkpoint) (logs []string, err error) {
	for log, err := range d.Logs(ctx) {
		if err != nil {
			return nil, err
		}
		logs = append(logs, log)
	}
	for _, c := range since {
		if !slices.Contains(logs, c.logID()) {
			logs = append(logs, c.logID())
		}
	}
	return logs, nil
}

// waitingReport reports on the write-ahead log, of which nothing is signed yet.
func waitingReport(a *wal.Audited) *Report {
	r := &Report{Subject: "write-ahead log", Unsequenced: int64(a.Events)}
	for _, key := range slices.Sorted(maps.Keys(a.Damaged)) {
		r.add(Problem{Object: key, What: a.Damaged[key].Error()})
	}
	r.note("what waits to be sequenced is whole; it is not proven yet")
	r.judge()
	if r.Verdict != Verified {
		r.Notes = nil
	}
	return r
}

func (c Check) oneLog(ctx context.Context, d *audit.Auditor, log string, waiting int) (*Report, error) {
	a, since, err := auditSince(ctx, d, log, c.Since)
	if err != nil {
		return nil, err
	}
	r := &Report{Subject: "log " + log, Log: a.Origin, Size: a.Size, Root: a.Root.String(), Entries: a.Content,
		Removed: a.Removed, Unsequenced: int64(waiting)}
	for _, f := range a.Findings {
		p := Problem{Object: f.Object, What: f.What, Missing: f.Missing}
		if f.Entry >= 0 {
			entry := f.Entry
			p.Entry = &entry
		}
		r.add(p)
	}
	r.noManifest(a, since)
	r.goesOn(a, since)
	if a.Checkpoint != "" && c.Keys != nil && len(a.Findings) == 0 {
		if err := c.cosigned(ctx, r, d.Bucket, a, log); err != nil {
			return nil, err
		}
	} else if c.Quorum > 0 {
		r.add(Problem{Missing: true, What: "no checkpoint that witnesses could have cosigned"})
	}
	if !a.Rebuilt {
		for _, key := range a.Unnamed[:min(len(a.Unnamed), maxUnnamed)] {
			r.note("%s: no manifest names it", key)
		}
		if len(a.Unnamed) > 0 {
			r.note("%d objects are named by no manifest: left by merges, or by writers that died", len(a.Unnamed))
		}
	}
	r.judge()
	return r, nil
}

// maxUnnamed bounds how many objects a report lists that no manifest names.
const maxUnnamed = 10

// maxStrangers bounds the cosignatures of unknown witnesses in a report: a signed note may have 100 signatures.
const maxStrangers = 32

// cosigned reports which witnesses have signed the checkpoint of an audited log, including the cosignatures stored
// beside it. Anybody who can write the bucket can put anything there, so each is checked alone, and bad ones are
// reported.
func (c Check) cosigned(ctx context.Context, r *Report, b bucket.Bucket, a *audit.Audit, log string) error {
	signed, strangers := a.Checkpoint, 0
	known := map[string]bool{}
	for kept, err := range manifest.Cosignatures(ctx, b, log, a.Size) {
		if err != nil {
			return err
		}
		s, err := c.Keys.Signatures(a.Origin, a.Checkpoint+kept.Line, c.Witnesses)
		switch {
		case err != nil || len(s.Witnesses)+len(s.Unchecked) == 0:
			r.add(Problem{Object: kept.Key, What: "it is not a cosignature of the checkpoint; delete it"})
		case len(s.Witnesses) > 0 && !known[s.Witnesses[0]]:
			known[s.Witnesses[0]] = true
			signed += kept.Line
		case len(s.Unchecked) > 0 && strangers < maxStrangers:
			strangers++
			signed += kept.Line
		}
	}
	c.signatures(r, signed)
	return nil
}

// auditSince audits a log, and returns the older checkpoints that are of it. If it is not known which log it is, these
// are all checkpoints.
func auditSince(ctx context.Context, d *audit.Auditor, log string, all []Checkpoint) (*audit.Audit, []Checkpoint,
	error) {
	var since []Checkpoint
	var sizes []int64
	for _, c := range all {
		if c.logID() == log || log == bareLog {
			since, sizes = append(since, c), append(sizes, c.Size)
		}
	}
	a, err := d.Log(ctx, log, sizes...)
	return a, since, err
}

// goesOn checks that an audited log extends older checkpoints of it.
func (r *Report) goesOn(a *audit.Audit, since []Checkpoint) {
	for _, c := range since {
		if r.Log == "" {
			r.Log = c.Origin // nothing here contradicts it; the root will
		}
		if c.Origin != r.Log {
			r.add(Problem{What: fmt.Sprintf("the older checkpoint is of another log, %q", c.Origin)})
			continue
		}
		roots := map[int64]proof.Hash{}
		if root, ok := a.RootAt(c.Size); ok {
			roots[c.Size] = root
		}
		r.since(&c, roots, fmt.Sprintf("entries before %d could not all be read, so the older checkpoint cannot be "+
			"compared", c.Size))
	}
}

// noManifest reports what can still be checked of a log without a manifest.
func (r *Report) noManifest(a *audit.Audit, since []Checkpoint) {
	if !a.Rebuilt {
		return
	}
	r.note("there is no manifest: the log was rebuilt from its segments")
	signed := int64(0)
	for _, c := range since {
		signed = max(signed, c.Size)
	}
	switch {
	case len(since) == 0:
		r.add(Problem{What: fmt.Sprintf("a signed checkpoint to compare with: give one that was kept "+
			"elsewhere with --since; the segments have %d entries and the root %s", a.Size, a.Root), Missing: true})
	case signed < a.Size:
		r.add(Problem{Entry: &signed, What: fmt.Sprintf("a signed checkpoint for the entries from %d on", signed),
			Missing: true})
	}
}
