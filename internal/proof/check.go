package proof

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Shown is the result of a File for the lines of a file.
type Shown struct {
	Size    int64 // of the signed tree
	Root    Hash
	Held    int64 // lines that are entries of the log
	First   int64 // index of the first of these entries, and of the last; -1 if there are none
	Last    int64
	Between []Run // entries between First and Last that the file does not hold
	Pending []Run // lines that are not proven to be entries
}

// Differs is the error for a file, or a proof, that does not verify.
type Differs struct {
	Lines   Run // of the file, one of which differs; Count is 0 if it is not known which
	Entries Run // that these lines should be
	Why     string
}

func (d *Differs) Error() string {
	switch {
	case d.Lines.Count == 0:
		return d.Why
	case d.Lines.Count == 1:
		return fmt.Sprintf("line %d is not entry %d of the log: %s", d.Lines.First+1, d.Entries.First, d.Why)
	}
	return fmt.Sprintf("lines %d to %d are not entries %d to %d of the log: %s", d.Lines.First+1, d.Lines.End(),
		d.Entries.First, d.Entries.End()-1, d.Why)
}

// Verify checks the lines of a file, given by the leaf hashes of their digests, against f and its checkpoint, which a
// trusted key must have signed. If something does not verify, it returns a *Differs.
func (f *File) Verify(keys *Keys, leaves []Hash) (*Shown, error) {
	c, err := f.Check(keys, false)
	for i := 0; err == nil && i < len(leaves); i++ {
		err = c.Line(leaves[i])
	}
	if err != nil {
		return nil, err
	}
	return c.End()
}

// Checker checks the lines of a file in order. It keeps no lines: its memory is bounded by the number of the proof's
// parts.
type Checker struct {
	file  *File
	size  int64 // of the signed tree
	root  Hash
	shown Shown

	lines   int64            // number of lines so far
	byLine  []int32          // parts that the file holds, in the order of their lines
	at      int              // index in byLine of the part that the next line belongs to, or comes before
	current subtrees         // of part at
	aside   map[int32][]node // complete parts, while one before them in the log is incomplete
	nodes   int              // in aside
	next    int              // the first part that is not in the trees yet
	tree    Tree             // of the lines
	claimed Tree             // of the hashes of these lines in the proof
	differs *Differs         // the first difference
	limit   int              // level of the largest subtree that gets a mark
	marks   []Part
	marking bool
}

// Check begins to check a file, whose lines are then given to Line. If mark is set, the Checker remembers hashes of the
// entries that the file holds, for Marked. If something does not verify, Check returns a *Differs.
func (f *File) Check(keys *Keys, mark bool) (*Checker, error) {
	signed, err := keys.OpenCheckpoint(f.Log, f.Checkpoint)
	if err != nil {
		return nil, &Differs{Why: err.Error()}
	}
	c := &Checker{file: f, size: signed.N, root: signed.Hash, aside: map[int32][]node{}, limit: noLimit,
		shown: Shown{Size: signed.N, Root: signed.Hash, First: -1, Last: -1}}
	covered := int64(0)
	for i, p := range f.Parts {
		if p.First != covered {
			return nil, &Differs{Why: fmt.Sprintf("the proof leaves a gap at entry %d", covered)}
		}
		covered += p.Count
		if _, ok := levelOf(p.Count); p.Hashed && (!ok || p.First%p.Count != 0) {
			return nil, &Differs{Why: fmt.Sprintf("%d entries from entry %d on are not a subtree", p.Count, p.First)}
		}
		if p.Held {
			c.byLine = append(c.byLine, int32(i))
		}
	}
	if covered != c.size {
		return nil, &Differs{Why: fmt.Sprintf("the proof covers %d entries, the checkpoint signs %d", covered, c.size)}
	}
	slices.SortFunc(c.byLine, func(a, b int32) int { return cmp.Compare(f.Parts[a].Line, f.Parts[b].Line) })
	for i := 1; i < len(c.byLine); i++ {
		if line := f.Parts[c.byLine[i]].Line; f.Parts[c.byLine[i-1]].Line+f.Parts[c.byLine[i-1]].Count > line {
			return nil, &Differs{Why: fmt.Sprintf("the proof takes line %d twice", line+1)}
		}
	}
	if mark {
		c.setMarking()
	}
	return c, c.begin()
}

// begin prepares for the part that the next lines belong to.
func (c *Checker) begin() error {
	if c.at < len(c.byLine) {
		c.current = subtrees{next: c.file.Parts[c.byLine[c.at]].First, limit: c.limit}
	}
	return c.advance(false)
}

func (c *Checker) setMarking() {
	const most = 512 // about the number of marks
	held := int64(0)
	for _, i := range c.byLine {
		held += c.file.Parts[i].Count
	}
	c.limit, c.marking = 0, true
	if n := uint64(held / most); n > 0 {
		c.limit = bits.Len64(n)
	}
}

