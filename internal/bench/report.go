package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// report is everything that a run measured.
type report struct {
	Machine    machine    `json:"machine"`
	Settings   settings   `json:"settings"`
	Yardsticks yardsticks `json:"yardsticks"`
	FillRate   float64    `json:"fillEventsPerSecond"` // one client, 5,000 events a request
	Recording  []recorded `json:"recording,omitempty"`
	// 64 clients, single events, a bucket in memory
	Volatile  *recorded    `json:"recordingWithoutDurability,omitempty"`
	Downloads []downloaded `json:"downloads,omitempty"`
	Disk      *disk        `json:"disk,omitempty"`
	Start     *started     `json:"start,omitempty"`
	Targets   []target     `json:"targets,omitempty"`
}

// started says how a server starts on the recorded events.
type started struct {
	Ready      float64 `json:"readyMilliseconds"` // from exec until /readyz, median
	RSS        int64   `json:"residentBytesAfterStart"`
	Peak       int64   `json:"peakResidentBytesAfterFullDownload"`
	Events     int     `json:"events"`
	Workspaces int     `json:"workspaces"`
	Repeated   int     `json:"repeated"`
}

// target is a figure that should not be above (or below) another of the same run.
type target struct {
	Work     string  `json:"work"`
	Measured float64 `json:"measured"`
	Limit    float64 `json:"limit"`
	AtLeast  bool    `json:"atLeast"`
	Unit     string  `json:"unit"`
	Pass     bool    `json:"pass"`
}

func (r *report) atMost(work string, measured, limit float64, unit string) {
	r.Targets = append(r.Targets, target{work, measured, limit, false, unit, measured <= limit})
}

func (r *report) atLeast(work string, measured, limit float64, unit string) {
	r.Targets = append(r.Targets, target{work, measured, limit, true, unit, measured >= limit})
}

