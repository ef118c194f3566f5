package search

import (
	"slices"
	"time"
)

// step is the length of a histogram's bars: a number of seconds, days or months.
type step struct {
	seconds, days, months int
}

// steps are the natural steps, from the shortest to the longest. Bars of up to an hour begin at multiples of their
// length after the hour, bars of several hours at multiples after midnight, weeks on Monday, and months and years with
// the calendar. All this is in the time zone of the question.
var steps = []step{{seconds: 1}, {seconds: 2}, {seconds: 5}, {seconds: 10}, {seconds: 15}, {seconds: 30},
	{seconds: 60}, {seconds: 120}, {seconds: 300}, {seconds: 600}, {seconds: 900}, {seconds: 1800}, {seconds: 3600},
	{seconds: 2 * 3600}, {seconds: 3 * 3600}, {seconds: 6 * 3600}, {seconds: 12 * 3600}, {days: 1}, {days: 7},
	{months: 1}, {months: 3}, {months: 12}, {months: 120}}

// shortest returns a lower bound of the length of a bar.
func (s step) shortest() time.Duration {
	if s.seconds > 0 {
		return time.Duration(s.seconds) * time.Second
	}
	return time.Duration(s.days+28*s.months)*24*time.Hour - time.Hour // when clocks go forward
}

// Bars returns the starts of the bars of a histogram of [start, end), in milliseconds since the epoch. They are aligned
// in a time zone to the shortest natural step with which there are at most count bars. The first may begin before
// start. A bar ends where the next begins, and the last one with the range. The range must be 10,000 years at most, and
// count at least 1.
func Bars(start, end int64, count int, zone *time.Location) []int64 {
	for i, s := range steps {
		if i < len(steps)-1 && time.Duration(count)*s.shortest() < span(start, end) {
			continue // the range may overlap one more bar than its length has
		}
		if bars := s.bars(start, end, count+1, zone); len(bars) <= count || i == len(steps)-1 {
			return bars[:min(len(bars), count)]
		}
	}
	return nil // not reached
}

// span returns the length of [start, end), or the longest duration.
func span(start, end int64) time.Duration {
	if end-start > int64(1<<63-1)/int64(time.Millisecond) {
		return 1<<63 - 1
	}
	return time.Duration(end-start) * time.Millisecond
}

// bars returns the starts of the bars of [start, end), most at most.
func (s step) bars(start, end int64, most int, zone *time.Location) []int64 {
	var bars []int64
	for at := s.floor(time.UnixMilli(start).In(zone)); at.UnixMilli() < end && len(bars) < most; at = s.next(at) {
		bars = append(bars, at.UnixMilli())
	}
	return bars
}

// floor returns the start of the bar that contains a time.
func (s step) floor(t time.Time) time.Time {
	year, month, day := t.Date()
	midnight := time.Date(year, month, day, 0, 0, 0, 0, t.Location())
	switch {
	case s.months > 0:
		n := (year*12 + int(month) - 1) / s.months * s.months
		return time.Date(n/12, time.Month(n%12)+1, 1, 0, 0, 0, 0, t.Location())
	case s.days == 7:
		return midnight.AddDate(0, 0, -(int(midnight.Weekday())+6)%7)
	case s.days > 0:
		return midnight
	case s.seconds > 3600:
		return clock(t, t.Hour()/(s.seconds/3600)*(s.seconds/3600))
	}
	_, offset := t.Zone()
	local := t.Unix() + int64(offset)
	return time.Unix(t.Unix()-(local%int64(s.seconds)+int64(s.seconds))%int64(s.seconds), 0).In(t.Location())
}

// next returns the start of the bar after one that begins at t.
func (s step) next(t time.Time) time.Time {
	switch {
	case s.months > 0 || s.days > 0:
		year, month, day := t.Add(2 * time.Hour).Date() // if there is no midnight, t is an hour before or after it
		return time.Date(year, month+time.Month(s.months), day+s.days, 0, 0, 0, 0, t.Location())
	case s.seconds > 3600:
		hours := s.seconds / 3600
		next := clock(t, t.Hour()/hours*hours+hours)
		if !next.After(t) {
			next = t.Add(time.Duration(s.seconds) * time.Second)
		}
		return next
	}
	return t.Add(time.Duration(s.seconds) * time.Second)
}

// clock returns an hour of the day of t, which may be 24.
func clock(t time.Time, hour int) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, hour, 0, 0, 0, t.Location())
}

// barOf returns the index of the bar that contains a time. There must be one.
func barOf(bars []int64, t int64) int {
	i, found := slices.BinarySearch(bars, t)
	if !found {
		i--
	}
	return i
}
