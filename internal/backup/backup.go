// Package backup copies a bucket, which may be in use, into another one.
//
// A node can continue from the copy, although the source never stands still, for these reasons:
//
//   - What says how far something has come, such as a delivery, is copied first, so that it is not ahead of the logs:
//     what was done since is done again, and nothing is left out.
//   - The write-ahead log is copied next, then each log. An event that was acknowledged before the copy began is then
//     in a WAL object, or in its log. If an object is deleted before it is copied, its events were sequenced, into a
//     manifest that is copied later. If an event is in both, it counts once: sequencing and every download ignore
//     events in the write-ahead log that the log has, by their keys.
//   - Of a log, the objects that its highest manifest names are copied, and then this manifest. If a merge deletes an
//     object meanwhile, the log is copied again as it is then. So all checkpoints of the copy are the source's.
//   - Plans are not copied, since one may name objects that the copy does not have. Without plans, the first node on
//     the copy plans the waiting events, under a number that no manifest has yet.
//   - Documents are copied last, so that none is older than the logs, and again until no new ones are found.
//
// While a copy is being made, a document in it says so, and no node starts on it.
package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/seal"
)

var (
	// ErrIncomplete is returned (wrapped) for a bucket into which a copy is being made, or was interrupted.
	ErrIncomplete = errors.New("the bucket is an unfinished copy: run the same \"weir bucket copy\" again until it " +
		"says that it is complete")
	// ErrOther is returned (wrapped) for a destination that is not an older copy of the source.
	ErrOther = errors.New("the destination is not an older copy of the source")
)

// stateKey is the key of the object that records the progress of a copy.
var stateKey = layout.CopyState.Prefix()

// state is the recorded progress of a copy.
type state struct {
	Origin   string    `json:"origin"` // of the source
	Complete bool      `json:"complete"`
	Finished time.Time `json:"finished,omitzero"`
	WAL      []string  `json:"wal"` // objects of the write-ahead log that may have been copied
}

// Check returns ErrIncomplete (wrapped) if a bucket is an unfinished copy.
func Check(ctx context.Context, b bucket.Bucket) error {
	var s state
	switch known, err := readState(ctx, b, &s); {
	case err != nil:
		return err
	case known && !s.Complete:
		return ErrIncomplete
	}
	return nil
}

func readState(ctx context.Context, b bucket.Bucket, s *state) (known bool, err error) {
	data, err := bucket.Read(ctx, b, stateKey, bucket.Range{})
	if errors.Is(err, bucket.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", stateKey, err)
	}
	return true, nil
}

func writeState(ctx context.Context, b bucket.Bucket, s state) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = b.Put(ctx, stateKey, data)
	}
	return err
}

// Summary says what a copy did.
type Summary struct {
	Logs    int   `json:"logs"`
	Copied  int64 `json:"copied"` // number of objects that were copied,
	Bytes   int64 `json:"bytes"`  // and their bytes
	There   int64 `json:"there"`  // number of objects that an earlier copy has copied
	Removed int64 `json:"removed"`
	// Changed lists the logs that this copy has extended. Their content should be verified.
	Changed []string `json:"changed"`
}

// Copier copies a bucket.
type Copier struct {
	From, To bucket.Bucket
	Progress func(bytes int64) // if not nil, it is called with the number of bytes copied
	Retry    time.Duration     // pause before a failed call is repeated, doubled each time; there are few tries

	state                        state
	shards                       int
	there                        map[string]int64 // sizes of the destination's objects when the copy began
	keep                         map[string]bool  // keys that belong to the copy
	copied, bytes, already, gone atomic.Int64
	summary                      Summary
}

// Run copies all objects that the destination lacks. It may be interrupted at any time and called again.
func (c *Copier) Run(ctx context.Context) (Summary, error) {
	c.keep = map[string]bool{stateKey: true}
	err := c.begin(ctx)
	for _, step := range []func(context.Context) error{c.copyStates, c.copyWAL, c.copyLogs, c.copyDocuments,
		c.tidy, c.finish} {
		if err == nil {
			err = step(ctx)
		}
	}
	c.summary.Copied, c.summary.Bytes, c.summary.There, c.summary.Removed = c.copied.Load(), c.bytes.Load(),
		c.already.Load(), c.gone.Load()
	return c.summary, err
}

