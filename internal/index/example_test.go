package index_test

import (
	"context"
	"fmt"

	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

func Example() {
	lines := `{"time":1795154400000,"status_id":2,"actor":{"user":{"name":"anna"}}}
{"time":1795154400001,"status_id":1,"actor":{"user":{"name":"bob"}}}
{"time":1795154400002,"status_id":1,"actor":{"user":{"name":"anna"}}}
`
	// A segment.Builder calls these for each block of a segment.
	kind := index.Kind{Least: 1}
	block := segment.Made{Block: &segment.Block{Count: 3, Raw: int64(len(lines))}}
	block.Note = kind.Note(segment.Content{Block: block.Block, Lines: []byte(lines)})
	object, err := kind.Build([]segment.Made{block})
	if err != nil {
		fmt.Println(err)
		return
	}

	// A reader needs the head of the object, and then the ranges that Evaluate fetches.
	length, err := index.HeadLength(object)
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := index.Open(object[:length])
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fetch := func(_ context.Context, offset, length int64) ([]byte, error) {
		return object[offset : offset+length], nil
	}
	q, _ := query.Parse("who:anna")
	matches, err := x.Evaluate(ctx, q, x.All(), fetch)
	if err != nil {
		fmt.Println(err)
		return
	}
	for entry := range matches[0].Yes.All() {
		fmt.Println("entry", entry, "matches")
	}
	facets, err := x.Facets(ctx, []query.Field{"outcome"}, 0, matches, fetch)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range facets[0].Values {
		fmt.Println(c.Value.Text, c.Entries)
	}
	// Output:
	// entry 0 matches
	// entry 2 matches
	// failure 1
	// success 1
}
