package segment

import "github.com/weirlog/weir/internal/event"

// Kind defines how a kind of part is made. The content of a part must depend only on the entries and on their division
// into blocks, so that merging the parts of segments gives the same part as building it for the merged segment.
type Kind interface {
	ID() ID

	// Note returns what Build or Merge needs to know about a block. Calls for several blocks run concurrently. The
	// lines must not be kept.
	Note(c Content) any

	// Build returns the content of the part of a segment whose blocks all have a Note. If it returns nil for an object
	// beside a segment, the segment gets no such object. The same holds for Merge.
	Build(blocks []Made) ([]byte, error)

	// Merge returns the content of the part of a segment that is made from sources, in their order. A block is a copy
	// of a source's block, or it has a Note, because it was made anew or because its source lacks the part.
	Merge(sources []*Source, blocks []Made) ([]byte, error)
}

// Headed is a Kind whose content begins with a head, by which every piece of the rest can be verified. The manifest has
// the digest of the head, so a reader of an object beside a segment reads only the pieces that it needs.
type Headed interface {
	Kind
	HeadLength(content []byte) (int64, error)
}

// Selective is a Kind of object that only some segments have beside them.
type Selective interface {
	Kind
	Wants(Info) bool
}

// Content is the lines of a block.
type Content struct {
	Block *Block
	Lines []byte      // ended by '\n'
	Keys  []event.Key // of the entries; nil if the block is a copy from a segment that lacks the part
}

// Made is a block of a segment that is being made.
type Made struct {
	*Block
	Note any // result of Kind.Note; nil if Source is set

	Source *Source // source whose part covers this block; nil if the block has a Note
	Number int     // number of the block in Source
}

// Source is a segment that is merged into another.
type Source struct {
	Info
	Index *Index
	Parts map[ID][]byte // contents of its parts, and of the objects beside it; a missing part is not in the map
}

// Object is an object beside a segment.
type Object struct {
	ID   ID
	Data []byte
	Head int64 // length of its head in bytes; 0 if it has none; see Headed
}
