package query

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The extracted values of a field are those that a term with the field compares, by the oracle.
func TestExtractAgreesWithOracle(t *testing.T) {
	fields := everyAlias()
	for _, path := range paths {
		fields = append(fields, Path(path...))
	}
	x := NewExtract(fields...)
	found := 0
	check := func(t interface{ Fatalf(string, ...any) }, line []byte) {
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
			if f == "class" && len(want) > 1 { // a name and its number
				want = want[:1]
			}
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
				t.Fatalf("%s of %s: %#v, want %#v", f, line, got, want)
			}
			found += len(got)
		}
	}
	for _, line := range sampleEvents() {
		check(t, line)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, drawEvent(t)) })
	if found == 0 {
		t.Error("nothing was found")
	}
}

func TestExtractRefusesLinesThatAreNotEvents(t *testing.T) {
	x := NewExtract("who")
	for _, line := range []string{"", "[]", `{"a"`, "x"} {
		if x.Read([]byte(line)) == nil {
			t.Errorf("%q is taken for an event", line)
		}
	}
}
