package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/record"
)

// place is a source whose logs come and go, and of which some are chosen. It is its own sink, which knows events by
// their uids.
type place struct {
	there, chosen map[string]bool // logs by name
	lines         map[string][]string
	times         map[string]time.Time // of lines
	found         map[string]int       // by uid
	asked         map[string]bool
	open          []string // uids of a batch
}

func (s *place) Units(context.Context) (all []Unit, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.there)) {
		if s.there[name] && s.chosen[name] {
			all = append(all, s.unit(name))
		}
	}
	return all, nil
}

func (s *place) Again(_ context.Context, id string, _ Place) (Unit, error) {
	if !s.chosen[id] {
		return Unit{}, ErrNotChosen
	}
	return s.unit(id), nil
}

func (s *place) unit(name string) Unit {
	return Unit{ID: name, Label: name, Place: Place{Name: name}, Feed: &placeLog{s, name}, Format: Lines{}}
}

type placeLog struct {
	*place
	name string
}

func (l *placeLog) Fetch(_ context.Context, w Window, to io.Writer) (time.Time, error) {
	l.asked[l.name] = true
	if !l.there[l.name] {
		return time.Time{}, ErrGone
	}
	for _, line := range l.lines[l.name] {
		if at := l.times[line].Unix(); at >= w.Start && (w.End == 0 || at <= w.End) {
			fmt.Fprintln(to, line)
		}
	}
	return time.Now(), nil
}

func (s *place) Open(Target) Batch { s.open = nil; return s }
func (s *place) Reserve() Hold     { return s }
func (s *place) Grow(int64) error  { return nil }
func (s *place) Release()          {}
func (s *place) Close()            {}
func (s *place) Add(event []byte) error {
	var e struct{ Metadata struct{ UID string } }
	err := json.Unmarshal(event, &e)
	s.open = append(s.open, e.Metadata.UID)
	return err
}

func (s *place) Record(context.Context) (result record.Result, err error) {
	for _, uid := range s.open {
		if s.found[uid]++; s.found[uid] == 1 {
			result.Recorded++
		} else {
			result.Duplicates++
		}
	}
	return result, nil
}

// Whatever is chosen and comes and goes, what is idle is exactly what is not to be collected or not there, has no error
// and no part in the bound on logs; and what is chosen again is collected without a gap.
func TestChoiceShrinksAndGrows(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playChoices(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func playChoices(t *testing.T, rnd *rand.Rand) {
	const logs, most = 12, 5
	time.Sleep(10 * 365 * 24 * time.Hour) // Events have times from 2008 on.
	s := &place{there: map[string]bool{}, chosen: map[string]bool{}, lines: map[string][]string{},
		times: map[string]time.Time{}, found: map[string]int{}}
	saved := []byte("{}")
	n := 0
	for range 60 {
		time.Sleep(time.Duration(rnd.IntN(int(12 * time.Hour))))
		name := fmt.Sprintf("log%d", rnd.IntN(logs))
		switch rnd.IntN(3) {
		case 0:
			s.there[name] = !s.there[name]
		case 1:
			s.chosen[name] = !s.chosen[name]
		}
		live := 0
		for name := range s.there {
			if !s.there[name] {
				continue
			}
			n++
			line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"}}`, time.Now().UnixMilli(), n)
			s.lines[name], s.times[line] = append(s.lines[name], line), time.Now()
			if s.chosen[name] {
				live++
			}
		}
		var state State
		if err := json.Unmarshal(saved, &state); err != nil {
			t.Fatal(err)
		}
		unsure := live // and those of which the source does not say before it is asked that they are gone
		for name, p := range state.Units {
			if s.chosen[name] && !s.there[name] && p.Idle() == 0 {
				unsure++
			}
		}
		s.asked = map[string]bool{}
		r := Round{Source: s, Sink: s, State: &state, MaxUnit: most,
			Target: func(context.Context, Unit, string) (Target, error) { return Target{WorkspaceID: "w"}, nil },
			Save: func(context.Context) (err error) {
				saved, err = json.Marshal(state)
				return err
			}}
		err := r.Run(t.Context())
		if err == nil && live > most || err != nil && (unsure <= most || !errors.Is(err, ErrFailed)) {
			t.Fatalf("%d logs are to be collected: %v", live, err)
		}
		if len(state.Units) > most {
			t.Errorf("%d logs are kept", len(state.Units))
		}
		for name, p := range state.Units {
			if wanted := s.there[name] && s.chosen[name]; wanted != (p.Idle() == 0) || wanted != s.asked[name] && p.Gone == 0 {
				t.Errorf("%s, there %t, chosen %t, asked %t: %+v", name, s.there[name], s.chosen[name], s.asked[name], p)
			}
			if p.Failed != "" {
				t.Errorf("%s: %s", name, p.Failed)
			}
			for i, line := range s.lines[name] {
				if p.Idle() == 0 && time.Since(s.times[line]) < defaultBack && s.found[uidOf(line)] == 0 {
					t.Errorf("%s lacks line %d", name, i)
				}
			}
		}
	}
}

func uidOf(line string) string {
	var e struct{ Metadata struct{ UID string } }
	_ = json.Unmarshal([]byte(line), &e)
	return e.Metadata.UID
}

// A log that is to be collected again goes on where it was, however long that is ago.
func TestLogGoesOnWhenItIsChosenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * 365 * 24 * time.Hour)
		s := &place{there: map[string]bool{"a": true}, chosen: map[string]bool{"a": true}, lines: map[string][]string{},
			times: map[string]time.Time{}, found: map[string]int{}, asked: map[string]bool{}}
		state := &State{}
		round := func() {
			r := Round{Source: s, Sink: s, State: state, Save: func(context.Context) error { return nil },
				Target: func(context.Context, Unit, string) (Target, error) { return Target{}, nil }}
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		round()
		s.chosen["a"] = false
		time.Sleep(time.Hour)
		round()
		line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":"late"}}`, time.Now().UnixMilli())
		s.lines["a"], s.times[line] = []string{line}, time.Now()
		time.Sleep(90 * 24 * time.Hour)
		round()
		if p := state.Units["a"]; p.Left == 0 || s.found["late"] != 0 {
			t.Errorf("%+v", p)
		}
		s.chosen["a"] = true
		round()
		if p := state.Units["a"]; p.Idle() != 0 || s.found["late"] != 1 {
			t.Errorf("%+v: %v", p, s.found)
		}
	})
}
