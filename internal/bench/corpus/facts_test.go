package corpus_test

import (
	"bytes"
	"compress/flate"
	"regexp"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/event"
)

// What weir says of an event costs at most 3 bytes on disk, also if each event is taken in by itself, so at a time of
// its own.
func TestFactsCostAtMostThreeBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	const events = 4000
	facts := regexp.MustCompile(`,?("unmapped":\{)?"weir":\{[^}]*\}`)
	for _, varied := range []bool{false, true} {
		c := corpus.Corpus{Events: events, Days: 1, Until: time.Now().Add(-time.Hour), Seed: 1, Varied: varied}
		p := event.Parser{}
		var with, without []byte
		for i := range events {
			raw, ok := c.Next(nil)
			if !ok {
				t.Fatal("no more events")
			}
			taken := c.Until.Add(time.Duration(i) * 21_701 * time.Millisecond)
			line, _, err := p.Append(nil, bytes.TrimSpace(raw), event.Origin{By: "6a7941c22c88faeba59c580d", Workspace: "demo",
				Project: "6a793f48c0eb9e7a17712c9a", Received: taken, Salt: "k7xq2mwp4zt5aohs3"})
			if err != nil {
				t.Fatal(err)
			}
			with = append(with, line...)
			without = append(without, facts.ReplaceAll(line, nil)...)
		}
		cost := float64(deflated(t, with)-deflated(t, without)) / events
		if cost <= 0 || cost > 3 {
			t.Errorf("varied %t: %.2f bytes an event", varied, cost)
		}
	}
}

// deflated returns the size of lines in blocks as segments have them.
func deflated(t *testing.T, lines []byte) int {
	var b bytes.Buffer
	for len(lines) > 0 {
		n := min(len(lines), 512<<10)
		w, err := flate.NewWriter(&b, 5)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(lines[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		lines = lines[n:]
	}
	return b.Len()
}