// judge compares what was measured with the targets.
func (r *report) judge() {
	for _, d := range r.Downloads {
		switch d.Name {
		case "download/all":
			r.atMost("all: wall time, 2 times "+d.Yardstick, d.Wall, 2*d.YardstickMS, "ms")
			r.atMost("all: server CPU", d.CPU, 60, "ms")
			r.atMost("all: allocated", d.Allocated, 64, "KiB")
		case "download/hour":
			r.atMost("one hour: wall time", d.Wall, 5, "ms")
			r.atMost("one hour: first byte", d.First, 2, "ms")
		case "download/processor", "download/brief-processor":
			r.atMost(strings.TrimPrefix(d.Name, "download/")+": 1.2 times "+d.Yardstick, d.Wall,
				1.2*d.YardstickMS, "ms")
		}
	}
	for _, d := range r.Recording {
		switch d.name() {
		case "record/8x5000":
			r.atLeast("recording, 8 clients, 5,000 events", d.Rate, 150_000, "events/s")
			r.atMost("recording, 8 clients, 5,000 events: CPU", d.CPU, 6, "µs/event")
		case "record/64x1":
			limit := 10_000.0
			if r.Volatile != nil {
				limit = min(limit, 0.6*r.Volatile.Requests)
			}
			r.atLeast("recording, 64 clients, single events (or 60 % of what it is without durability)", d.Requests,
				limit, "requests/s")
		case "record/1x1":
			r.atMost("reply to one event, idle: p50, 3 fsyncs", d.P50, 3*r.Yardsticks.Append, "ms")
		}
	}
	if r.Disk != nil {
		r.atMost("disk", r.Disk.All, 75, "B/event")
	}
	if r.Start != nil {
		size := fmt.Sprintf(" with %d events, %d workspaces", r.Start.Events, r.Start.Workspaces)
		r.atMost("start"+size, r.Start.Ready, 1000, "ms")
		r.atMost("memory after a full download"+size, megabytes(r.Start.Peak), 150, "MB")
	}
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

func writeJSON(file string, report any) error {
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// table is a Markdown table.
type table struct{ w *bufio.Writer }

func newTable(out io.Writer, columns ...any) table {
	t := table{bufio.NewWriter(out)}
	t.w.WriteByte('\n')
	t.row(columns...)
	t.w.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	return t
}

func (t table) row(cells ...any) {
	for _, c := range cells {
		if f, ok := c.(float64); ok {
			c = figure(f)
		}
		fmt.Fprintf(t.w, "| %v ", c)
	}
	t.w.WriteString("|\n")
}

// end writes the table out.
func (t table) end() error { return t.w.Flush() }

// figure writes a number with as many digits as mean something.
func figure(f float64) string {
	switch {
	case f >= 1000:
		s := fmt.Sprintf("%.0f", f)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

// print writes the report as Markdown.
func (r *report) print(out io.Writer) error {
	y := r.Yardsticks
	fmt.Fprintf(out, "%s, %d cores, Linux %s, %s, load %s before the run; %d events, %d small workspaces, seed %d.\n",
		r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go, r.Machine.Load, r.Settings.Events,
		r.Settings.Workspaces, r.Settings.Seed)
	fmt.Fprintf(out, "1 KiB appended and fsynced: %s ms; in a new file with a durable name: %s ms.\n", figure(y.Append),
		figure(y.New))
	if y.Raw > 0 {
		fmt.Fprintf(out, "gzip -6 of the corpus: %s of %s B an event, %s µs.\n", figure(y.Gzip), figure(y.Raw),
			figure(y.GzipTime))
	}
	t := newTable(out, "clients", "events a request", "events/s", "requests/s", "CPU µs an event", "p50 ms", "p99 ms")
	for _, d := range r.Recording {
		clients := strconv.Itoa(d.Clients)
		if d.Late {
			clients += ", of all days"
		}
		t.row(clients, d.Events, d.Rate, d.Requests, d.CPU, d.P50, d.P99)
	}
	if v := r.Volatile; v != nil {
		t.row("64, bucket in memory", v.Events, v.Rate, v.Requests, v.CPU, v.P50, v.P99)
	}
	if err := t.end(); err != nil {
		return err
	}
	t = newTable(out, "download", "bytes", "wall ms", "first byte ms", "server CPU ms", "allocated KiB", "yardstick",
		"its ms", "its CPU ms")
	for _, d := range r.Downloads {
		t.row(strings.TrimPrefix(d.Name, "download/"), figure(float64(d.Bytes)), d.Wall, d.First, d.CPU, d.Allocated,
			d.Yardstick, d.YardstickMS, d.YardstickCPU)
	}
	if err := t.end(); err != nil {
		return err
	}
	if err := r.printSizes(out); err != nil {
		return err
	}
	t = newTable(out, "target", "measured", "limit", "unit", "")
	for _, g := range r.Targets {
		sign, verdict := "≤ ", "pass"
		if g.AtLeast {
			sign = "≥ "
		}
		if !g.Pass {
			verdict = "**miss**"
		}
		t.row(g.Work, g.Measured, sign+figure(g.Limit), g.Unit, verdict)
	}
	return t.end()
}

func (r *report) printSizes(out io.Writer) error {
	if d := r.Disk; d != nil {
		t := newTable(out, "B an event on disk", "")
		t.row("all of the log", d.All)
		t.row("blocks", d.Blocks)
		t.row("indexes", d.Indexes)
		t.row("filters", d.Filters)
		t.row("hashes", d.Hashes)
		t.row("manifest and history", d.Documents)
		t.row("index of searches", d.Beside)
		t.row("replaced by merges, deleted after 10 minutes", d.Replaced)
		t.row("write-ahead log (bytes)", float64(d.WAL))
		if err := t.end(); err != nil {
			return err
		}
	}
	if s := r.Start; s != nil {
		t := newTable(out, "start", "")
		t.row("exec until /readyz, ms", s.Ready)
		t.row("resident after the start, MB", megabytes(s.RSS))
		t.row("peak resident after a full download, MB", megabytes(s.Peak))
		return t.end()
	}
	return nil
}
