package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
)

// searchReport is everything that was measured of searches.
type searchReport struct {
	Machine  machine      `json:"machine"`
	Settings settings     `json:"settings"`
	Answers  []answered   `json:"questions,omitempty"`
	Disk     []searchDisk `json:"disk"`
	Beside   *besides     `json:"besideRecording,omitempty"`
	Fields   *fieldsTaken `json:"fields,omitempty"`
	Check    *checked     `json:"check,omitempty"`
	S3       *onS3        `json:"s3,omitempty"`
	Growth   []grown      `json:"growth,omitempty"`
}

// searchDisk is bytes an event on disk.
type searchDisk struct {
	Name  string  `json:"name"`
	All   float64 `json:"bytesPerEvent"`
	Index float64 `json:"ofTheIndex"` // objects beside segments
}

// thisMachine describes where it is measured.
func thisMachine() machine {
	return machine{CPU: firstMatch("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Kernel: firstMatch("/proc/sys/kernel/osrelease", ""),
		Load:   strings.SplitN(firstMatch("/proc/loadavg", ""), " ", 2)[0]}
}

// answer returns the row of a question.
func (r *searchReport) answer(q question) *answered {
	for i := range r.Answers {
		if r.Answers[i].Name == q.Name {
			return &r.Answers[i]
		}
	}
	r.Answers = append(r.Answers, answered{Name: q.Name, question: q})
	return &r.Answers[len(r.Answers)-1]
}

// misses says which target a row misses; "" if none.
func (a *answered) misses() string {
	var missed []string
	q := a.question
	if q.limit > 0 && a.Warm > q.limit {
		missed = append(missed, fmt.Sprintf("**over %s ms**", figure(q.limit)))
	}
	if q.part > 0 && a.Victoria > 0 && a.Warm > q.part*a.Victoria {
		missed = append(missed, fmt.Sprintf("**over 1/%.0f of it**", 1/q.part))
	}
	return strings.Join(missed, ", ")
}

// print writes the report as Markdown.
func (r *searchReport) print(out io.Writer) error {
	fmt.Fprintf(out, "%s, %d cores, Linux %s, %s, load %s before the run; %d events of %d days, seed %d.\n", r.Machine.CPU,
		r.Machine.Cores, r.Machine.Kernel, r.Machine.Go, r.Machine.Load, r.Settings.Events, r.Settings.Days,
		r.Settings.Seed)
	t := newTable(out, "question", "found", "weir ms", "VictoriaLogs ms", "cold: weir ms", "VictoriaLogs ms",
		"target ms", "of VictoriaLogs", "")
	for _, a := range r.Answers {
		limit, part := "", ""
		if a.question.limit > 0 {
			limit = "≤ " + figure(a.question.limit)
		}
		if a.question.part > 0 {
			part = fmt.Sprintf("≤ 1/%.0f", 1/a.question.part)
		}
		t.row(a.Name, a.Found, a.Warm, a.Victoria, a.Cold, a.VictoriaCold, limit, part, a.misses())
	}
	if err := t.end(); err != nil {
		return err
	}
	t = newTable(out, "on disk", "B an event", "of them index")
	for _, d := range r.Disk {
		t.row(d.Name, d.All, d.Index)
	}
	if err := t.end(); err != nil {
		return err
	}
	for _, rest := range []func(io.Writer) error{r.printBeside, r.printCheck, r.printS3, r.printGrowth} {
		if err := rest(out); err != nil {
			return err
		}
	}
	return nil
}

func (r *searchReport) printBeside(out io.Writer) error {
	b := r.Beside
	if b == nil {
		return nil
	}
	t := newTable(out, "recording, 8 clients, 5,000 events", "")
	t.row("alone, events/s", b.Alone)
	t.row(fmt.Sprintf("beside %d searches at once, events/s", b.Searches), b.With)
	t.row("answers to searches, a second", b.Answered)
	t.row("refused for now", b.Busy)
	t.row("peak resident, MB", megabytes(b.Peak))
	return t.end()
}

func (r *searchReport) printCheck(out io.Writer) error {
	t := newTable(out, "", "")
	if f := r.Fields; f != nil {
		t.row("fields of everything, ms", f.All)
		t.row("fields of the events of an IP, ms", f.Busy)
		t.row("a search that gets a hint, ms", f.Hint)
	}
	if c := r.Check; c != nil {
		t.row("check of the log, events/s", c.With)
		t.row("the same, indexes not made again", c.Without)
		t.row("its CPU, µs an event", c.CPU)
		t.row("the same, indexes not made again", c.CPUBare)
	}
	if r.Fields == nil && r.Check == nil {
		return nil
	}
	return t.end()
}

func (r *searchReport) printS3(out io.Writer) error {
	if r.S3 == nil {
		return nil
	}
	t := newTable(out, fmt.Sprintf("one id on S3, %s ms a request", figure(r.S3.Delay)), "gets", "lists", "puts",
		"bytes read", "ms")
	for _, row := range []struct {
		name string
		asked
	}{{"cold", r.S3.Cold}, {"again", r.S3.Again}, {"from then on", r.S3.Warm}, {"another id", r.S3.Other}} {
		t.row(row.name, row.Gets, row.Lists, row.Puts, figure(float64(row.Bytes)), row.Took)
	}
	return t.end()
}

func (r *searchReport) printGrowth(out io.Writer) error {
	if len(r.Growth) == 0 {
		return nil
	}
	columns := []any{"events"}
	for _, q := range questions("") {
		if q.grows {
			columns = append(columns, q.Name+" ms")
		}
	}
	t := newTable(out, columns...)
	for _, g := range r.Growth {
		row := []any{g.Events}
		for _, ms := range g.Warm {
			row = append(row, ms)
		}
		t.row(row...)
	}
	return t.end()
}
