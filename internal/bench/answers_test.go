package main

import (
	"strings"
	"testing"
)

// What weir and VictoriaLogs say is compared, whatever its shape: answers that say the same are equal, others are not.
func TestAnswersAreCompared(t *testing.T) {
	for _, test := range []struct {
		shape        shape
		ours, theirs string
		size         int64
	}{
		{newest100, `{"results":[{"event":{"metadata":{"uid":"b"}}},{"event":{"metadata":{"uid":"a"}}}]}`,
			`{"metadata.uid":"a"}` + "\n" + `{"metadata.uid":"b"}` + "\n", 2},
		{allLines, `{"log":"l","entry":7,"event":{"metadata":{"uid":"a"}}}` + "\n", `{"metadata.uid":"a"}` + "\n", 1},
		{byDay, `{"total":5,"histogram":[{"start":"2026-11-01T00:00:00Z","count":3},` +
			`{"start":"2026-11-02T00:00:00Z","count":0},{"start":"2026-11-03T00:00:00Z","count":2}]}`,
			`{"hits":[{"fields":{},"timestamps":["2026-11-03T00:00:00Z","2026-11-01T00:00:00Z"],"values":[2,3],"total":5}]}`,
			5},
		{facets, `{"total":9,"histogram":[{"start":"2026-11-01T00:00:00Z","count":9}],` +
			`"facets":[{"field":"a","values":[{"value":"x","count":6},{"value":2,"count":3}]}]}`,
			`{"field_name":"a","field_value":"2","hits":"3"}` + "\n" + `{"field_name":"a","field_value":"x","hits":"6"}`, 2},
	} {
		ours, err := readAnswer(test.shape, []byte(test.ours))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := readVictoria(test.shape, []byte(test.theirs))
		if err != nil {
			t.Fatal(err)
		}
		if d := ours.differs(theirs); d != "" || ours.size() != test.size {
			t.Errorf("%s and %s differ: %s; %d", test.ours, test.theirs, d, ours.size())
		}
		for _, change := range []*strings.Replacer{strings.NewReplacer(`"uid":"a"`, `"uid":"c"`, `"count":3`, `"count":4`),
			strings.NewReplacer(`,"event":{"metadata":{"uid":"a"}}`, "", `{"start":"2026-11-01T00:00:00Z","count":3},`, "",
				`,{"value":2,"count":3}`, "", `,{"event":{"metadata":{"uid":"a"}}}`, "")} {
			changed := change.Replace(test.ours)
			other, err := readAnswer(test.shape, []byte(changed))
			if err != nil {
				t.Fatal(err)
			}
			if changed != test.ours && (other.differs(theirs) == "" || theirs.differs(other) == "") {
				t.Errorf("%s and %s are taken for the same", changed, test.theirs)
			}
		}
	}
}
