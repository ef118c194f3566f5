package watch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func sampleState(t testing.TB, checkpoint string) []byte {
	p := &Problem{Log: "log", Origin: testOrigin, Kind: Forked, Detail: "x", Checkpoints: []string{checkpoint,
		checkpoint}, Time: time.Unix(1e9, 0).UTC()}
	s := &State{Version: stateVersion, Logs: map[string]*Log{
		"log": {Origin: testOrigin, Checkpoint: checkpoint, Grown: time.Unix(1e9, 5).UTC(), Problem: p,
			Evidence: []*Problem{p}},
		"none": {Failing: time.Unix(1e9, 0).UTC()},
	}}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A state file that is cut or changed is refused, and does not become an empty state. A missing file is an empty state.
func TestDamagedStateIsRefused(t *testing.T) {
	good := sampleState(t, newLog(t, keys(t, 1), 10).checkpoint())
	if _, err := ParseState(good); err != nil {
		t.Fatal(err)
	}
	for n := range len(good) - 1 { // it is complete without its last line feed
		if s, err := ParseState(good[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %+v, %v", n, s, err)
		}
	}
	for name, bad := range map[string][]byte{
		"version": bytes.Replace(good, []byte(`"version": 1`), []byte(`"version": 2`), 1),
		"member":  bytes.Replace(good, []byte(`"origin"`), []byte(`"orogin"`), 1),
		"twice":   bytes.Replace(good, []byte(`"none"`), []byte(`"log"`), 1),
		"origin": bytes.Replace(good, []byte(`"origin": "example.org/log"`),
			[]byte(`"origin": "example.org/log2"`), 1),
		"checkpoint": bytes.Replace(good, []byte(`\n10\n`), []byte(`\n10x\n`), 1),
		"kind":       bytes.Replace(good, []byte(`"forked"`), []byte(`"forged"`), 1),
		"null":       []byte(`{"version":1,"logs":{"a":null}}`),
		"logs":       []byte(`{"version":1}`),
		"zeros":      make([]byte, len(good)),
		"two":        append(bytes.Clone(good), good...),
	} {
		if bytes.Equal(good, bad) {
			t.Fatalf("%s: nothing was changed", name)
		}
		file := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{State: file}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadFile(file); err != nil || !bytes.Equal(left, bad) {
			t.Errorf("%s: it was changed: %v", name, err)
		}
	}
}

// FuzzState checks that no bytes make the parser panic, and that a parsed state encodes to the same bytes.
func FuzzState(f *testing.F) {
	k := keys(f, 1)
	checkpoint, err := k.SignCheckpoint(testOrigin, 1, [32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sampleState(f, checkpoint))
	f.Add([]byte(`{"version":1,"logs":{}}`))
	f.Add([]byte(`{"version":1,"logs":{"a":{"evidence":[null]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseState(data)
		if err != nil {
			return
		}
		once, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseState(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, err := again.Encode(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s\n%s\n%v", once, twice, err)
		}
	})
}
