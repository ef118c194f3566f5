package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a point in time: seconds since the epoch, RFC 3339, or how long ago (90m, 12h, 30d). It returns seconds
// since the epoch.
func ParseTime(text string, now time.Time) (int64, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 {
		return seconds, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.Unix(), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 40_000 {
			return now.Unix() - int64(n)*24*60*60, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).Unix(), nil
	}
	return 0, fmt.Errorf("%q is not a time: want seconds since the epoch, a date such as 2026-08-10T03:12:58Z, or how long ago, such as 90m, 12h or 30d", text)
}