// begin checks that the destination is empty or an older copy of the source, and marks it as unfinished.
func (c *Copier) begin(ctx context.Context) error {
	settings, err := account.NewDirectory(seal.NewBucket(c.From, seal.Key{})).Settings(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if err := Check(ctx, c.From); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	c.shards = settings.Shards
	c.there = map[string]int64{}
	for info, err := range c.To.List(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		if c.there[info.Key], err = info.Size(); err != nil {
			return fmt.Errorf("destination: %w", err)
		}
	}
	known, err := readState(ctx, c.To, &c.state)
	switch {
	case err != nil:
		return err
	case known && c.state.Origin != settings.Origin:
		return fmt.Errorf("%w: it is a copy of %s, the source is %s", ErrOther, c.state.Origin, settings.Origin)
	case !known && len(c.there) > 0:
		return fmt.Errorf("%w: it is not empty, and not a copy", ErrOther)
	}
	if err := c.unmoved(ctx); err != nil {
		return err
	}
	c.state.Origin, c.state.Complete = settings.Origin, false
	return writeState(ctx, c.To, c.state)
}

// unmoved returns ErrOther (wrapped) if a node has worked on the destination, since the copy would overwrite that work.
func (c *Copier) unmoved(ctx context.Context) error {
	for key := range c.there {
		switch kind, _ := layout.Of(key); {
		case kind.Name == layout.WAL:
			if !slices.Contains(c.state.WAL, key) {
				return fmt.Errorf("%w: a node has recorded events there (%s)", ErrOther, key)
			}
		case kind.Name == layout.Plan:
			return fmt.Errorf("%w: a node has sequenced events there (%s)", ErrOther, key)
		case kind.Check == layout.AsDocument && !kind.Cleaned:
			if err := c.sourceHas(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// sourceHas returns ErrOther (wrapped) if the source lacks a version of a document. The source never deletes versions.
func (c *Copier) sourceHas(ctx context.Context, key string) error {
	o, err := c.From.Get(ctx, key, bucket.Range{Length: 1})
	if errors.Is(err, bucket.ErrNotExist) {
		return fmt.Errorf("%w: %s is only in the destination", ErrOther, key)
	}
	if err != nil {
		return err
	}
	return o.Close()
}

// parallel is the number of objects that are copied at the same time. Each of them is in memory.
const parallel = 4

// attempts is the maximum number of tries of a call.
const attempts = 4

// try calls do, and repeats it after errors that may pass.
func (c *Copier) try(ctx context.Context, do func() error) error {
	p := retry.Policy{First: c.Retry, Tries: attempts, Passing: func(err error) bool {
		return !errors.Is(err, bucket.ErrNotExist) && !errors.Is(err, ErrOther)
	}}
	return p.Do(ctx, do)
}

// object copies an object, unless the destination has it. If the source no longer has it, it returns bucket.ErrNotExist
// (wrapped).
func (c *Copier) object(ctx context.Context, key string) error {
	return c.try(ctx, func() error {
		data, err := bucket.Read(ctx, c.From, key, bucket.Range{})
		if err != nil {
			return err
		}
		return c.put(ctx, key, data)
	})
}

// put creates an object at the destination. If the same object exists already, it succeeds.
func (c *Copier) put(ctx context.Context, key string, data []byte) error {
	err := c.To.PutNew(ctx, key, data)
	if err != nil {
		there, readErr := bucket.Read(ctx, c.To, key, bucket.Range{})
		switch {
		case readErr == nil && !bytes.Equal(there, data):
			return fmt.Errorf("%w: %s is different in the destination", ErrOther, key)
		case readErr != nil:
			return err
		}
	}
	c.copied.Add(1)
	c.bytes.Add(int64(len(data)))
	if c.Progress != nil {
		c.Progress(int64(len(data)))
	}
	return nil
}

// copyAll copies the objects that the destination does not have in the same size.
func (c *Copier) copyAll(ctx context.Context, infos []bucket.Info) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, info := range infos {
		c.keep[info.Key] = true
		group.Go(func() error {
			if there, ok := c.there[info.Key]; ok {
				size, err := info.Size()
				if err != nil {
					return err
				}
				if size == anySize || size == there {
					c.already.Add(1)
					return nil
				}
			}
			return c.object(groupCtx, info.Key)
		})
	}
	return group.Wait()
}

// anySize is the size of an object whose key is never written again with other content, so that existence is enough.
const anySize = -1

// copyWAL copies the waiting events. It first records their keys, so that they do not seem to come from a node.
func (c *Copier) copyWAL(ctx context.Context) error {
	infos, err := c.list(ctx, layout.WAL.Prefix())
	if err != nil {
		return err
	}
	for _, info := range infos {
		c.state.WAL = append(c.state.WAL, info.Key)
	}
	slices.Sort(c.state.WAL)
	c.state.WAL = slices.Compact(c.state.WAL)
	if err := writeState(ctx, c.To, c.state); err != nil {
		return err
	}
	for _, info := range infos {
		if err := c.copyAll(ctx, []bucket.Info{info}); err != nil && !errors.Is(err, bucket.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (c *Copier) list(ctx context.Context, prefix string) ([]bucket.Info, error) {
	var infos []bucket.Info
	err := c.try(ctx, func() error {
		infos = nil
		for info, err := range c.From.List(ctx, prefix, "") {
			if err != nil {
				return err
			}
			infos = append(infos, info)
		}
		return nil
	})
	return infos, err
}

func (c *Copier) copyLogs(ctx context.Context) error {
	auditor := &audit.Auditor{Bucket: c.From}
	var logs []string
	for log, err := range auditor.Logs(ctx) {
		if err != nil {
			return err
		}
		logs = append(logs, log)
	}
	for _, log := range logs {
		if err := c.copyLog(ctx, auditor, log); err != nil {
			return fmt.Errorf("log %s: %w", log, err)
		}
		c.summary.Logs++
	}
	return nil
}

// copyLog copies a log as it is at some moment.
func (c *Copier) copyLog(ctx context.Context, auditor *audit.Auditor, log string) error {
	for {
		var contents *audit.Contents
		err := c.try(ctx, func() (err error) {
			contents, err = auditor.Contents(ctx, log)
			return err
		})
		if err != nil || contents.Manifest == "" {
			return err
		}
		var infos []bucket.Info
		for _, key := range contents.Objects {
			infos = append(infos, bucket.Sized(key, anySize))
		}
		err = c.copyAll(ctx, infos)
		if errors.Is(err, bucket.ErrNotExist) { // merged or removed meanwhile
			later, laterErr := auditor.Contents(ctx, log)
			if laterErr == nil && later.Version == contents.Version {
				return fmt.Errorf("it names an object that is not there: %w", err)
			}
			err = laterErr
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		return c.copyManifest(ctx, log, contents)
	}
}

func (c *Copier) copyManifest(ctx context.Context, log string, contents *audit.Contents) error {
	newer := &audit.Auditor{Bucket: c.To}
	have, err := newer.Contents(ctx, log)
	if err == nil && have.Version > contents.Version {
		err = fmt.Errorf("%w: its log has grown on its own", ErrOther)
	}
	if err != nil {
		return err
	}
	c.keep[contents.Manifest] = true
	if _, ok := c.there[contents.Manifest]; ok && have.Version == contents.Version &&
		bytes.Equal(have.Data, contents.Data) {
		c.already.Add(1)
	} else {
		if err := c.try(ctx, func() error { return c.put(ctx, contents.Manifest, contents.Data) }); err != nil {
			return err
		}
		c.summary.Changed = append(c.summary.Changed, log)
	}
	cosignatures, err := c.list(ctx, layout.Cosignature.Prefix(log))
	if err != nil {
		return err
	}
	if err := c.copyAll(ctx, cosignatures); err != nil && !errors.Is(err, bucket.ErrNotExist) {
		return err
	}
	return nil
}

// documentPasses bounds how often the copy looks for new documents.
const documentPasses = 20

// copyStates copies what says how far something has come.
func (c *Copier) copyStates(ctx context.Context) error { return c.copyKinds(ctx, layout.BeforeAll) }

// copyDocuments copies documents, and the objects that nodes record for themselves.
func (c *Copier) copyDocuments(ctx context.Context) error {
	return c.copyKinds(ctx, layout.WithDocument)
}

// copyKinds copies the objects of the kinds that a backup copies at one time.
func (c *Copier) copyKinds(ctx context.Context, when layout.Backup) error {
	for range documentPasses {
		before := c.copied.Load()
		for _, top := range layout.Tops(func(k layout.Kind) bool { return k.Backup == when }) {
			infos, err := c.list(ctx, top+"/")
			if err != nil {
				return err
			}
			for _, info := range infos {
				if k, ok := layout.Of(info.Key); !ok || k.Backup != when {
					continue
				}
				err := c.copyAll(ctx, []bucket.Info{info})
				if err == nil {
					c.there[info.Key], err = info.Size()
				}
				if err != nil && !errors.Is(err, bucket.ErrNotExist) { // an object that is no longer needed
					return err
				}
			}
		}
		if c.copied.Load() == before {
			return nil
		}
	}
	return nil
}

// tidy deletes objects from the destination that an earlier copy has copied and that the source no longer has.
func (c *Copier) tidy(ctx context.Context) error {
	var old []string
	for key := range c.there {
		if !c.keep[key] && !layout.Is(key, layout.Quarantined) {
			old = append(old, key)
		}
	}
	slices.Sort(old)
	for part := range slices.Chunk(old, 500) {
		if err := c.try(ctx, func() error { return c.To.Delete(ctx, part...) }); err != nil {
			return err
		}
		c.gone.Add(int64(len(part)))
	}
	return nil
}

func (c *Copier) finish(ctx context.Context) error {
	c.state.Complete, c.state.Finished = true, time.Now().UTC()
	c.state.WAL = slices.DeleteFunc(c.state.WAL, func(key string) bool { return !c.keep[key] })
	return writeState(ctx, c.To, c.state)
}
