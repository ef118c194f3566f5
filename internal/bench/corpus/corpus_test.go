package corpus

import (
	"bytes"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/event"
)

var until = time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC)

func all(c Corpus) []byte {
	var lines []byte
	for ok := true; ok; {
		lines, ok = c.Next(lines)
	}
	return lines
}

// The corpus is the same for the same seed and another for another; its events are good, different, and in order.
func TestCorpus(t *testing.T) {
	c := Corpus{Events: 5000, Days: 30, Until: until, Seed: 1}
	lines := all(c)
	if !bytes.Equal(lines, all(c)) {
		t.Error("the same seed gives another corpus")
	}
	c.Seed = 2
	if bytes.Equal(lines, all(c)) {
		t.Error("another seed gives the same corpus")
	}
	if each := len(lines) / 5000; each < 650 || each > 800 {
		t.Errorf("%d bytes an event, want about 700", each)
	}
	var p event.Parser
	uids, names, last := map[string]bool{}, map[string]bool{}, until.AddDate(0, 0, -30).UnixMilli()
	for line := range bytes.Lines(lines) {
		f, err := p.Scan(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if f.Time < last || f.Time >= until.UnixMilli() {
			t.Fatalf("time %d after %d", f.Time, last)
		}
		last = f.Time
		uids[string(f.UID)] = true
		for _, name := range f.Processors {
			names[string(name)] = true
		}
	}
	if len(uids) != 5000 || len(names) != Processors {
		t.Errorf("%d uids, %d stream processors", len(uids), len(names))
	}
}

// A varied corpus has good events whose times are not always in order, and whose messages differ.
func TestVariedCorpus(t *testing.T) {
	c := Corpus{Events: 5000, Days: 30, Until: until, Seed: 1, Varied: true}
	lines := all(c)
	if !bytes.Equal(lines, all(c)) {
		t.Error("the same seed gives another corpus")
	}
	var p event.Parser
	messages, late, last := map[string]bool{}, 0, int64(0)
	for line := range bytes.Lines(lines) {
		f, err := p.Scan(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil || f.Time < until.AddDate(0, 0, -30).UnixMilli()-5000 || f.Time >= until.UnixMilli() {
			t.Fatalf("%s: %v", line, err)
		}
		if f.Time < last {
			late++
		}
		last = f.Time
		_, message, _ := bytes.Cut(line, []byte(`"message":"`))
		messages[string(message[:bytes.IndexByte(message, '"')])] = true
	}
	if late == 0 || late > 2500 || len(messages) < 4900 {
		t.Errorf("%d events are late, and there are %d messages", late, len(messages))
	}
}

// Renewed events have other uids, and times in the second before.
func TestRenewedEventsHaveNewUIDs(t *testing.T) {
	c := Corpus{Events: 100, Days: 1, Until: until, Seed: 1}
	b := c.NewBody(100)
	var p event.Parser
	uids := map[string]bool{}
	for n := range uint64(50) {
		b.Renew(n, until)
		for line := range bytes.Lines(b.Lines) {
			f, err := p.Scan(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil || f.Time < until.UnixMilli()-1000 || f.Time >= until.UnixMilli() {
				t.Fatalf("%s: %d, %v", line, f.Time, err)
			}
			uids[string(f.UID)] = true
		}
	}
	if len(uids) != 50*100 {
		t.Errorf("%d uids of %d events", len(uids), 50*100)
	}
}

// In a corpus to search in an address has about one of a hundred events, a word very few; without it there are none.
func TestSoughtValuesHaveTheirShares(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	c := Corpus{Events: 50_000, Days: 30, Until: until, Seed: 1}
	if plain := all(c); bytes.Contains(plain, []byte(BusyAddress)) || bytes.Contains(plain, []byte(RareWord)) {
		t.Error("a plain corpus has what is sought")
	}
	c.Sought = true
	lines := all(c)
	if n := bytes.Count(lines, []byte(BusyAddress)); n < 250 || n > 1000 {
		t.Errorf("the busy address has %d events", n)
	}
	if n := bytes.Count(lines, []byte(RareWord)); n != 1 {
		t.Errorf("%d events have the rare word", n)
	}
}
