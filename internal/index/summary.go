package index

import (
	"encoding/binary"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/query"
)

// traits are the kinds of some values, as bits.
type traits uint8

const (
	texts     traits = 1 << iota // strings
	numbers                      // numbers
	bools                        // booleans
	objects                      // empty objects
	addresses                    // strings that are addresses
	moments                      // strings that are RFC 3339 times
	blanks                       // lists that have only empty strings and objects
	allTraits = 1<<iota - 1
)

// summary describes some values, so that conditions that none of them meets can be ruled out.
type summary struct {
	traits
	bytes [2]uint64 // the bytes in their folded texts; the last bit stands for all that are not ASCII
}

// anything is a summary that rules nothing out.
var anything = summary{allTraits, [2]uint64{^uint64(0), ^uint64(0)}}

func (s *summary) include(other summary) {
	s.traits |= other.traits
	s.bytes[0] |= other.bytes[0]
	s.bytes[1] |= other.bytes[1]
}

// add includes the values of a list. fold is a buffer.
func (s *summary) add(values []query.Scalar, fold *[]byte) {
	blank := true
	for _, v := range values {
		*fold = query.AppendFold((*fold)[:0], v.Text)
		s.addValue(v, *fold)
		blank = blank && (v.Kind == present || v.Kind == query.String && v.Text == "")
	}
	if blank {
		s.traits |= blanks
	}
}

// addValue includes a value, without the traits of its list.
func (s *summary) addValue(v query.Scalar, folded []byte) {
	switch v.Kind {
	case present:
		s.traits |= objects
		return
	case query.Number:
		s.traits |= numbers
	case query.Bool:
		s.traits |= bools
	default:
		s.traits |= texts
		if query.IsAddr(v.Text) {
			s.traits |= addresses
		}
		if query.IsTime(v.Text) {
			s.traits |= moments
		}
	}
	s.addBytes(folded)
}

func (s *summary) addBytes(folded []byte) {
	low, high := s.bytes[0], s.bytes[1]
	for _, c := range folded {
		if c < 64 {
			low |= 1 << c
		} else {
			high |= 1 << (min(c, 127) - 64)
		}
	}
	s.bytes = [2]uint64{low, high}
}

// has tells whether all bytes of a folded text occur.
func (s *summary) has(folded []byte) bool {
	for _, c := range folded {
		c = min(c, 127)
		if s.bytes[c>>6]&(1<<(c&63)) == 0 {
			return false
		}
	}
	return true
}

func (s *summary) append(dst []byte) []byte {
	dst = append(dst, byte(s.traits))
	if s.traits&(texts|numbers|bools) == 0 {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, s.bytes[0])
	return binary.LittleEndian.AppendUint64(dst, s.bytes[1])
}

func decodeSummary(d *gzipmember.Decoder) (s summary) {
	if b := d.Bytes(1); b != nil {
		s.traits = traits(b[0])
	}
	if s.traits&(texts|numbers|bools) == 0 {
		return s
	}
	if b := d.Bytes(16); b != nil {
		s.bytes = [2]uint64{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
	}
	return s
}
