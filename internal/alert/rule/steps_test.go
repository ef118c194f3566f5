package rule

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// naive is the function by definition: the intervals that were added.
type naive struct {
	added []span
}

func (n *naive) at(time int64, limit int) int {
	count := 0
	for _, s := range n.added {
		if s.from <= time && time < s.to {
			count++
		}
	}
	return min(count, limit)
}

// The function has the values that its definition says, in fewest steps, and add tells where they became the limit.
func TestStepsAreTheSumOfIntervals(t *testing.T) {
	const most = 60
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		limit := 1 + rnd.IntN(4)
		var s steps
		var n naive
		for range 1 + rnd.IntN(25) {
			from := rnd.Int64N(most)
			to := from + rnd.Int64N(12)
			var before [most + 20]int
			for at := range before {
				before[at] = n.at(int64(at), limit)
			}
			n.added = append(n.added, span{from, to})
			reached := map[int64]bool{}
			for _, r := range s.add(from, to, limit) {
				for at := r.from; at < r.to; at++ {
					reached[at] = true
				}
			}
			for at := range before {
				now := n.at(int64(at), limit)
				if got := s.at(int64(at)); got != now {
					t.Fatalf("seed %d: %d at %d, want %d: %v", seed, got, at, now, s)
				}
				if became := now == limit && before[at] < limit; reached[int64(at)] != became {
					t.Fatalf("seed %d: at %d reached %v, want %v", seed, at, reached[int64(at)], became)
				}
			}
			isShortest(t, s)
		}
		checkTouching(t, s, limit, rnd.Int64N(most), rnd.Int64N(20))
		checkForget(t, s, rnd.Int64N(most))
	}
}

func isShortest(t *testing.T, s steps) {
	t.Helper()
	for i := range s {
		if i > 0 && (s[i].at <= s[i-1].at || s[i].value == s[i-1].value) || i == 0 && s[i].value == 0 {
			t.Fatalf("step %d changes nothing: %v", i, s)
		}
	}
	if len(s) > 0 && s[len(s)-1].value != 0 {
		t.Fatalf("it does not end: %v", s)
	}
}

func checkTouching(t *testing.T, s steps, limit int, from, length int64) {
	t.Helper()
	want := false
	for at := from - 1; at <= from+length; at++ {
		want = want || s.at(at) >= limit
	}
	found := s.touching(from, from+length, limit)
	if (len(found) > 0) != want {
		t.Fatalf("touching [%d, %d] are %v, want %v: %v", from, from+length, found, want, s)
	}
	for i, f := range found {
		if s.at(f.from-1) >= limit || s.at(f.to) >= limit || s.at(f.from) < limit || i > 0 && f.from <= found[i-1].to {
			t.Fatalf("%v are not whole parts of %v", found, s)
		}
	}
}

func checkForget(t *testing.T, s steps, before int64) {
	t.Helper()
	data, err := json.Marshal(s)
	var kept steps
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil || len(s) > 0 && !reflect.DeepEqual(s, kept) {
		t.Fatalf("%v, read again: %v, %v", s, kept, err)
	}
	kept.forget(before)
	for at := range int64(90) {
		want := s.at(at)
		if at < before {
			want = 0
		}
		if kept.at(at) != want {
			t.Fatalf("forgotten before %d, %d at %d, want %d", before, kept.at(at), at, want)
		}
	}
	isShortest(t, kept)
}
