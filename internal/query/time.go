package query

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is a time in a query. It is relative to now, or an interval.
//
// Relative times are now, now-1d and now+90m, and also now/d and now-1w/w, which stand for the whole day or week in
// UTC. The units are s, m, h, d and w; a week starts on Monday. An interval is a month (2026-11), a week (2026-W48), a
// day (2026-11-01), or an hour, a minute, a second or a fraction of one (2026-11-01T10, T10:30, T10:30:05,
// T10:30:05.123). The time of day may have a zone (Z, +02:00). Without one it is in UTC.
type Time struct{ Text string }

// ParseTime parses a time in the syntax of queries, and returns it as an interval [from, to). A relative time that is
// not rounded, such as now-1d, lasts one millisecond.
func ParseTime(text string, now time.Time) (from, to time.Time, ok bool) {
	t := Time{text}
	if _, ok := parseRelative(text); ok {
		t = t.at(now.UTC())
	}
	s, ok := parseTime(t.Text)
	return s.from.time(), s.to.time(), ok
}

// Relative tells whether the time is relative to now.
func (t Time) Relative() bool { return strings.HasPrefix(t.Text, "now") }

// Interval returns the time as an interval [from, to). Both are zero if the time is relative.
func (t Time) Interval() (from, to time.Time) {
	s, ok := parseTime(t.Text)
	if !ok {
		return time.Time{}, time.Time{}
	}
	return s.from.time(), s.to.time()
}

// at returns a relative time as an interval: a millisecond, or the unit to which it is rounded.
func (t Time) at(now time.Time) Time {
	r, ok := parseRelative(t.Text)
	if !ok {
		return t
	}
	moment := time.Unix(max(earliest, min(now.Unix()+r.offset, latest)), int64(now.Nanosecond())).UTC()
	if r.round == 'w' {
		year, week := moment.ISOWeek()
		return Time{fmt.Sprintf("%04d-W%02d", year, week)}
	}
	return Time{moment.Format(units[r.round].layout)}
}

// In the years between these, in seconds since 1970, every week has a year of four digits.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// units are the units of offsets from now, with the layout of a time that is rounded down to one. The unit 0 is for
// times that are not rounded.
var units = map[byte]struct {
	seconds int64
	layout  string
}{
	0:   {0, "2006-01-02T15:04:05.000Z"},
	's': {1, "2006-01-02T15:04:05Z"},
	'm': {60, "2006-01-02T15:04Z"},
	'h': {3600, "2006-01-02T15Z"},
	'd': {24 * 3600, "2006-01-02"},
	'w': {7 * 24 * 3600, ""},
}

// relative is a time relative to now.
type relative struct {
	offset int64 // seconds
	round  byte  // a unit; 0 if it is not rounded
}

// parseRelative parses now, now-1d, now/d or now-1d/d. An offset has at most five digits.
func parseRelative(text string) (r relative, ok bool) {
	rest, ok := strings.CutPrefix(text, "now")
	if !ok {
		return r, false
	}
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		end := digits(rest, 1)
		if end == 1 || end > 6 || end == len(rest) || units[rest[end]].seconds == 0 {
			return r, false
		}
		count, _ := strconv.ParseInt(rest[:end], 10, 64)
		r.offset = count * units[rest[end]].seconds
		rest = rest[end+1:]
	}
	if len(rest) == 2 && rest[0] == '/' && units[rest[1]].seconds > 0 {
		r.round, rest = rest[1], ""
	}
	return r, rest == ""
}

// instant is a moment, relative to the start of 1970.
type instant struct {
	seconds     int64
	nanoseconds int64 // within the second
}

func (i instant) time() time.Time { return time.Unix(i.seconds, i.nanoseconds).UTC() }

func (i instant) compare(other instant) int {
	return cmp.Or(cmp.Compare(i.seconds, other.seconds), cmp.Compare(i.nanoseconds, other.nanoseconds))
}

// milliseconds returns the instant in milliseconds since 1970.
func (i instant) milliseconds() decimal {
	whole, rest := i.seconds*1000+i.nanoseconds/1e6, i.nanoseconds%1e6
	sign := ""
	if whole < 0 {
		sign, whole = "-", -whole
		if rest > 0 {
			whole, rest = whole-1, 1e6-rest
		}
	}
	d, _ := parseDecimal(fmt.Sprintf("%s%d.%06d", sign, whole, rest))
	return d
}

// interval is a time [from, to).
type interval struct {
	from, to instant
	exact    bool // it has seconds and a zone, as RFC 3339 requires
}

