package tlog

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// Known returns the standing of each entry in the sequenced part of a log.
func (s *Logs) Known(ctx context.Context, log string, entries []event.Entry) (known []event.Standing, err error) {
	m, ok := s.manifests.GetIfPresent(log) // a stale manifest misses duplicates, which sequencing finds
	if !ok {
		if m, err = s.manifest(ctx, log); err != nil {
			return nil, err
		}
	}
	err = s.viewOf(m).use(ctx, func(v *view) error {
		known, err = v.known(ctx, entries)
		return err
	})
	return known, err
}

// known returns the standing of each entry in the log of the view. The filters of the blocks whose range of time
// includes the event nearly always decide. If a filter says "may be present", the block is opened.
func (v *view) known(ctx context.Context, entries []event.Entry) ([]event.Standing, error) {
	known := make([]event.Standing, len(entries))
	if len(entries) == 0 || v.manifest.Entries == 0 {
		return known, nil
	}
	byTime := make([]int, len(entries))
	for i := range byTime {
		byTime[i] = i
	}
	slices.SortStableFunc(byTime, func(a, b int) int { return cmp.Compare(entries[a].Time, entries[b].Time) })
	minTime, maxTime := entries[byTime[0]].Time, entries[byTime[len(byTime)-1]].Time
	for seg, err := range v.Segments(ctx, v.manifest, 0, minTime, maxTime) {
		if err != nil {
			return nil, err
		}
		if err := v.knownIn(ctx, seg, entries, byTime, known); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func (v *view) knownIn(ctx context.Context, seg manifest.Segment, entries []event.Entry, byTime []int,
	known []event.Standing) error {
	x, err := v.Index(ctx, seg)
	if err != nil {
		return err
	}
	var filters []segment.Filter // read when first needed
	for i := range x.Blocks {
		b := &x.Blocks[i]
		lo := sort.Search(len(byTime), func(i int) bool { return entries[byTime[i]].Time >= b.MinTime })
		for _, e := range byTime[lo:] {
			if entries[e].Time > b.MaxTime {
				break
			}
			if known[e] == event.Known {
				continue
			}
			if filters == nil {
				if filters, err = v.Filters(ctx, seg, x); err != nil {
					return err
				}
			}
			if !filters[i].Has(entries[e].Key) {
				continue
			}
			keys, err := v.BlockKeys(ctx, seg, *b)
			if err != nil {
				return err
			}
			known[e].See(entries[e].Key, keys)
		}
	}
	return nil
}
