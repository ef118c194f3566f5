package rule

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Duration is a length of time that is written as a number and a unit, such as 10m or 30d. The units are s, m, h, d and
// w, as in queries.
type Duration time.Duration

const day = 24 * time.Hour

// units are those of a Duration, the longest first.
var units = []struct {
	name   byte
	length time.Duration
}{{'w', 7 * day}, {'d', day}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

var errDuration = errors.New("a duration must be a whole number and a unit (s, m, h, d or w), such as 10m")

// ParseDuration reads a Duration of at most 99999 of a unit.
func ParseDuration(text string) (Duration, error) {
	if len(text) < 2 || len(text) > 6 {
		return 0, errDuration
	}
	count, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil {
		return 0, errDuration
	}
	for _, u := range units {
		if text[len(text)-1] == u.name {
			return Duration(time.Duration(count) * u.length), nil
		}
	}
	return 0, errDuration
}

// String writes the duration in the longest unit that it is a multiple of.
func (d Duration) String() string {
	for _, u := range units {
		if d != 0 && time.Duration(d)%u.length == 0 {
			return fmt.Sprint(int64(time.Duration(d)/u.length), string(u.name))
		}
	}
	return fmt.Sprint(int64(time.Duration(d)/time.Second), "s")
}

// MarshalText writes the duration as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a text as ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

func (d Duration) ms() int64 { return time.Duration(d).Milliseconds() }