// holds tells whether a value is within an interval (if op is empty), or compares with it as op says. withFrom and
// withTo say how the value compares with the two ends.
func holds(op Op, withFrom, withTo int) bool {
	switch op {
	case Greater:
		return withTo >= 0
	case GreaterOrEqual:
		return withFrom >= 0
	case Less:
		return withFrom < 0
	case LessOrEqual:
		return withTo < 0
	}
	return withFrom >= 0 && withTo < 0
}

// parseTime parses a time that is not relative. Digits of the fraction after the ninth are ignored.
func parseTime(text string) (interval, bool) {
	r := timeReader{text: text}
	year := r.number(4)
	if !r.next('-') {
		return interval{}, false
	}
	if r.next('W') {
		return r.week(year)
	}
	month := time.Month(r.within(1, 12))
	if r.end() {
		return r.days(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC),
			time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC))
	}
	if !r.next('-') {
		return interval{}, false
	}
	day := r.within(1, time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day())
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if r.end() {
		return r.days(date, date.AddDate(0, 0, 1))
	}
	if !r.next('T') {
		return interval{}, false
	}
	return r.timeOfDay(date.Unix())
}

// timeReader parses a time. After a failure its results are undefined.
type timeReader struct {
	text   string
	i      int
	failed bool
}

func (r *timeReader) end() bool { return r.i == len(r.text) }

func (r *timeReader) next(c byte) bool {
	if r.end() || r.text[r.i] != c {
		return false
	}
	r.i++
	return true
}

// number parses a number of length digits.
func (r *timeReader) number(length int) (n int) {
	end := r.i + length
	if end > len(r.text) {
		r.failed = true
		return 0
	}
	for ; r.i < end; r.i++ {
		digit := r.text[r.i] - '0'
		if digit > 9 {
			r.failed, r.i = true, end
			return 0
		}
		n = n*10 + int(digit)
	}
	return n
}

func (r *timeReader) within(least, most int) int {
	n := r.number(2)
	r.failed = r.failed || n < least || n > most
	return n
}

func (r *timeReader) days(from, to time.Time) (interval, bool) {
	return interval{from: instant{seconds: from.Unix()}, to: instant{seconds: to.Unix()}}, !r.failed
}

func (r *timeReader) week(year int) (interval, bool) {
	week := r.within(1, 53)
	fourth := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC) // is always in the first week
	monday := fourth.AddDate(0, 0, 7*(week-1)-int(fourth.Weekday()+6)%7)
	if y, w := monday.ISOWeek(); y != year || w != week || !r.end() {
		return interval{}, false
	}
	return r.days(monday, monday.AddDate(0, 0, 7))
}

func (r *timeReader) timeOfDay(date int64) (interval, bool) {
	from, length := instant{seconds: date + 3600*int64(r.within(0, 23))}, instant{seconds: 3600}
	exact := false
	if r.next(':') {
		from.seconds += 60 * int64(r.within(0, 59))
		length.seconds = 60
		if r.next(':') {
			from.seconds += int64(r.within(0, 59))
			length.seconds, exact = 1, true
			if r.next('.') {
				from.nanoseconds, length = r.fraction()
			}
		}
	}
	if r.end() {
		exact = false
	} else {
		from.seconds -= r.zone()
	}
	to := instant{from.seconds + length.seconds, from.nanoseconds + length.nanoseconds}
	if to.nanoseconds == 1e9 {
		to = instant{to.seconds + 1, 0}
	}
	return interval{from, to, exact}, !r.failed && r.end()
}

// fraction returns the nanoseconds of the fraction of a second, and the duration that its last digit stands for.
func (r *timeReader) fraction() (nanoseconds int64, length instant) {
	start, unit := r.i, int64(1e9)
	for r.i = digits(r.text, r.i); start < r.i && unit > 1; start++ {
		unit /= 10
		nanoseconds += int64(r.text[start]-'0') * unit
	}
	r.failed = r.failed || unit == 1e9
	return nanoseconds, instant{nanoseconds: unit}
}

// zone returns the offset of a zone from UTC, in seconds to the east.
func (r *timeReader) zone() int64 {
	if r.next('Z') {
		return 0
	}
	sign := int64(1)
	if r.next('-') {
		sign = -1
	} else if !r.next('+') {
		r.failed = true
		return 0
	}
	hours := r.within(0, 23)
	if !r.next(':') {
		r.failed = true
	}
	return sign * int64(3600*hours+60*r.within(0, 59))
}

// parseRFC3339 parses a moment in the form of events.
func parseRFC3339(text string) (instant, bool) {
	const least = len("2006-01-02T15:04:05Z")
	if len(text) < least || text[4] != '-' || text[10] != 'T' {
		return instant{}, false
	}
	t, ok := parseTime(text)
	return t.from, ok && t.exact
}
