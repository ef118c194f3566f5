package event

import (
	"strings"
	"testing"
	"time"
)

// Only weir sets facts. A member that a producer sends under their name becomes a claim within them, however often it
// is recorded again.
func TestProducersCannotSetFacts(t *testing.T) {
	const begin = `{"time":1763970000000,"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1}`
	facts := func(claimed string) string { return strings.TrimSuffix(ownFacts, "}") + claimed + "}" }
	for _, tt := range []struct{ unmapped, want string }{
		{``, `,"unmapped":{` + facts("") + `}`},
		{`,"unmapped":{}`, `,"unmapped":{` + facts("") + `}`},
		{`,"unmapped":{"a":1}`, `,"unmapped":{"a":1,` + facts("") + `}`},
		{`,"unmapped":{"weir":{"taken":1,"by":"weir"}}`,
			`,"unmapped":{` + facts(`,"claimed":{"taken":1,"by":"weir"}`) + `}`},
		{`,"unmapped":{ "w\u0065ir" : "x" , "a":1 }`, `,"unmapped":{  "a":1 ,` + facts(`,"claimed":"x"`) + `}`},
		{`,"unmapped":{"a":1, "weir":null ,"b":2}`, `,"unmapped":{"a":1 ,"b":2,` + facts(`,"claimed":null`) + `}`},
		{`,"unmapped":{"a":{"weir":1}}`, `,"unmapped":{"a":{"weir":1},` + facts("") + `}`},
		{`,"weir":{"taken":1,"by":"weir"}`, `,"weir":{"taken":1,"by":"weir"},"unmapped":{` + facts("") + `}`},
	} {
		var p Parser
		line, _, err := p.Append(nil, []byte(begin+tt.unmapped+`}`), origin)
		if err != nil || string(line) != begin+tt.want+"}\n" {
			t.Errorf("%s\ngot  %s, %v\nwant %s", tt.unmapped, line, err, begin+tt.want+"}")
			continue
		}
		again, _, err := p.Append(nil, line, Origin{By: "other", Received: received.Add(time.Second)})
		if err != nil || !strings.Contains(string(again), `"weir":{"taken":1763980001000,"by":"other","claimed":{"taken"`) {
			t.Errorf("%s: again %s, %v", tt.unmapped, again, err)
		}
		if _, err := p.Scan(again); err != nil {
			t.Error(err)
		}
		if f, ok := p.Facts(); !ok || f.By != "other" || !f.Taken.Equal(received.Add(time.Second)) {
			t.Errorf("%s: read as %+v, %t", again, f, ok)
		}
	}
}

func TestLinesWithoutFactsHaveNone(t *testing.T) {
	for _, unmapped := range []string{`{}`, `{"weir":1}`, `{"weir":{"taken":1}}`, `{"weir":{"by":"x"}}`,
		`{"weir":{"claimed":{"taken":1,"by":"x"}}}`, `{"weir":{"taken":"1","by":"x"}}`, `{"weir":{"taken":1,"by":2}}`} {
		var p Parser
		if _, err := p.Scan([]byte(`{"time":1,"metadata":{"uid":"u"},"unmapped":` + unmapped + `}`)); err != nil {
			t.Fatal(err)
		}
		if f, ok := p.Facts(); ok {
			t.Errorf("%s has the facts %+v", unmapped, f)
		}
	}
}

// An event of the greatest allowed depth is taken again after it was recorded, sixteen times.
func TestClaimsAddNoDepth(t *testing.T) {
	levels := defaultMaxDepth - 3
	line := []byte(`{"time":1763970000000,"unmapped":{"weir":{"a":` + strings.Repeat("[", levels) +
		strings.Repeat("]", levels) + `}}}`)
	var p Parser
	for i := range 16 {
		var err error
		if line, _, err = p.Append(nil, line, origin); err != nil {
			t.Fatalf("%d times: %v", i+1, err)
		}
	}
	line = []byte(`{"time":1763970000000,"unmapped":{"weir":{"claimed":` + strings.Repeat(`{"claimed":`, 100) + `1` +
		strings.Repeat("}", 103))
	if _, _, err := p.Append(nil, line, origin); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("a claim of 100 levels: %v", err)
	}
}
