package index

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

var until = time.UnixMilli(1_795_000_000_000)

// corpusBlocks returns the lines of blocks of 512 KiB.
func corpusBlocks(events int, varied bool) (blocks [][]byte, counts []int) {
	c := &corpus.Corpus{Events: events, Days: 30, Until: until, Seed: 1, Varied: varied}
	var lines []byte
	count := 0
	for ok := true; ok; {
		if lines, ok = c.Next(lines); ok {
			count++
		}
		if len(lines) >= 512<<10 || !ok && count > 0 {
			blocks, counts = append(blocks, bytes.Clone(lines)), append(counts, count)
			lines, count = lines[:0], 0
		}
	}
	return blocks, counts
}

func noteBlock(lines []byte, count int) *note {
	return noteOf(segment.Content{Block: &segment.Block{Count: count}, Lines: lines})
}

// largeIndex is the index of 500,000 events, which is as large as segments get.
var largeIndex = sync.OnceValue(func() []byte {
	blocks, counts := corpusBlocks(500_000, false)
	var notes []*note
	for i := range blocks {
		notes = append(notes, noteBlock(blocks[i], counts[i]))
	}
	return encode(notes)
})

// processorTime returns the CPU time of the process. It varies less than wall time if the machine is busy.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs do repeatedly, and reports the CPU time for each of the n items that it processes.
func measure(b *testing.B, n int, unit string, do func() error) {
	b.ReportAllocs()
	start := processorTime()
	for b.Loop() {
		if err := do(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processorTime()-start).Nanoseconds())/float64(b.N)/float64(n), "cpu-ns/"+unit)
}

func BenchmarkNote(b *testing.B) {
	for name, varied := range map[string]bool{"even": false, "varied": true} {
		b.Run(name, func(b *testing.B) {
			blocks, counts := corpusBlocks(20_000, varied)
			measure(b, 20_000, "event", func() error {
				for i := range blocks {
					noteBlock(blocks[i], counts[i])
				}
				return nil
			})
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	const events = 200_000
	blocks, counts := corpusBlocks(events, false)
	var notes []*note
	for i := range blocks {
		notes = append(notes, noteBlock(blocks[i], counts[i]))
	}
	size := 0
	measure(b, events, "event", func() error {
		size = len(encode(notes))
		return nil
	})
	b.ReportMetric(float64(size)/events, "B/event")
}

func BenchmarkMerge(b *testing.B) {
	content := largeIndex()
	measure(b, 500_000, "event", func() error {
		notes, err := decodeNotes(content)
		encode(notes)
		return err
	})
}

func BenchmarkEvaluate(b *testing.B) {
	x := open(b, largeIndex())
	for _, text := range []string{
		"*", "6a7941c22c88faeba59c580d", "nowhere", "processor-31", "Unauthorized",
		"src_endpoint.ip:203.0.112.7", "from:203.0.112.7", "src_endpoint.ip:203.0.112.0/24", "203.0.112.0/24",
		"actor.user.name:admin.user-1* status_id:2 -unmapped.atype:logout",
		"who:admin.user-7 outcome:failure what:*StreamProcessor",
		"status_id:2 target:processor-0* class:3004 not from:203.0.113.0/24 who:admin.user-1* not what:logout " +
			"severity_id >= 2 time > 2026-11-01 -actor.user.name:admin.user-12 type_uid > 5",
	} {
		b.Run(text[:min(len(text), 40)], func(b *testing.B) { x.benchmark(b, text) })
	}
	id := someUID(b)
	b.Run("id", func(b *testing.B) { x.benchmark(b, id) })
}

// someUID returns the uid of one event.
func someUID(b *testing.B) string {
	blocks, _ := corpusBlocks(500_000, false)
	_, after, _ := bytes.Cut(blocks[100], []byte(`"uid":"`))
	return string(after[:36])
}

func (o *opened) benchmark(b *testing.B, text string) {
	q, err := query.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	var result []Matches
	o.fetched, o.fetches = 0, 0
	measure(b, 1, "op", func() error {
		result, err = o.Evaluate(context.Background(), q, o.All(), o.fetch)
		return err
	})
	yes, perhaps, blocks := 0, 0, 0
	for i, m := range result {
		y, p := m.sets(o.Entries(i))
		yes, perhaps = yes+y.Count(), perhaps+p.Count()
		if p != nil {
			blocks++
		}
	}
	b.ReportMetric(float64(yes), "hits")
	b.ReportMetric(float64(perhaps), "perhaps")
	b.ReportMetric(float64(blocks), "blocks-to-read")
	b.ReportMetric(float64(o.fetched)/float64(b.N)/1024, "KiB-read")
	b.ReportMetric(float64(o.fetches)/float64(b.N), "fetches")
}

func BenchmarkFacets(b *testing.B) {
	x := open(b, largeIndex())
	for name, fields := range map[string][]query.Field{
		"fields":  {"actor.user.name", "src_endpoint.ip", "unmapped.atype", "entity.name", "status", "class_uid"},
		"aliases": {"who", "from", "what", "target", "outcome", "class"},
	} {
		for _, text := range []string{"*", "src_endpoint.ip:203.0.112.7"} {
			q, err := query.Parse(text)
			if err != nil {
				b.Fatal(err)
			}
			result := x.evaluate(b, q, x.All())
			b.Run(fmt.Sprint(name, "/", text), func(b *testing.B) {
				measure(b, 1, "op", func() error {
					_, err := x.Facets(context.Background(), fields, 0, result, x.fetch)
					return err
				})
			})
		}
	}
}

// TestSize bounds the size of an index per event. Its log shows the size of each part.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for _, test := range []struct {
		varied bool
		most   float64
	}{{false, 8}, {true, 15}} {
		const events = 50_000
		blocks, counts := corpusBlocks(events, test.varied)
		var notes []*note
		for i := range blocks {
			notes = append(notes, noteBlock(blocks[i], counts[i]))
		}
		content := encode(notes)
		x := open(t, content)
		per := func(n int64) float64 { return float64(n) / events }
		t.Logf("varied: %t; %.2f B an event: head %.3f, filter %.2f, times %.2f, dictionaries %.2f, records %.2f",
			test.varied, per(int64(len(content))), per(x.filter.offset), per(x.times.offset-x.filter.offset),
			per(x.lists.offset-x.times.offset), per(x.records.offset-x.lists.offset),
			per(x.records.end()-x.records.offset))
		for i, c := range x.columns {
			t.Logf("%-28s %6d lists %6d present %6d hidden: %.3f + %.3f", c.path, c.lists, c.present, c.hidden,
				per(x.lists.ends[i]-x.lists.start(i)), per(x.records.ends[i]-x.records.start(i)))
		}
		if got := per(int64(len(content))); got > test.most {
			t.Errorf("varied: %t; %.2f B an event, want at most %.0f", test.varied, got, test.most)
		}
	}
}
