package query

import (
	"cmp"
	"slices"
	"strings"
)

const (
	maxNear      = 5  // names that Near returns
	maxNearRunes = 64 // of a name; longer ones are compared by their ends only
)

// Near returns those of fields that somebody may have meant who wrote a name that no field has: at most five, the
// likeliest first. The fields are in normal form.
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

// distance tells how far a field is from a name, both folded, if it is near at all.
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

// allowed is how many edits may be between a name and one that was meant.
func allowed(name string) int { return min(len(name)/3, 4) }

// edits returns how many characters have to be put in, taken out, changed or swapped with the next to make one name of
// the other.
func edits(from, to string) int {
	a, b := []rune(from), []rune(to)
	if len(a) > maxNearRunes || len(b) > maxNearRunes {
		return maxNearRunes
	}
	var before, last [maxNearRunes + 1]int // of the two rows above
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
