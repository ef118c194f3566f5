package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a server takes at a time, it gets each line once and in order, but for those that are too large by
// themselves, which are named.
func TestLinesAreSentInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 30).Draw(t, "sizes")
		most, ended := rapid.IntRange(1, 200).Draw(t, "most"), rapid.Bool().Draw(t, "ended")
		var lines []string
		for i, n := range sizes {
			lines = append(lines, fmt.Sprint(i)+strings.Repeat("x", n))
		}
		all := strings.Join(lines, "\n")
		if ended && len(lines) > 0 {
			all += "\n"
		}
		var got []string
		left := map[int]bool{}
		err := InParts([]byte(all), func(part []byte, before int) error {
			if len(part) > most {
				return fmt.Errorf("sent: %w", &Error{Status: http.StatusRequestEntityTooLarge})
			}
			text := strings.TrimSuffix(string(part), "\n")
			if first := strings.Split(text, "\n")[0]; first != lines[before] {
				t.Fatalf("%d lines before %q", before, first)
			}
			got = append(got, strings.Split(text, "\n")...)
			return nil
		}, func(before int, said *Error) error {
			left[before] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i, line := range lines {
			size := len(line)
			if ended || i < len(lines)-1 {
				size++
			}
			if size <= most {
				want = append(want, line)
			} else if !left[i] {
				t.Errorf("line %d is not named", i)
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	err := InParts([]byte("a\nb\n"), func([]byte, int) error { return &Error{Status: http.StatusForbidden} }, nil)
	if said := new(Error); !errors.As(err, &said) || said.Status != http.StatusForbidden {
		t.Error(err)
	}
}
