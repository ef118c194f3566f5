package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// end ends a section.
func (w *regionWriter) end() {
	w.ends = append(w.ends, len(w.data))
	if len(w.data)-w.start >= pageBytes {
		w.endPage()
	}
}

func (w *regionWriter) endPage() {
	sum := proof.Digest(w.data[w.start:])
	w.sums, w.start = append(w.sums, sum[:]...), len(w.data)
}

// append appends the region's part of the head. The region must be complete.
func (w *regionWriter) append(head []byte) []byte {
	last := 0
	for _, end := range w.ends {
		head = binary.AppendUvarint(head, uint64(end-last))
		last = end
	}
	if len(w.data) > w.start {
		w.endPage()
	}
	return append(head, w.sums...)
}

// region is a sequence of sections, in pages.
type region struct {
	offset int64   // in the object
	ends   []int64 // of the sections, from offset on
	pages  []int64 // ends of the pages
	sums   []byte  // of the pages
}

// mostObject bounds the length of an index, so that no sum of lengths overflows.
const mostObject = 1 << 40

// decodeRegion decodes the part of the head for a region with this number of sections.
func decodeRegion(d *gzipmember.Decoder, offset int64, sections int) region {
	r := region{offset: offset, ends: make([]int64, sections)}
	end, page := int64(0), int64(0)
	for i := range r.ends {
		end += int64(d.Uint(uint64(mostObject - offset - end)))
		r.ends[i] = end
		if end-page >= pageBytes {
			r.pages, page = append(r.pages, end), end
		}
	}
	if end > page {
		r.pages = append(r.pages, end)
	}
	r.sums = d.Bytes(len(r.pages) * len(proof.Hash{}))
	return r
}

func (r *region) end() int64 {
	if len(r.ends) == 0 {
		return r.offset
	}
	return r.offset + r.ends[len(r.ends)-1]
}

// start returns the offset of a section.
func (r *region) start(section int) int64 {
	if section == 0 {
		return 0
	}
	return r.ends[section-1]
}

// pageOf returns the sections [first, end) of the page that contains a section.
func (r *region) pageOf(section int) (first, end int) {
	first, end = section, section+1
	at := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] > r.start(section) })
	if at == len(r.pages) {
		return first, end // the section is empty
	}
	for end < len(r.ends) && r.ends[end] <= r.pages[at] {
		end++
	}
	for first > 0 && (at == 0 || r.start(first-1) >= r.pages[at-1]) {
		first--
	}
	return first, end
}

// Fetch returns a range of the index object. It is only called for ranges within the object.
type Fetch func(ctx context.Context, offset, length int64) ([]byte, error)

// mostFetch is the maximum number of bytes in one fetch, unless a single page is larger.
const mostFetch = 4 << 20

// read returns the sections [from, to), after checking their pages with the digests in the head.
func (r *region) read(ctx context.Context, fetch Fetch, from, to int) ([][]byte, error) {
	sections := make([][]byte, to-from)
	for i := range sections {
		sections[i] = []byte{}
	}
	for from < to && r.start(from) == r.ends[from] {
		from++ // empty sections may be after the last page
	}
	if from >= to || r.start(from) == r.ends[to-1] {
		return sections, nil
	}
	first := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] > r.start(from) })
	last := sort.Search(len(r.pages), func(i int) bool { return r.pages[i] >= r.ends[to-1] })
	offset := int64(0)
	if first > 0 {
		offset = r.pages[first-1]
	}
	data, err := r.readPages(ctx, fetch, first, last+1, offset)
	if err != nil {
		return nil, err
	}
	begin := to - len(sections)
	for i := from; i < to; i++ {
		if r.start(i) < r.ends[i] {
			sections[i-begin] = data[r.start(i)-offset : r.ends[i]-offset : r.ends[i]-offset]
		}
	}
	return sections, nil
}

// readPages returns pages, the first of which begins at start.
func (r *region) readPages(ctx context.Context, fetch Fetch, from, to int, start int64) (data []byte, err error) {
	for from < to {
		until := from + 1
		for until < to && r.pages[until]-start <= mostFetch {
			until++
		}
		length := r.pages[until-1] - start
		fetched, err := fetch(ctx, r.offset+start, length)
		if err != nil {
			return nil, fmt.Errorf("bytes %d to %d: %w", r.offset+start, r.offset+start+length, err)
		}
		if int64(len(fetched)) != length {
			return nil, fmt.Errorf("bytes %d to %d: %d were fetched: %w", r.offset+start, r.offset+start+length,
				len(fetched), ErrCorrupt)
		}
		at := int64(0)
		for ; from < until; from++ {
			end := r.pages[from] - start
			sum := proof.Digest(fetched[at:end])
			if string(sum[:]) != string(r.sums[from*len(sum):(from+1)*len(sum)]) {
				return nil, fmt.Errorf("bytes %d to %d: their digest does not match: %w", r.offset+start+at,
					r.offset+start+end, ErrCorrupt)
			}
			at = end
		}
		start += length
		if data == nil {
			data = fetched
		} else {
			data = append(data[:len(data):len(data)], fetched...)
		}
	}
	return data, nil
}
