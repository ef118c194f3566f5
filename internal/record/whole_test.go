package record

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// upper is a mapping of texts to events. It cannot read a text that begins with "!", and makes no event of one that
// begins with "?".
type upper struct{}

func (upper) Map(raw []byte) ([]byte, error) {
	switch raw[0] {
	case '!':
		return nil, errors.New("it shouts")
	case '?':
		return []byte(`{"time":"never"}`), nil
	}
	return []byte(`{"time":1786331570000,"message":"` + string(raw) + `"}`), nil
}

func (upper) Keep(raw []byte, why string) []byte {
	return []byte(`{"time":1786331570000,"raw_data":"` + string(raw) + `","metadata":{"uid":"` + string(raw) + `"}}`)
}

// Data that the mapping cannot read, or makes no event of, is kept and reported. Data that is too large is refused. All
// memory is released in the end.
func TestWhatCannotBeMappedIsKept(t *testing.T) {
	r, _ := start(t, Options{})
	s := source("writer")
	s.Mapping, s.Partial = upper{}, true
	in := r.Intake(s, Limits{EventBytes: 100})
	body := "one\n!two\n?three\n" + strings.Repeat("x", 101) + "\nfive\n"
	if err := in.ReadLines(strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	got, err := in.Record(t.Context())
	if err != nil || got.Recorded != 4 || got.Unread != 2 || got.Refused != 1 || got.FirstRefused != 4 ||
		len(got.Warnings) != 2 || got.Warnings[0].Event != "line 2" {
		t.Errorf("%+v %v", got, err)
	}
	in.Close()
	if r.memory.used != 0 {
		t.Errorf("%d bytes are held for ever", r.memory.used)
	}
}

func TestObjectsMayFollowOneAnother(t *testing.T) {
	for body, want := range map[string]string{`{"a":1}{"b":2}`: "2", ` {"a":"}"} ` + "\n" + `{"b":{}} `: "2",
		`[{},{}]`: "2", `{}x`: "malformed", `{"a":1},{"b":2}`: "malformed", `{"a":1}[{}]`: "malformed",
		`{"a":1}{"b":`: "malformed", "": "0"} {
		r, _ := start(t, Options{})
		s := source("writer")
		s.Mapping = counting{new(int)}
		in := r.Intake(s, Limits{})
		err := in.ReadObjects(strings.NewReader(body))
		got := string(rune('0' + in.Events()))
		if errors.As(err, new(*Malformed)) {
			got = "malformed"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
		in.Close()
	}
}

// counting is a mapping that makes a different event each time.
type counting struct{ n *int }

func (c counting) Map([]byte) ([]byte, error) {
	*c.n++
	return []byte(`{"time":` + "178633157000" + string(rune('0'+*c.n)) + `}`), nil
}

func (c counting) Keep(raw []byte, _ string) []byte { return raw }

// The memory of a body that is read as a whole is reserved as it arrives, and bounded.
func TestWholeBodyIsReservedAsItArrives(t *testing.T) {
	r, _ := start(t, Options{MemoryBytes: 1 << 20})
	in := r.Intake(source("writer"), Limits{RequestBytes: 300_000})
	held := int64(-1)
	src := &stalled{strings.NewReader("begin"), func() { held = r.memory.used }}
	if _, err := in.ReadWhole(src); !errors.As(err, new(*Unreadable)) || held > 8<<10 {
		t.Errorf("%v, %d bytes are held while it stalls", err, held)
	}
	content := bytes.Repeat([]byte("x"), 200_000)
	if got, err := in.ReadWhole(bytes.NewReader(content)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var large *TooLarge
	if _, err := in.ReadWhole(io.LimitReader(endless{}, 1<<30)); !errors.As(err, &large) {
		t.Errorf("an endless body: %v", err)
	}
	in.Close()
	if r.memory.used != 0 {
		t.Errorf("%d bytes are held for ever", r.memory.used)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
