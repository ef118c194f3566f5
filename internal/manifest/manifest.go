package manifest

import (
	"bytes"
	"iter"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Manifest describes of which objects a log consists. The highest version is the current one.
type Manifest struct {
	Format   int       `json:"format"`
	Log      string    `json:"log"`
	Version  int64     `json:"version"`
	ID       string    `json:"id"`       // random; distinguishes this version from that of another writer
	Entries  int64     `json:"entries"`  // number of entries of the log
	LastPlan int64     `json:"lastPlan"` // number of the last plan applied to the log
	Nonce    string    `json:"nonce"`    // of that plan
	History  []History `json:"history"`  // older segments, oldest first
	Segments []Segment `json:"segments"` // newer segments, oldest first
	Removing []Removal `json:"removing"` // objects that the log no longer needs
	Pruned   Pruned    `json:"pruned,omitzero"`
	Digests  []Digests `json:"digests,omitempty"` // of the pruned entries

	Tree       *proof.Tree `json:"tree,omitempty"`       // of all entries; nil if there is none
	Checkpoint string      `json:"checkpoint,omitempty"` // of the tree, signed
	Keys       []SignedBy  `json:"keys,omitempty"`       // the keys that have signed its checkpoints, oldest first
}

// Pruned describes entries that retention has removed, or would remove. Entries keep their indexes.
type Pruned struct {
	First   int64 `json:"first"`   // index of the first entry
	Entries int64 `json:"entries"` // number of entries
	MinTime int64 `json:"minTime"` // of their events, milliseconds since the epoch, both included
	MaxTime int64 `json:"maxTime"`
}

// End is the index of the entry that follows p.
func (p Pruned) End() int64 { return p.First + p.Entries }

// Add extends p by entries that begin at its end.
func (p *Pruned) Add(q Pruned) {
	switch {
	case q.Entries == 0:
	case p.Entries == 0:
		*p = q
	default:
		p.Entries += q.Entries
		p.MinTime, p.MaxTime = min(p.MinTime, q.MinTime), max(p.MaxTime, q.MaxTime)
	}
}

// Segment describes the object of a segment.
type Segment struct {
	Key string `json:"key"`
	segment.Info
	Beside []Beside `json:"beside,omitempty"`
}

// Beside describes an object beside a segment, made from the segment, such as an index. It lives as long as the
// segment: it is stored before a manifest names it, merged with the segment, and removed with it. If it is lost, no
// entry is lost, and a merge makes it again.
type Beside struct {
	Part segment.ID `json:"part"` // kind
	Key  string     `json:"key"`
	Size int64      `json:"size"` // in bytes
	Sum  proof.Hash `json:"sum"`  // SHA-256 of the object

	Head    int64      `json:"head,omitempty"`   // length in bytes of its head, by which the rest is verified; 0 if none
	HeadSum proof.Hash `json:"headSum,omitzero"` // SHA-256 of the head
}

// NewBeside describes an object beside a segment that is stored under a key.
func NewBeside(key string, o segment.Object) Beside {
	b := Beside{Part: o.ID, Key: key, Size: int64(len(o.Data)), Sum: proof.Digest(o.Data), Head: o.Head}
	if o.Head > 0 {
		b.HeadSum = proof.Digest(o.Data[:o.Head])
	}
	return b
}

// Keys yields the keys of a segment and of the objects beside it.
func (s *Segment) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, b := range s.Beside {
			if !yield(b.Key) {
				return
			}
		}
		yield(s.Key)
	}
}

// Remove lists a segment and the objects beside it for removal.
func (m *Manifest) Remove(seg Segment, now time.Time) {
	for key := range seg.Keys() {
		m.Removing = append(m.Removing, Removal{key, now})
	}
}

// History describes an immutable object that lists segments, so that the manifest of a long log stays small.
type History struct {
	Key     string `json:"key"`
	First   int64  `json:"first"`
	Count   int64  `json:"count"` // number of entries
	MinTime int64  `json:"minTime"`
	MaxTime int64  `json:"maxTime"`

	Sum proof.Hash `json:"sum"` // SHA-256 of the object
}

// Removal is an object to be deleted once no reader of an older manifest can need it. Only objects that the highest
// manifest lists here are ever deleted. A writer that has made such an object and not committed it yet cannot commit it
// any more: it would have to commit the version that lists the object.
type Removal struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
}

// Format is the version of the manifest's format that this version of weir reads and writes.
const Format = 2

// Clone returns a copy of m that can be changed into the next version.
func (m *Manifest) Clone() *Manifest {
	c := *m
	c.History = append([]History(nil), m.History...)
	c.Segments = append([]Segment(nil), m.Segments...)
	c.Removing = append([]Removal(nil), m.Removing...)
	c.Digests = append([]Digests(nil), m.Digests...)
	c.Keys = append([]SignedBy(nil), m.Keys...)
	return &c
}

// Digests describes an object with the entries of the tree (32 bytes each) for lines that retention has removed.
type Digests struct {
	Key   string     `json:"key"`
	First int64      `json:"first"`
	Count int64      `json:"count"`
	Sum   proof.Hash `json:"sum"` // SHA-256 of the object
}

// SignedBy is a key that has signed the checkpoints of sizes from From up to To, at which another key has taken over.
type SignedBy struct {
	From   int64  `json:"from"`
	To     int64  `json:"to,omitempty"` // 0 if it still signs
	Public []byte `json:"public"`       // Ed25519
}

// CloneTree returns a copy of the manifest's tree.
func (m *Manifest) CloneTree() proof.Tree {
	if m.Tree == nil {
		return proof.Tree{}
	}
	return m.Tree.Clone()
}

// NoteSigners records which keys sign the checkpoint of a size.
func (m *Manifest) NoteSigners(signers []proof.Key, size int64) {
	for i := range m.Keys {
		is := func(k proof.Key) bool { return bytes.Equal(k.Public(), m.Keys[i].Public) }
		if m.Keys[i].To == 0 && !slices.ContainsFunc(signers, is) {
			m.Keys[i].To = size
		}
	}
	for _, k := range signers {
		if !slices.ContainsFunc(m.Keys, func(by SignedBy) bool {
			return by.To == 0 &&
				bytes.Equal(k.Public(), by.Public)
		}) {
			m.Keys = append(m.Keys, SignedBy{From: size, Public: k.Public()})
		}
	}
}
