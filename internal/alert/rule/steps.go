package rule

import (
	"encoding/json"
	"errors"
	"slices"
	"sort"
)

// span is a half-open interval of times, in milliseconds since 1970.
type span struct{ from, to int64 }

// steps is a function of time whose values are not negative. Step i says which value it has from its time on, up to
// that of the next step. Before the first step and from the last one on the value is 0. Neighbours have different
// values, so equal functions are equal steps.
//
// A rule counts with it: each event adds one on the interval in which it counts, up to a limit. So the result does not
// depend on the order of the events, and where much happens, the function has few steps.
type steps []step

type step struct {
	at    int64
	value int
}

// add adds one to the function on [from, to), where its value is below a limit. It returns the parts of the interval
// where the value has become the limit, in order.
func (s *steps) add(from, to int64, limit int) (reached []span) {
	if from >= to {
		return nil
	}
	i := s.cut(from)
	j := s.cut(to)
	for k := i; k < j; k++ {
		at := &(*s)[k]
		if at.value >= limit {
			continue
		}
		if at.value++; at.value < limit {
			continue
		}
		end := (*s)[k+1].at
		if n := len(reached); n > 0 && reached[n-1].to == at.at {
			reached[n-1].to = end
		} else {
			reached = append(reached, span{at.at, end})
		}
	}
	s.join(i, j)
	return reached
}

// cut makes a step at a time, if there is none, and returns its index.
func (s *steps) cut(at int64) int {
	i := s.behind(at)
	if i > 0 && (*s)[i-1].at == at {
		return i - 1
	}
	value := 0
	if i > 0 {
		value = (*s)[i-1].value
	}
	*s = slices.Insert(*s, i, step{at, value})
	return i
}

// behind returns the index of the first step later than a time.
func (s steps) behind(at int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].at > at })
}

// join removes the steps from i to j that change nothing.
func (s *steps) join(i, j int) {
	before := 0
	if i > 0 {
		before = (*s)[i-1].value
	}
	kept := i
	for k := i; k <= j && k < len(*s); k++ {
		if at := (*s)[k]; at.value != before {
			(*s)[kept], before = at, at.value
			kept++
		}
	}
	*s = slices.Delete(*s, kept, min(j+1, len(*s)))
}

// at returns the value at a time.
func (s steps) at(time int64) int {
	if i := s.behind(time); i > 0 {
		return s[i-1].value
	}
	return 0
}

// touching returns the parts of [from, to] where the value is a limit at least, those included that end at from or
// begin at to. They are not cut by the interval.
func (s steps) touching(from, to int64, limit int) (found []span) {
	first := max(s.behind(from)-1, 0)
	for first > 0 && s[first].at >= from {
		first--
	}
	for i := first; i < len(s) && s[i].at <= to; i++ {
		if s[i].value < limit {
			continue
		}
		end := s[i+1].at // The last step has the value 0.
		if n := len(found); n > 0 && found[n-1].to == s[i].at {
			found[n-1].to = end
		} else if end >= from {
			found = append(found, span{s[i].at, end})
		}
	}
	return found
}

// forget makes the function 0 before a time.
func (s *steps) forget(before int64) {
	i := s.behind(before)
	if i == 0 {
		return
	}
	if value := (*s)[i-1].value; value > 0 {
		i--
		(*s)[i] = step{max((*s)[i].at, before), value}
	}
	*s = slices.Delete(*s, 0, i)
}

// end returns the time from which on the value is 0.
func (s steps) end() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].at
}

// below returns since when the value has been below a limit at a time at which it is; ok is false if it always was.
func (s steps) below(limit int, time int64) (since int64, ok bool) {
	for i := s.behind(time) - 1; i > 0; i-- {
		if s[i-1].value >= limit {
			return s[i].at, true
		}
	}
	return 0, false
}

// MarshalJSON writes the steps as an array of numbers: the time and the value of each, the times as differences to the
// step before.
func (s steps) MarshalJSON() ([]byte, error) {
	flat := make([]int64, 0, 2*len(s))
	last := int64(0)
	for _, at := range s {
		flat = append(flat, at.at-last, int64(at.value))
		last = at.at
	}
	return json.Marshal(flat)
}

// UnmarshalJSON reads the output of MarshalJSON.
func (s *steps) UnmarshalJSON(data []byte) error {
	var flat []int64
	if err := json.Unmarshal(data, &flat); err != nil {
		return err
	}
	*s = nil
	last := int64(0)
	for i := 0; i+1 < len(flat); i += 2 {
		last += flat[i]
		*s = append(*s, step{last, int(flat[i+1])})
	}
	if n := len(*s); len(flat)%2 != 0 || n > 0 && (*s)[n-1].value != 0 {
		return errors.New("they do not end")
	}
	return nil
}
