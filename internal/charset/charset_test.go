package charset

import (
	"errors"
	"testing"
)

func TestMarksAreSkippedAndOtherEncodingsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "{": "{", "{}": "{}", "\xef\xbb\xbf": "", "\xef\xbb\xbf{}": "{}", "\xef\xbb": "\xef\xbb",
		"\x00\x00": "\x00\x00",
		"a\x00":    "a\x00", "\x00": "\x00",
	} {
		if rest, err := SkipMark([]byte(text)); err != nil || string(rest) != want {
			t.Errorf("%q: %q, %v", text, rest, err)
		}
	}
	for _, text := range []string{"\xff\xfe{\x00", "\xfe\xff\x00{", "{\x00}\x00", "\x00[\x00]", "\n\x00", " \x00",
		"\x00\"", "\xff\xfe",
		"\xff\xfe\x00\x00{\x00\x00\x00", "\x00\x00\xfe\xff"} {
		if _, err := SkipMark([]byte(text)); !errors.Is(err, ErrNotUTF8) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What SkipMark says of a text does not change when more of it arrives, once it is decided.
func TestWhatIsDecidedStays(t *testing.T) {
	for _, whole := range []string{"\xef\xbb\xbf{}", "\xff\xfe{\x00", "\xff\xfe\x00\x00{\x00\x00\x00", "{\x00}\x00",
		"\x00\x00\xfe\xff", "{}\n", "\n\n"} {
		_, want := SkipMark([]byte(whole))
		for n := range len(whole) {
			if _, err := SkipMark([]byte(whole[:n])); !Undecided([]byte(whole[:n])) && (err == nil) != (want == nil) {
				t.Errorf("%q is decided after %d bytes: %v, then %v", whole, n, err, want)
			}
		}
	}
}
