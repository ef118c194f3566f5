package tlog

import (
	"context"
	"encoding/json"

	"github.com/weirlog/weir/internal/manifest"
)

// Info describes a log without reading its events.
type Info struct {
	Entries  int64 // number of entries not removed, and of events that wait to be sequenced, retries included
	Bytes    int64 // size of its objects
	MinTime  int64 // of its events, milliseconds since the epoch, both included; 0 if there is none
	MaxTime  int64
	Older    int64           // upper bound of the number of entries that are older than the requested time
	Pruned   manifest.Pruned // entries that retention has removed
	Removing bool            // there are objects to be deleted
}

// Info returns the Info of a log. Info.Older counts all entries of each segment that has an event older than before
// (milliseconds since the epoch).
func (s *Logs) Info(ctx context.Context, log string, before int64) (i Info, err error) {
	v, err := s.view(ctx, log)
	if err != nil {
		return Info{}, err
	}
	err = v.use(ctx, func(v *view) error {
		i, err = v.info(ctx, before)
		return err
	})
	return i, err
}

func (v *view) info(ctx context.Context, before int64) (Info, error) {
	i := Info{Pruned: v.manifest.Pruned, Removing: len(v.manifest.Removing) > 0}
	for seg, err := range v.Segments(ctx, v.manifest, 0, minInt64, maxInt64) {
		if err != nil {
			return Info{}, err
		}
		i.add(seg.Count, seg.Size(), seg.MinTime, seg.MaxTime, before)
	}
	for _, t := range v.tail {
		i.add(int64(t.Count), t.Length, t.MinTime, t.MaxTime, before)
	}
	if m, err := json.Marshal(v.manifest); err == nil && v.manifest.Version > 0 {
		i.Bytes += int64(len(m))
	}
	return i, nil
}

func (i *Info) add(count, bytes, minTime, maxTime, before int64) {
	if i.Entries == 0 {
		i.MinTime, i.MaxTime = minTime, maxTime
	}
	if minTime < before {
		i.Older += count
	}
	i.Entries += count
	i.Bytes += bytes
	i.MinTime, i.MaxTime = min(i.MinTime, minTime), max(i.MaxTime, maxTime)
}
