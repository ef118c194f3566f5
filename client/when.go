package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// ParseTime reads a point in time: seconds since the epoch, RFC 3339, a date (2026-11-01 is its first moment in UTC),
// now, or a duration before now (90m, 12h, 30d, now-1d). It returns seconds since the epoch.
func ParseTime(text string, now time.Time) (int64, error) {
	t, err := parseTime(text, now)
	return t.Unix(), err
}

// ParseEnd is ParseTime for the end of a range. A range includes its last second, so a date means its last second.
func ParseEnd(text string, now time.Time) (int64, error) {
	t, err := parseTime(text, now)
	if _, dateErr := time.Parse(time.DateOnly, text); dateErr == nil {
		t = t.Add(day - time.Second)
	}
	return t.Unix(), err
}

func parseTime(text string, now time.Time) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 {
		return time.Unix(seconds, 0), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if text == "now" {
		return now, nil
	}
	if ago, err := parseAgo(strings.TrimPrefix(text, "now-")); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: want seconds since the epoch, a date such as 2026-08-10 or "+
		"2026-08-10T03:12:58Z, "+
		"or how long ago, such as 90m, 12h, 30d or now-1d", text)
}

// parseAgo reads a duration. In addition to Go's units it takes days.
func parseAgo(text string) (time.Duration, error) {
	const most = 100 * 365 // days
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err == nil && n > most {
			err = strconv.ErrRange
		}
		return time.Duration(n) * day, err
	}
	return time.ParseDuration(text)
}
