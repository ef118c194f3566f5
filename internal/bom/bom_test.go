package bom

import "testing"

func TestSkip(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "{": 0, "{}": 0, "\xef\xbb\xbf": 3, "\xef\xbb\xbf{}": 3, "\xef\xbb": 0, "\x00\x00": 0, "a\x00": 0, "\x00": 0,
		"\xff\xfe{\x00": -1, "\xfe\xff\x00{": -1, "{\x00}\x00": -1, "\x00[\x00]": -1, "\n\x00": -1, "\xff\xfe": -1,
	} {
		n, err := Skip([]byte(text))
		if err == nil && n != want || (err != nil) != (want < 0) {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
}
