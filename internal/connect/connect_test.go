package connect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/event"
)

var received = time.UnixMilli(1_786_331_570_000)

// read returns the uid and the line of an event as it would be recorded.
func read(t interface{ Fatalf(string, ...any) }, made []byte) (event.Fields, []byte) {
	var p event.Parser
	p.MaxBytes = 64 << 20
	line, f, err := p.Append(nil, made, event.Origin{By: "x", Received: received})
	if err != nil {
		t.Fatalf("%s: %v", made, err)
	}
	return f, line
}

// Whatever bytes are kept, they can be had back, and the event is one that is taken and conforms to OCSF.
func TestKeepKeepsTheBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(),
			func(s string) []byte { return []byte(s) })).Draw(t, "raw")
		why := rapid.String().Draw(t, "why")
		d := Delivery{Log: "a", Received: received}
		_, line := read(t, d.Keep(nil, raw, "Format", why))
		if warnings, err := event.Conform(line); err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", line, warnings, err)
		}
		var e struct {
			Raw      string `json:"raw_data"`
			Unmapped struct {
				Unread struct{ Encoding, Reason string }
			}
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		got := []byte(e.Raw)
		if e.Unmapped.Unread.Encoding == "base64" {
			got, _ = base64.StdEncoding.DecodeString(e.Raw)
		}
		if !bytes.Equal(got, raw) || e.Unmapped.Unread.Reason != why {
			t.Fatalf("%q, %q: %s", raw, why, line)
		}
	})
}

// A record without a time becomes the same event when it is sent again, and not that of another record.
func TestFirstRemembersWhenSomethingCame(t *testing.T) {
	first := NewFirst(10)
	at := func(minute int, log, identity string) int64 {
		d := Delivery{Log: log, Received: received.Add(time.Duration(minute) * time.Minute), First: first}
		return d.Time([]byte(identity))
	}
	came := at(0, "a", "x")
	if again := at(1, "a", "x"); again != came {
		t.Errorf("%d when it came again, first %d", again, came)
	}
	if other := at(1, "b", "x"); other == came {
		t.Error("another log has its time")
	}
	for i := range 1000 {
		at(2, "a", fmt.Sprint(i))
	}
	if n := len(first.younger) + len(first.older); n > 10 {
		t.Errorf("%d are remembered", n)
	}
}

// Equal records within a delivery are told apart, in the same way when the delivery is sent again.
func TestEqualEventsOfADeliveryAreToldApart(t *testing.T) {
	const a, b = `{"class_uid":1,"time":2}`, `{"class_uid":1,"time":3,"metadata":{"uid":"u"}}`
	made := func() (all []string) {
		var d Delivery
		for _, raw := range []string{a, b, a, "{\"class_uid\":1,\n \"time\":2}", b} {
			all = append(all, string(d.Distinct([]byte(raw))))
		}
		return all
	}
	first, again := made(), made()
	if fmt.Sprint(first) != fmt.Sprint(again) || first[0] != a || first[2] == a || first[3] == a || first[2] == first[3] ||
		first[1] != b || first[4] != b {
		t.Errorf("%q %q", first, again)
	}
}

func TestMembersAreThoseOfTheObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.MapOf(rapid.String(), rapid.OneOf(rapid.Just("1"), rapid.Just(`{"a":[{},null]}`), rapid.Just(`"x"`),
			rapid.Just("true"))).Draw(t, "members")
		space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
		var parts []string
		for name, value := range values {
			quoted, _ := json.Marshal(name)
			parts = append(parts, string(quoted)+space+":"+space+value+space)
		}
		raw := space + "{" + space + strings.Join(parts, ","+space) + "}" + space
		got := map[string]string{}
		if err := Members([]byte(raw), func(name string, v []byte) error { got[name] = string(v); return nil }); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		for name, value := range values {
			if got[strings.ToValidUTF8(name, "\uFFFD")] != value {
				t.Fatalf("%s: %q is %q, want %q", raw, name, got[name], value)
			}
		}
	})
}

func TestUIDIsAddedAndNothingElseChanges(t *testing.T) {
	for raw, want := range map[string]string{
		`{"time":1}`:                           `{"time":1,"metadata":{"uid":"u"}}`,
		`{"metadata":{},"time":1}`:             `{"metadata":{"uid":"u"},"time":1}`,
		` {"metadata": {"a":1 } ,"time":1.0} `: `{"metadata": {"a":1 ,"uid":"u"} ,"time":1.0}`,
		`{"metadata":{"uid":"v"},"time":1}`:    `{"metadata":{"uid":"v"},"time":1}`,
		`{"metadata":7,"time":1}`:              `{"metadata":7,"time":1}`,
	} {
		if got := string(WithUID(nil, []byte(raw), "u")); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestUIDsOfOthersAreOthers(t *testing.T) {
	all := map[string]string{}
	for _, parts := range [][]string{{"a b", "c"}, {"a", "b c"}, {"a b c", ""}, {"", "a b c"}, {"a", "b"},
		{strings.Repeat("x", 600), "y"}, {strings.Repeat("x", 601), "y"}} {
		uid := UID(parts...)
		if other, ok := all[uid]; ok || len(uid) > maxUID {
			t.Errorf("%q has the uid %q of %q", parts, uid, other)
		}
		all[uid] = fmt.Sprint(parts)
	}
}

func TestElementsAreThoseOfTheArray(t *testing.T) {
	for raw, want := range map[string]string{`[]`: "", ` [1, "a,]" ,{"b":[2]}, null]`: `1|"a,]"|{"b":[2]}|null`} {
		var got []string
		err := Elements([]byte(raw), func(v []byte) error { got = append(got, string(v)); return nil })
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: %v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "{}", "1", "[1", "[1,", `["a]`, "[1 2]"} {
		if err := Elements([]byte(raw), func([]byte) error { return nil }); err == nil {
			t.Errorf("%s: no error", raw)
		}
	}
	stop := errors.New("stop")
	if err := Elements([]byte("[1,2]"), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}
