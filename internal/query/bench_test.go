package query

import (
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// BenchmarkMatch scans the events of a busy workspace, which have about 716 bytes each.
func BenchmarkMatch(b *testing.B) {
	c := &corpus.Corpus{Events: 4096, Days: 30, Until: time.Unix(1_795_000_000, 0), Seed: 1}
	var events [][]byte
	size := 0
	for line, ok := c.Next(nil); ok; line, ok = c.Next(nil) {
		events = append(events, line)
		size += len(line)
	}
	for _, text := range []string{
		"*",
		"6a7941c22c88faeba59c580d",
		"nowhere",
		"orders-enrich or nowhere",
		"status_id:2",
		"src_endpoint.ip:203.0.112.7",
		"src_endpoint.ip:203.0.112.0/24",
		"actor.user.name:admin.user-1* status_id:2 -unmapped.atype:logout",
		"entity.name:processor-0* type_uid:300410 time > 2026-11-01",
		"who:admin.user-7 outcome:failure what:*StreamProcessor",
		"203.0.112.0/24",
		"2 300410",
	} {
		b.Run(text, func(b *testing.B) {
			q, err := Parse(text)
			if err != nil {
				b.Fatal(err)
			}
			m, err := Compile(q)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size / len(events)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Match(events[i%len(events)])
			}
		})
	}
}

func BenchmarkExtract(b *testing.B) {
	x := NewExtract(everyAlias()...)
	events := sampleEvents()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := x.Read(events[i%len(events)]); err != nil {
			b.Fatal(err)
		}
	}
}
