package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func box(n byte) Box { return NewBox(bytes.Repeat([]byte{n}, 32)) }

func TestABoxShowsWhatItHid(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("long ", 1000), "\x00\xff"} {
		hidden, err := box(1).Hide("sources/p/s/secret", text)
		if err != nil {
			t.Fatal(err)
		}
		if text != "" && strings.Contains(hidden, base64.StdEncoding.EncodeToString([]byte(text))) {
			t.Errorf("%q lies open", text)
		}
		again, _ := box(1).Hide("sources/p/s/secret", text)
		if again == hidden {
			t.Errorf("that %q is hidden twice can be seen", text)
		}
		if shown, err := box(1).Show("sources/p/s/secret", hidden); err != nil || shown != text {
			t.Errorf("%q: %q, %v", text, shown, err)
		}
	}
}

func TestABoxShowsNothingElse(t *testing.T) {
	hidden, err := box(1).Hide("place", "secret")
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(hidden)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 1
		if _, err := box(1).Show("place", base64.StdEncoding.EncodeToString(changed)); !errors.Is(err, ErrForged) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for name, err := range map[string]error{
		"elsewhere":         second(box(1).Show("other place", hidden)),
		"another secret":    second(box(2).Show("place", hidden)),
		"cut":               second(box(1).Show("place", hidden[:20])),
		"empty":             second(box(1).Show("place", "")),
		"no base64":         second(box(1).Show("place", "!")),
		"more behind it":    second(box(1).Show("place", hidden+"AAAA")),
		"a line feed in it": second(box(1).Show("place", hidden[:8]+"\n"+hidden[8:]+"AAAA")),
	} {
		if !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Box{}).Show("place", hidden); !errors.Is(err, ErrNoSecret) {
		t.Error(err)
	}
	if _, err := (Box{}).Hide("place", "secret"); !errors.Is(err, ErrNoSecret) {
		t.Error(err)
	}
}

func second(_ string, err error) error { return err }
