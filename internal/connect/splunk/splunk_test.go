package splunk

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/event"
)

var received = time.UnixMilli(1_786_331_580_000)

func mapping() Mapping { return Mapping{Delivery: connect.Delivery{Log: "a", Received: received}} }

func TestTimesOfSenders(t *testing.T) {
	for text, want := range map[string]int64{`1786331570`: 1786331570000, `1786331570.123`: 1786331570123,
		`"1786331570.123456"`: 1786331570123, `1786331570.9999`: 1786331570999, `"1786331570"`: 1786331570000,
		`1786331570123`: 1786331570123, `1786331570123456`: 1786331570123, `1786331570123456789`: 1786331570123,
		`"1786331570.1234567890123"`: 1786331570123, `1.786331570123E9`: 1786331570123, `"1.786331570e+9"`: 1786331570000,
		`1e9`: 1_000_000_000_000, `17863315701239e-4`: 1786331570123, `1.786331570123456789e18`: 1786331570123} {
		if got, err := connect.Instant([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{`"now"`, `""`, `"."`, `true`, `{}`, `-1`, `"1/3"`, `"0x10"`, `-1e9`, `1e`, `e9`,
		`1e9.5`, `1e1000`, `1e-1000`, `1e99999999999`, `1e999`, `"1p9"`, `"1_000"`, `"+1"`,
		strings.Repeat("9", 41), `"` + strings.Repeat("9", 39) + `"`} {
		if got, err := connect.Instant([]byte(text)); err == nil && got < 1<<60 {
			t.Errorf("%s: %d", text, got)
		}
	}
}

// A time in seconds with any fraction is cut to milliseconds, exactly, wherever its point is and whatever its exponent
// says of it.
func TestFractionsAreCutExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(1_200_000_000, 1_786_331_570).Draw(t, "seconds")
		fraction := rapid.StringMatching(`[0-9]{0,16}`).Draw(t, "fraction")
		ms, _ := strconv.ParseInt((fraction + "000")[:3], 10, 64)
		want := seconds*1000 + ms
		digits := fmt.Sprint(seconds) + fraction
		at := rapid.IntRange(0, len(digits)).Draw(t, "place of the point")
		texts := []string{fmt.Sprintf("%d.%s", seconds, fraction), fmt.Sprintf("%d.%se0", seconds, fraction),
			fmt.Sprintf("%s.%s%s%d", digits[:at], digits[at:], rapid.SampledFrom([]string{"e", "E"}).Draw(t, "e"), 10-at)}
		if at < 10 {
			texts = append(texts, fmt.Sprintf("%s.%sE+%02d", digits[:at], digits[at:], 10-at))
		}
		for _, text := range texts {
			for _, text := range []string{text, strconv.Quote(text)} {
				if got, err := connect.Instant([]byte(text)); err != nil || got != want {
					t.Fatalf("%s: %d %v, want %d", text, got, err, want)
				}
			}
		}
	})
}

// Whatever stands there as a time, it is refused, or it is the number that a reader of decimal digits makes of it.
func FuzzInstant(f *testing.F) {
	for _, text := range []string{"1786331570.123", "1.795158062345E9", `"1e-3"`, "1e999", "-1", "0.0e0", "00012.5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := connect.Instant([]byte(text))
		if err != nil {
			return
		}
		plain, ok := connect.Text([]byte(text))
		if !ok {
			plain = text
		}
		if want, ok := millis(plain); !ok || got != want {
			t.Fatalf("%s: %d, want %d, %v", text, got, want, ok)
		}
	})
}

// millis moves the point of a number by its exponent, one digit after another, and cuts it.
func millis(text string) (int64, bool) {
	digits, exponent := strings.ToLower(text), 0
	if at := strings.IndexByte(digits, 'e'); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(digits[at+1:]); err != nil {
			return 0, false
		}
		digits = digits[:at]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	move := func(n int) {
		for ; n > 0; n-- {
			if fraction == "" {
				fraction = "0"
			}
			whole, fraction = whole+fraction[:1], fraction[1:]
		}
		for ; n < 0; n++ {
			if whole == "" {
				whole = "0"
			}
			whole, fraction = whole[:len(whole)-1], whole[len(whole)-1:]+fraction
		}
	}
	move(exponent + 3)
	value := func() *big.Int { n, _ := new(big.Int).SetString("0"+whole, 10); return n }
	for i := 0; i < 3 && value() != nil && value().Cmp(big.NewInt(1e14)) >= 0; i++ {
		move(-3)
	}
	if value() == nil || strings.Trim(fraction, "0123456789") != "" {
		return 0, false
	}
	return value().Int64(), value().IsInt64()
}

