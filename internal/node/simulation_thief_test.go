package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"testing"

	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/segment"
)

// theft says which objects of a kind a thief takes. Nothing else may be lost with them: each download that covers an
// acknowledged event still has it, and no node deletes what is intact.
type theft struct {
	kind  layout.Name
	taken func(keys []string) []string // those of all keys of the kind, sorted, that are taken
	kept  string                       // If taken is nil, this is the reason.
}

func all(keys []string) []string { return keys }

// notTheHighest returns the keys of versions of which there are higher ones.
func notTheHighest(keys []string) (older []string) {
	for i, key := range keys[:max(0, len(keys)-1)] {
		if path.Dir(key) == path.Dir(keys[i+1]) {
			older = append(older, key)
		}
	}
	return older
}

const (
	onlyCopy = "it is the only copy of what it says"
	noneMade = "no node of the simulation makes one"
)

// thefts is a table of all kinds of objects.
var thefts = []theft{
	{kind: layout.Plan, taken: all},
	{kind: layout.Beat, taken: all},
	{kind: layout.Cursor, taken: all},
	{kind: layout.Beside, taken: all},
	{kind: layout.Manifest, taken: notTheHighest},

	{kind: layout.WAL, kept: onlyCopy},
	{kind: layout.Segment, kept: onlyCopy},
	{kind: layout.History, kept: onlyCopy},
	{kind: layout.Digests, kept: onlyCopy},
	{kind: layout.Settings, kept: onlyCopy},
	{kind: layout.Organization, kept: onlyCopy},
	{kind: layout.Project, kept: onlyCopy},
	{kind: layout.Credential, kept: onlyCopy},
	{kind: layout.ProjectNames, kept: onlyCopy},
	{kind: layout.UserNames, kept: onlyCopy},
	{kind: layout.Publication, kept: onlyCopy},
	{kind: layout.Sources, kept: noneMade},
	{kind: layout.SourceState, kept: noneMade},
	{kind: layout.Deliveries, kept: noneMade},
	{kind: layout.DeliveryState, kept: "without it everything is sent again, and nothing is said to be parked"},
	{kind: layout.Alerts, kept: onlyCopy},
	{kind: layout.AlertState, kept: "without it a rule counts anew, and may tell again of what it has told"},
	{kind: layout.Intent, kept: "it may be the only report of a change"},
	{kind: layout.Revocation, kept: "a token that was revoked would be valid again"},
	{kind: layout.Probe, kept: "it shows whether the store refuses to create an object twice; a node that " +
		"starts would stop"},
	{kind: layout.Cosignature, kept: noneMade},
	{kind: layout.CopyState, kept: noneMade},
	{kind: layout.Quarantined, kept: noneMade},
}

func TestThiefKnowsEveryKindOfObject(t *testing.T) {
	rows := map[layout.Name]int{}
	for _, row := range thefts {
		rows[row.kind]++
		if (row.taken == nil) == (row.kept == "") {
			t.Errorf("%s: it must be taken, or there must be a reason why not", row.kind)
		}
	}
	for _, k := range layout.Kinds {
		if rows[k.Name] != 1 {
			t.Errorf("%s: the table has %d rows", k.Name, rows[k.Name])
		}
	}
	if len(rows) != len(layout.Kinds) {
		t.Errorf("the table has %d kinds, the layout has %d", len(rows), len(layout.Kinds))
	}
}

// steal returns what a client does that takes away an object now and then.
func (c *cluster) steal() func(context.Context, *rand.Rand, *node) {
	var thieves int
	return func(ctx context.Context, rnd *rand.Rand, _ *node) {
		for _, i := range rnd.Perm(len(thefts)) {
			row := thefts[i]
			if row.taken == nil {
				continue
			}
			loot := row.taken(c.keys(ctx, row.kind))
			if len(loot) == 0 {
				continue
			}
			thieves++
			thief := c.world.Process(fmt.Sprint("thief", thieves))
			defer thief.Kill()
			if err := thief.Delete(ctx, loot[rnd.IntN(len(loot))]); err != nil && !expected(ctx, thief, err) {
				c.world.Wrong(fmt.Errorf("steal: %w", err))
			}
			return
		}
	}
}

// keys returns the keys of all objects of a kind, sorted.
func (c *cluster) keys(ctx context.Context, kind layout.Name) (keys []string) {
	for _, k := range layout.Kinds {
		if k.Name != kind {
			continue
		}
		for info := range c.world.Bucket.List(ctx, k.Top()+"/", "") {
			if layout.Is(info.Key, kind) {
				keys = append(keys, info.Key)
			}
		}
	}
	return keys
}

// countedLines is a kind of object beside segments: the number of entries of each block. Nothing reads it but merges.
type countedLines struct{}

func (countedLines) ID() segment.ID { return "counts" }

func (countedLines) Note(segment.Content) any { return nil }

func (k countedLines) Build(blocks []segment.Made) ([]byte, error) { return k.Merge(nil, blocks) }

func (countedLines) Merge(_ []*segment.Source, blocks []segment.Made) ([]byte, error) {
	var data []byte
	for _, b := range blocks {
		data = binary.AppendVarint(data, int64(b.Count))
	}
	return data, nil
}
