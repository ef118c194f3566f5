package index

// Matches says which entries of a block match a query, as far as the index knows.
type Matches struct {
	Every bool // all entries match; then the sets are nil

	Yes     Bits // entries that match
	Perhaps Bits // entries, not in Yes, that only their lines can decide
}

// None tells whether no entry matches.
func (m *Matches) None() bool { return !m.Every && m.Yes == nil && m.Perhaps == nil }

// matchesOf returns the matches of a block with this number of entries. It takes over the sets.
func matchesOf(yes, perhaps Bits, entries int) Matches {
	if yes.empty() {
		yes = nil
	}
	if perhaps.empty() {
		perhaps = nil
	}
	if perhaps == nil && yes != nil && yes.Count() == entries {
		return Matches{Every: true}
	}
	return Matches{Yes: yes, Perhaps: perhaps}
}

// everyPerhaps returns the matches of a block of which nothing is known.
func everyPerhaps(entries int) Matches { return Matches{Perhaps: every(entries)} }

// sets returns the sets, even if Every is set. They must not be changed.
func (m *Matches) sets(entries int) (yes, perhaps Bits) {
	if m.Every {
		return every(entries), nil
	}
	return m.Yes, m.Perhaps
}

func at(b Bits, i int) uint64 {
	if b == nil {
		return 0
	}
	return b[i]
}

// and returns the entries that match both.
func (m Matches) and(other Matches, entries int) Matches {
	switch {
	case m.Every || other.None():
		return other
	case other.Every || m.None():
		return m
	}
	yes, perhaps := newBits(entries), newBits(entries)
	for i := range yes {
		y, p, y2, p2 := at(m.Yes, i), at(m.Perhaps, i), at(other.Yes, i), at(other.Perhaps, i)
		yes[i] = y & y2
		perhaps[i] = (y | p) & (y2 | p2) &^ yes[i]
	}
	return matchesOf(yes, perhaps, entries)
}

// or returns the entries that match one of both.
func (m Matches) or(other Matches, entries int) Matches {
	switch {
	case m.Every || other.None():
		return m
	case other.Every || m.None():
		return other
	}
	yes, perhaps := newBits(entries), newBits(entries)
	for i := range yes {
		yes[i] = at(m.Yes, i) | at(other.Yes, i)
		perhaps[i] = (at(m.Perhaps, i) | at(other.Perhaps, i)) &^ yes[i]
	}
	return matchesOf(yes, perhaps, entries)
}

// not returns the entries that do not match.
func (m Matches) not(entries int) Matches {
	switch {
	case m.Every:
		return Matches{}
	case m.None():
		return Matches{Every: true}
	}
	yes := every(entries)
	for i := range yes {
		yes[i] &^= at(m.Yes, i) | at(m.Perhaps, i)
	}
	return matchesOf(yes, m.Perhaps, entries)
}
