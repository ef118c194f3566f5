package rule

import (
	"errors"
	"strings"
	"time"
)

// hours is a part of each week: some days, from a time of day to another, in a time zone.
type hours struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes since midnight; to is behind from
	zone     *time.Location
}

var errHours = errors.New(`must be days, times of day and a time zone, such as "Mon-Fri 08:00-18:00 Europe/Berlin"`)

// parseHours reads hours such as "Mon-Fri 08:00-18:00 Europe/Berlin". Days may be several, with commas between them.
func parseHours(text string) (*hours, error) {
	parts := strings.Fields(text)
	if len(parts) != 3 {
		return nil, errHours
	}
	h := &hours{}
	for days := range strings.SplitSeq(parts[0], ",") {
		if !h.addDays(days) {
			return nil, errHours
		}
	}
	from, to, ok := strings.Cut(parts[1], "-")
	if h.from = minutes(from); !ok || h.from < 0 {
		return nil, errHours
	}
	if h.to = minutes(to); h.to <= h.from {
		return nil, errHours
	}
	zone, err := time.LoadLocation(parts[2])
	if err != nil || parts[2] == "Local" {
		return nil, errHours
	}
	h.zone = zone
	return h, nil
}

// addDays adds a day, or days such as Sat-Mon.
func (h *hours) addDays(text string) bool {
	first, last, several := strings.Cut(text, "-")
	from := weekday(first)
	to := from
	if several {
		to = weekday(last)
	}
	if from < 0 || to < 0 {
		return false
	}
	for day := from; ; day = (day + 1) % 7 {
		h.days[day] = true
		if day == to {
			return true
		}
	}
}

func weekday(text string) int {
	for day := range 7 {
		if strings.EqualFold(text, time.Weekday(day).String()[:3]) {
			return day
		}
	}
	return -1
}

// minutes reads a time of day up to 24:00. It returns -1 if the text is not a time.
func minutes(text string) int {
	if text == "24:00" {
		return 24 * 60
	}
	at, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return -1
	}
	return 60*at.Hour() + at.Minute()
}

// has tells whether a moment, in milliseconds since 1970, is within the hours.
func (h *hours) has(ms int64) bool {
	at := time.UnixMilli(ms).In(h.zone)
	minute := 60*at.Hour() + at.Minute()
	return h.days[at.Weekday()] && h.from <= minute && minute < h.to
}
