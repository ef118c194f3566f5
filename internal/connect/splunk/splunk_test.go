package splunk

import (
	"encoding/json"
	"fmt"
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
		`"1786331570.1234567890123"`: 1786331570123} {
		if got, err := connect.Instant([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{`"now"`, `""`, `"."`, `true`, `{}`, `-1`, `"1/3"`, `1e9`, `"0x10"`,
		strings.Repeat("9", 41), `"` + strings.Repeat("9", 39) + `"`} {
		if got, err := connect.Instant([]byte(text)); err == nil && got < 1<<60 {
			t.Errorf("%s: %d", text, got)
		}
	}
}

// A time in seconds with any fraction is cut to milliseconds, exactly.
func TestFractionsAreCutExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(1_200_000_000, 1_786_331_570).Draw(t, "seconds")
		digits := rapid.StringMatching(`[0-9]{0,20}`).Draw(t, "digits")
		text := fmt.Sprintf("%d.%s", seconds, digits)
		ms, _ := strconv.ParseInt((digits + "000")[:3], 10, 64)
		if got, err := connect.Instant([]byte(text)); err != nil || got != seconds*1000+ms {
			want := seconds*1000 + ms
			t.Fatalf("%s: %d %v, want %d", text, got, err, want)
		}
	})
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

// Whatever arrives becomes an event that is taken, or that keeps what arrived.
func FuzzMap(f *testing.F) {
	f.Add(`{"time":1786331570.5,"host":"h","event":"one","fields":{}}`, false)
	f.Add(`{"event":{"class_uid":0,"time":1786331570000,"metadata":{}}}`, false)
	f.Add("a line\x01\xff", true)
	f.Fuzz(func(t *testing.T, raw string, lines bool) {
		if len(raw) > 1<<16 {
			return
		}
		l := Lines{Mapping: mapping(), Host: "h"}
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
