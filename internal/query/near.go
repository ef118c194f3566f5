package query

import (
	"cmp"
	"slices"
	"strings"
)

const (
	maxNear      = 5  // number of names that Near returns at most
	maxNearRunes = 64 // of a name; of longer ones only the ends are compared
)

// Near returns the fields, in normal form, that a user may have meant by a name that is not a field: at most five, the
// most likely first.
func Near(name string, fields []string) []string {
	type candidate struct {
		field    string
		distance int
	}
	var near []candidate
	folded := Fold(name)
	for _, f := range fields {
		if d, ok := distance(folded, Fold(f)); ok && f != name {
			near = append(near, candidate{f, d})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(len(a.field), len(b.field)),
			strings.Compare(a.field, b.field))
	})
	near = slices.CompactFunc(near, func(a, b candidate) bool { return a.field == b.field })
	var names []string
	for _, c := range near[:min(len(near), maxNear)] {
		names = append(names, c.field)
	}
	return names
}

// distance returns the distance of a field from a name, both folded. ok is false if they are too far apart.
func distance(name, field string) (int, bool) {
	switch {
	case name == "":
		return 0, false
	case name == field:
		return 0, true
	case strings.HasSuffix(field, "."+name), strings.HasSuffix(name, "."+field):
		return 1, true
	case strings.HasPrefix(field, name+"."):
		return 2, true
	}
	if d := edits(name, field); d <= allowed(name) {
		return 2 + d, true
	}
	last := field[strings.LastIndexByte(field, '.')+1:]
	if d := edits(name[strings.LastIndexByte(name, '.')+1:], last); d <= allowed(last) {
		return 4 + d, true
	}
	return 0, false
}

// allowed returns the number of edits up to which names are similar.
func allowed(name string) int { return min(len(name)/3, 4) }

// edits returns the number of characters to insert, delete, change or swap with the next one to make from into to.
func edits(from, to string) int {
	a, b := []rune(from), []rune(to)
	if len(a) > maxNearRunes || len(b) > maxNearRunes {
		return maxNearRunes
	}
	var before, last [maxNearRunes + 1]int // the two rows above
	var row [maxNearRunes + 1]int
	for j := range b {
		last[j+1] = j + 1
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
