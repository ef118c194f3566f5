package audit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// derived compares what stands beside a segment with what its lines give. It holds what the kinds note of each block,
// which is about as much as the objects themselves.
type derived struct {
	kinds []segment.Kind // of those that are known, the ones that stand beside the segment
	made  [][]segment.Made
}

// newDerived returns what compares the objects beside a segment that has the index x.
func newDerived(known []segment.Kind, seg manifest.Segment, x *segment.Index) *derived {
	d := &derived{}
	for _, k := range known {
		if !slices.ContainsFunc(seg.Beside, func(b manifest.Beside) bool { return b.Part == k.ID() }) {
			continue
		}
		made := make([]segment.Made, len(x.Blocks))
		for i := range x.Blocks {
			made[i].Block = &x.Blocks[i]
		}
		d.kinds, d.made = append(d.kinds, k), append(d.made, made)
	}
	return d
}

// note returns what takes the lines of a block of that number; nil if nobody wants them. Several blocks may be noted at
// the same time.
func (d *derived) note(number int) func(lines []byte) {
	if len(d.kinds) == 0 {
		return nil
	}
	return func(lines []byte) {
		for i, k := range d.kinds {
			made := &d.made[i][number]
			made.Note = k.Note(segment.Content{Block: made.Block, Lines: lines})
		}
	}
}

// compare makes each object again from what was noted of all blocks, and finds those that a manifest says to be other
// ones. That an object is what the manifest says is for others to look at.
func (d *derived) compare(a *Audit, seg manifest.Segment) {
	for i, k := range d.kinds {
		content, err := k.Build(d.made[i])
		d.made[i] = nil
		if err == nil && content == nil {
			err = errors.New("its lines give none")
		}
		var o segment.Object
		if err == nil {
			o, err = segment.NewObject(k, content)
		}
		for _, b := range seg.Beside {
			if b.Part != k.ID() || err == nil && manifest.NewBeside(b.Key, o) == b {
				continue
			}
			what := fmt.Errorf("%s of %s does not say what its lines say", b.Part, seg.Key)
			if err != nil {
				what = fmt.Errorf("%w: %w", what, err)
			}
			a.findBeside(b.Key, what)
		}
	}
}

// findBeside finds something wrong with an object beside a segment.
func (a *Audit) findBeside(key string, err error) {
	a.find(key, -1, fmt.Errorf("%w; a node makes it again from the lines if it is deleted", err))
}
