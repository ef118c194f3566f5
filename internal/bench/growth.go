package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// growing are the rows that are measured at each size.
var growing = regexp.MustCompile(`^(disk|start|download/(all|hour)|record/(8x5000|64x1|1x1))$`)

// measureGrowth measures the same at several sizes: events in one workspace, then workspaces beside a small one.
func (s settings) measureGrowth(ctx context.Context, binary string) error {
	var sizes [][2]int // events, workspaces
	for n := 10_000; n <= s.most; n *= 10 {
		sizes = append(sizes, [2]int{n, 0})
	}
	for _, n := range []int{1, 100, 10_000} {
		sizes = append(sizes, [2]int{10_000, n})
	}
	if s.only.String() == "" {
		s.only = growing
	}
	s.tmpfs = ""
	t := newTable(os.Stdout, "events", "workspaces", "one hour ms", "all ms", "nginx's ms", "record 8×5,000 events/s",
		"64×1 requests/s", "1×1 p50 ms", "start ms", "RSS MB", "peak MB", "B an event", "segments")
	for i, size := range sizes {
		s.Events, s.Workspaces = size[0], size[1]
		dir := filepath.Join(s.dir, fmt.Sprintf("growth-%d", i))
		r, err := s.measure(ctx, binary, dir)
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		t.row(r.growthRow()...)
		if err := t.end(); err != nil { // now: the next may take minutes
			return err
		}
	}
	return nil
}

func (r *report) growthRow() []any {
	row := []any{r.Settings.Events, r.Settings.Workspaces}
	var hour, all, yardstick, large, single, idle float64
	for _, d := range r.Downloads {
		switch d.Name {
		case "download/hour":
			hour = d.Wall
		case "download/all":
			all, yardstick = d.Wall, d.YardstickMS
		}
	}
	for _, d := range r.Recording {
		switch d.name() {
		case "record/8x5000":
			large = d.Rate
		case "record/64x1":
			single = d.Requests
		case "record/1x1":
			idle = d.P50
		}
	}
	row = append(row, hour, all, yardstick, large, single, idle)
	if r.Start != nil && r.Disk != nil {
		row = append(row, r.Start.Ready, megabytes(r.Start.RSS), megabytes(r.Start.Peak), r.Disk.All, r.Disk.Segments)
	}
	return row
}
