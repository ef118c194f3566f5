package query

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// For each value of an event, a Test agrees with the oracle on an event that has only this value.
func TestTestAgreesWithOracle(t *testing.T) {
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		term := drawTerm(t)
		test := NewTest(term)
		for range 10 {
			v := Scalar{String, rapid.SampledFrom(texts).Draw(t, "text")}
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				v = Scalar{Number, rapid.SampledFrom(numbers).Draw(t, "number")}
			case 1:
				v = Scalar{Bool, rapid.SampledFrom([]string{"true", "false"}).Draw(t, "bool")}
			}
			want := matchValue(term, v.value())
			if got := test.Passes(v); got != want {
				t.Fatalf("%v on %v: %t, want %t", term, v, got, want)
			}
			if want {
				passed++
			}
		}
	})
	if passed == 0 {
		t.Error("nothing passed")
	}
}

// Two numbers have the same normal form if and only if they are equal.
func TestAppendNumberIsANormalForm(t *testing.T) {
	all := slices.Concat(numbers, []string{"-1.5", "-15e-1", "100e0", "0.0", "0e5", "1e-1", "9007199254740993.0", "-100"})
	for _, a := range all {
		for _, b := range all {
			x, _ := parseDecimal(a)
			y, _ := parseDecimal(b)
			same := string(AppendNumber(nil, a)) == string(AppendNumber(nil, b))
			if same != (x.compare(y) == 0) {
				t.Errorf("%s and %s: %q and %q", a, b, AppendNumber(nil, a), AppendNumber(nil, b))
			}
		}
	}
}

// Two addresses have the same normal form if and only if they are equal.
func TestAppendAddrIsANormalForm(t *testing.T) {
	for _, a := range texts {
		x, err := netip.ParseAddr(a)
		if got := AppendAddr(nil, a); IsAddr(a) != (err == nil) || (len(got) > 0) != (err == nil) {
			t.Errorf("%s: %v %x", a, IsAddr(a), got)
		}
		for _, b := range texts {
			y, err2 := netip.ParseAddr(b)
			same := string(AppendAddr(nil, a)) == string(AppendAddr(nil, b))
			if err == nil && err2 == nil && same != (x.Unmap() == y.Unmap()) {
				t.Errorf("%s and %s: %t", a, b, same)
			}
		}
	}
}

func TestIsTimeKnowsTimesOfEvents(t *testing.T) {
	for text, want := range map[string]bool{"2026-11-01T10:30:00Z": true, "2026-11-01T11:30:00.5+01:00": true,
		"2026-11-01": false, "2026-11-01T10:30": false, "2026-11-01T10:30:00": false, "": false} {
		if IsTime(text) != want {
			t.Errorf("%s: %t", text, !want)
		}
	}
}

// AliasValues of one source agrees with an event that has only this source.
func TestAliasValuesOfOneSource(t *testing.T) {
	for _, alias := range Aliases() {
		sources := AliasSources(Field(alias))
		for n := -1; n < len(sources); n++ {
			for _, value := range []string{"1", "2", "200", "404", `"success"`, `"x"`, "3002", "true"} {
				line, values := "{}", []Scalar(nil)
				if n >= 0 {
					line = nested(sources[n].Field.Names(), value)
					values = scalarsOf(t, line)
				}
				if n >= 0 && sources[n].AfterActor {
					continue // it needs an actor too
				}
				parsed, err := parseObject([]byte(line))
				if err != nil {
					t.Fatal(err)
				}
				want := derive(parsed)[alias]
				if got := AliasValues(Field(alias), n, values); !slices.Equal(got, want) {
					t.Errorf("%s of %s: %v, want %v", alias, line, got, want)
				}
				x := NewExtract(Field(alias))
				if err := x.Read([]byte(line)); err != nil {
					t.Fatal(err)
				}
				if got := AliasShown(Field(alias), n, values); !slices.Equal(got, x.Values(0)) {
					t.Errorf("%s shown of %s: %v, want %v", alias, line, got, x.Values(0))
				}
			}
		}
	}
	if AliasSources("nobody") != nil || AliasValues("nobody", 0, nil) != nil {
		t.Error("an alias that is none has sources or values")
	}
}

func nested(path []string, value string) string {
	for _, name := range slices.Backward(path) {
		value = fmt.Sprintf("{%q:%s}", name, value)
	}
	return value
}

func scalarsOf(t *testing.T, line string) []Scalar {
	t.Helper()
	event, err := parseObject([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	var all []Scalar
	for _, v := range scalars(event) {
		switch v := v.(type) {
		case string:
			all = append(all, Scalar{String, v})
		case bool:
			all = append(all, Scalar{Bool, fmt.Sprint(v)})
		default:
			all = append(all, Scalar{Number, fmt.Sprint(v)})
		}
	}
	return all
}