func TestEventThatIsOCSFStays(t *testing.T) {
	const ocsf = `{"class_uid":3002,"time":1786331570000,"n":1.50}`
	quoted, _ := json.Marshal(ocsf)
	for _, raw := range []string{`{"time":1,"event":` + ocsf + `}`, `{"event":` + string(quoted) + `}`} {
		m := mapping()
		if made, err := m.Map([]byte(raw)); err != nil || string(made) != ocsf {
			t.Errorf("%s: %s %v", raw, made, err)
		}
	}
	l := Lines{Mapping: mapping()}
	if made, err := l.Map([]byte(ocsf)); err != nil || string(made) != ocsf {
		t.Errorf("%s %v", made, err)
	}
}

func TestBaseEventConforms(t *testing.T) {
	m := mapping()
	made, err := m.Map([]byte(`{"time":1786331570,"host":"h","sourcetype":"t","event":"x","fields":{"a":"b"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var p event.Parser
	line, _, err := p.Append(nil, made, event.Origin{By: "x", Received: received})
	if err != nil {
		t.Fatal(err)
	}
	if warnings, err := event.Conform(line); err != nil || len(warnings) > 0 {
		t.Errorf("%s: %v %v", line, warnings, err)
	}
}

// What the request says of all events stands in each that does not say it itself.
func TestDefaultsFillWhatAnObjectLacks(t *testing.T) {
	m := mapping()
	m.Defaults = Metadata{Time: "1786331570", Host: `h"`, SourceType: "t"}
	const said = `"time":"1786331570","host":"h\"","sourcetype":"t"}`
	for raw, want := range map[string]string{
		`{"event":"x"}`: `{"event":"x",` + said,
		`{"time":1786331570.0,"event":"x","host":"own"}`: `{"time":1786331570.0,"event":"x","host":"own","sourcetype":"t"}`,
		`{"event":"x","host":null,"time":null}`:          `{"event":"x","host":null,"time":null,"sourcetype":"t"}`,
		` {"event":{"a":"}"} } `:                         `{"event":{"a":"}"},` + said,
	} {
		made, err := m.Map([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		var e struct {
			Time     int64
			Metadata struct {
				Code string `json:"event_code"`
			}
			Unmapped struct{ HEC json.RawMessage }
		}
		if err := json.Unmarshal(made, &e); err != nil {
			t.Fatalf("%s: %v", made, err)
		}
		var got, wanted any
		_, _ = json.Unmarshal(e.Unmapped.HEC, &got), json.Unmarshal([]byte(want), &wanted)
		timed := !strings.Contains(raw, `"time":null`)
		if !reflect.DeepEqual(got, wanted) || e.Metadata.Code != "t" || timed != (e.Time == 1786331570000) {
			t.Errorf("%s: %s, want %s", raw, made, want)
		}
	}
}

// Whatever arrives becomes an event that is taken, or that keeps what arrived.
func FuzzMap(f *testing.F) {
	f.Add(`{"time":1786331570.5,"host":"h","event":"one","fields":{}}`, false)
	f.Add(`{"event":{"class_uid":0,"time":1786331570000,"metadata":{}}}`, false)
	f.Add("a line\x01\xff", true)
	f.Fuzz(func(t *testing.T, raw string, lines bool) {
		if len(raw) > 1<<16 {
			return
		}
		l := Lines{Mapping: mapping()}
		l.Defaults.Host = "h"
		of, keep := l.Mapping.Map, l.Keep
		if lines {
			of = l.Map
		}
		made, err := of([]byte(raw))
		if len(made) > 12*len(raw)+4096 {
			t.Fatalf("%d bytes become %d", len(raw), len(made))
		}
		p := event.Parser{Limits: event.Limits{MaxBytes: 1 << 20}}
		if err == nil {
			if _, _, err = p.Append(nil, made, event.Origin{Received: received}); err == nil {
				return
			}
		}
		if _, _, err := p.Append(nil, keep([]byte(raw), err.Error()), event.Origin{Received: received}); err != nil {
			t.Fatal(err)
		}
	})
}
