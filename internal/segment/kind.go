package segment

import "github.com/weirlog/weir/internal/event"

// Kind is a kind of part: it says how a part is made. What a part says must follow from the entries and from how they
// are cut into blocks, so that merging the parts of segments gives what building the part of the merged segment gives.
type Kind interface {
	ID() ID

	// Note returns what Build or Merge needs to know of a block, from its lines. Several blocks are noted at the same
	// time. The lines must not be kept.
	Note(c Content) any

	// Build returns the content of the part of a segment, every block of which was noted. If it is nil, and the part
	// would stand beside the segment, the segment gets none; so it is with Merge.
	Build(blocks []Made) ([]byte, error)

	// Merge returns the content of the part of a segment that is made of sources, in their order. A block of it is a
	// copy of a source's block, or was noted: because it was cut anew, or because its source lacks the part.
	Merge(sources []*Source, blocks []Made) ([]byte, error)
}

// Headed is a Kind whose content begins with a head, by which all the rest of it can be checked piece by piece. A
// manifest has the digest of the head, so that no more than is needed is read of an object beside a segment.
type Headed interface {
	Kind
	HeadLength(content []byte) (int64, error)
}

// Selective is a Kind of which not every segment gets a part beside it.
type Selective interface {
	Kind
	Wants(Info) bool
}

// Content is the lines of a block.
type Content struct {
	Block *Block
	Lines []byte      // with their '\n'
	Keys  []event.Key // of the entries; nil if the block is a copy of one whose segment lacks the part
}

// Made is a block of a segment that is being made.
type Made struct {
	*Block
	Note any // what Kind.Note returned; nil if Source is set

	Source *Source // whose part says what is to be known of this block; nil if it was noted
	Number int     // number of the block in Source
}

// Source is a segment that is merged into another.
type Source struct {
	Info
	Index *Index
	Parts map[ID][]byte // content of its parts, those beside it included; a part that it lacks is not in the map
}

// Object is what stands beside a segment in an object of its own.
type Object struct {
	ID   ID
	Data []byte
	Head int64 // bytes of its head, if it has one; see Headed
}