// Line checks the next line of the file, given its leaf hash.
func (c *Checker) Line(leaf Hash) error {
	line := c.lines
	c.lines++
	if c.at == len(c.byLine) || line < c.file.Parts[c.byLine[c.at]].Line {
		c.pending(line)
		return nil
	}
	c.current.add(leaf)
	part := c.byLine[c.at]
	if p := c.file.Parts[part]; line+1 < p.Line+p.Count {
		return nil
	}
	c.aside[part] = c.current.nodes
	if c.nodes += len(c.current.nodes); c.nodes > maxParts {
		return &Differs{Why: "the proof takes the lines in an order that no download has"}
	}
	c.at++
	return c.begin()
}

func (c *Checker) pending(line int64) {
	if last := len(c.shown.Pending) - 1; last >= 0 && c.shown.Pending[last].End() == line {
		c.shown.Pending[last].Count++
		return
	}
	c.shown.Pending = append(c.shown.Pending, Run{line, 1})
}

// advance puts parts into the trees, in the order of the log, up to the first one that lacks lines. ended says that
// there are no more lines.
func (c *Checker) advance(ended bool) error {
	for ; c.next < len(c.file.Parts); c.next++ {
		p := &c.file.Parts[c.next]
		nodes, complete := c.aside[int32(c.next)]
		var err error
		switch {
		case !p.Held:
			err = c.both(p.Count, p.Hash, p.Hash)
			c.mark(*p)
		case complete:
			c.nodes -= len(nodes)
			delete(c.aside, int32(c.next))
			err = c.hold(p, nodes)
		case !ended:
			return nil
		default:
			err = c.missing(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// both appends a subtree to both trees.
func (c *Checker) both(count int64, hash, claimed Hash) error {
	err := c.tree.AppendSubtree(count, hash)
	if err == nil {
		err = c.claimed.AppendSubtree(count, claimed)
	}
	if err != nil {
		return &Differs{Why: err.Error()}
	}
	return nil
}

// hold takes a part whose lines are complete.
func (c *Checker) hold(p *Part, nodes []node) error {
	c.shown.hold(p.Run)
	var own Tree // of the part, if it is a subtree
	line, first := p.Line, p.First
	for _, n := range nodes {
		count := int64(1) << n.level
		c.mark(Part{Run: Run{first, count}, Held: true, Line: line, Hash: n.hash, Hashed: true})
		line, first = line+count, first+count
		var err error
		if p.Hashed {
			err = own.AppendSubtree(count, n.hash)
		} else {
			err = c.both(count, n.hash, n.hash)
		}
		if err != nil {
			return err
		}
	}
	if !p.Hashed {
		return nil
	}
	hash := own.Root()
	if hash != p.Hash && c.differs == nil {
		c.differs = &Differs{Lines: Run{p.Line, p.Count}, Entries: p.Run,
			Why: "they were changed, moved, or stand in for others"}
	}
	return c.both(p.Count, hash, p.Hash)
}

// missing takes a part that lacks lines.
func (c *Checker) missing(p *Part) error {
	there := max(0, c.lines-p.Line)
	if c.differs == nil {
		c.differs = &Differs{Why: fmt.Sprintf("the file has %d lines, too few: line %d should be entry %d", c.lines,
			p.Line+there+1, p.First+there)}
	}
	if !p.Hashed {
		return c.differs
	}
	return c.both(p.Count, Hash{}, p.Hash)
}

func (c *Checker) mark(p Part) {
	if c.marking && len(c.marks) < maxParts {
		c.marks = append(c.marks, p)
	}
}

// End returns the result after all lines.
func (c *Checker) End() (*Shown, error) {
	if err := c.advance(true); err != nil {
		return nil, err
	}
	whole := c.tree.Root() == c.root
	switch {
	case c.differs == nil && whole:
		return &c.shown, nil
	case c.differs != nil && whole:
		return nil, &Differs{Why: fmt.Sprintf("the hash that the proof has of lines %d to %d is not theirs, although "+
			"they are the log's: the proof was changed",
			c.differs.Lines.First+1, c.differs.Lines.End())}
	case c.differs != nil && c.claimed.Root() == c.root:
		return nil, c.differs // the lines differ from the hashes of the log
	}
	return nil, &Differs{Why: "the lines and the hashes of the proof do not give the root that the checkpoint signs"}
}

// Marked returns the parts of the proof with hashes of the entries that the file holds. With them a later Check can say
// where a changed file differs: the hashes are of single lines if these are few, or of subtrees. Marked may be called
// only after End has succeeded.
func (c *Checker) Marked() []Part {
	if len(c.marks) == maxParts {
		return c.file.Parts // more parts than a proof may have
	}
	return c.marks
}

func (s *Shown) hold(r Run) {
	if s.Held == 0 {
		s.First = r.First
	} else if r.First > s.Last+1 {
		s.Between = append(s.Between, Run{s.Last + 1, r.First - s.Last - 1})
	}
	s.Held += r.Count
	s.Last = r.End() - 1
}
