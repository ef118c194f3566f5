package audit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// derived compares the objects beside a segment with the lines of the segment. It keeps the notes that the kinds make
// of each block, which are about as large as the objects.
type derived struct {
	kinds []segment.Kind // the known kinds that are beside the segment
	made  [][]segment.Made
}

// newDerived returns a derived for a segment that has the index x.
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

// note returns a function for the lines of a block with this number, or nil if no kind needs them. Several blocks may
// be noted concurrently.
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

// compare makes each object again from the notes of all blocks, and reports those that have another digest in the
// manifest. It does not check that the objects have this digest.
func (d *derived) compare(a *Audit, seg manifest.Segment) {
	for i, k := range d.kinds {
		content, err := k.Build(d.made[i])
		d.made[i] = nil
		if err == nil && content == nil {
			err = errors.New("its lines give no such object")
		}
		var o segment.Object
		if err == nil {
			o, err = segment.NewObject(k, content)
		}
		for _, b := range seg.Beside {
			if b.Part != k.ID() || err == nil && manifest.NewBeside(b.Key, o) == b {
				continue
			}
			what := fmt.Errorf("%s of %s does not match its lines", b.Part, seg.Key)
			if err != nil {
				what = fmt.Errorf("%w: %w", what, err)
			}
			a.findBeside(b.Key, what)
		}
	}
}

// findBeside reports a fault of an object beside a segment.
func (a *Audit) findBeside(key string, err error) {
	a.find(key, -1, fmt.Errorf("%w; a node makes it again from the lines if it is deleted", err))
}
