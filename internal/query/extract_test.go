package query

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// What is extracted is what a term with the field looks at, by the definition.
func TestExtractAgreesWithOracle(t *testing.T) {
	fields := []Field{"who", "target", "outcome"}
	for _, path := range paths {
		fields = append(fields, Path(path...))
	}
	x := NewExtract(fields...)
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		line := drawEvent(t)
		if err := x.Read(line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		parsed, err := parseObject(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for i, f := range fields {
			var got []any
			for _, v := range x.Values(i) {
				got = append(got, v.value())
			}
			var want []any
			for _, v := range valuesOf(f, parsed) {
				if _, ok := v.(object); !ok {
					want = append(want, v)
				}
			}
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
				t.Fatalf("%s of %s: %#v, want %#v", f, line, got, want)
			}
			found += len(got)
		}
	})
	if found == 0 {
		t.Error("nothing was found")
	}
}

func TestExtractRefusesWhatIsNoEvent(t *testing.T) {
	x := NewExtract("who")
	for _, line := range []string{"", "[]", `{"a"`, "x"} {
		if x.Read([]byte(line)) == nil {
			t.Errorf("%q is taken for an event", line)
		}
	}
}
