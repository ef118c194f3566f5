package api

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/tlog"
)

// send sends the file. If it cannot be sent to its end the connection is broken, so that nobody takes a part for all.
func (c *call) send(d *tlog.Download, file versioned, name string) error {
	release, _ := file.release(c.r.Header.Values("Accept"))
	h := c.w.Header()
	h.Set("Content-Type", file.mediaType(release))
	h.Set("Content-Disposition", disposition(name))
	if size := d.Size(); size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	if c.r.Method == http.MethodHead {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	err := d.WriteTo(c.context(), c.w)
	if err == nil {
		return nil
	}
	if c.w.status == 0 { // nothing is sent yet
		h.Del("Content-Length")
		h.Del("Content-Disposition")
		return unavailable(err)
	}
	if c.context().Err() == nil {
		c.server.options.Logger.Error("download broken off", "err", err, "request", c.id)
	}
	panic(http.ErrAbortHandler)
}

// describe says in headers which log a download is of, and up to where it was sequenced: what a proof of the file starts
// from. It says too which entries that the download could have held retention has removed.
func (c *call) describe(log string, q tlog.Query, head tlog.Head) {
	h := c.w.Header()
	h.Set("Weir-Log", log)
	h.Set("Weir-Checkpoint-Size", strconv.FormatInt(head.Size, 10))
	h.Set("Weir-Checkpoint-Root", head.Root.String())
	if gone := head.Pruned; gone.Entries > 0 && gone.MaxTime >= q.Start && gone.MinTime < q.End {
		at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
		h.Set("Weir-Removed", fmt.Sprintf("entries=%d-%d; from=%s; to=%s", gone.First, gone.First+gone.Entries-1, at(gone.MinTime), at(gone.MaxTime)))
	}
}

// Bounds on dates: from when Atlas's API accepts them, and to where a date still has milliseconds and four digits.
const (
	minDate = 1199145600   // 2008-01-01T00:00:00Z
	maxDate = 253402300799 // 9999-12-31T23:59:59Z
)

const defaultRange = 30 * 24 * 60 * 60 // seconds

// parseRange reads startDate, endDate and spName. An event within the second endDate is in the range.
func parseRange(rawQuery string, now time.Time) (tlog.Query, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return tlog.Query{}, invalid("The query is malformed.", field{"query", err.Error()})
	}
	var wrong []field
	for _, name := range []string{"startDate", "endDate", "spName", "envelope", "pretty"} {
		if len(values[name]) > 1 {
			wrong = append(wrong, field{name, "must not be given more than once"})
		}
	}
	for _, name := range []string{"envelope", "pretty"} {
		if v := values.Get(name); v != "" && v != "true" && v != "false" {
			wrong = append(wrong, field{name, "must be true or false"})
		}
	}
	date := func(name string) (seconds int64, given bool) {
		text := values.Get(name)
		if text == "" && len(values[name]) == 0 {
			return 0, false
		}
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || strings.HasPrefix(text, "+") {
			wrong = append(wrong, field{name, fmt.Sprintf("must be an integer, in seconds since the epoch, not %.40q", text)})
		} else if seconds < minDate || seconds > maxDate {
			wrong = append(wrong, field{name, fmt.Sprintf("must be from %d (2008-01-01T00:00:00Z) to %d, in seconds since the epoch", minDate, maxDate)})
		}
		return seconds, true
	}
	start, hasStart := date("startDate")
	end, hasEnd := date("endDate")
	if !hasEnd {
		end = now.Unix()
	}
	if !hasStart {
		start = end - defaultRange
	}
	if len(wrong) == 0 && start > end {
		wrong = append(wrong, field{"startDate", fmt.Sprintf("must not be later than endDate (%d)", end)})
	}
	if len(wrong) > 0 {
		return tlog.Query{}, invalid("Invalid query parameters.", wrong...)
	}
	return tlog.Query{Start: start * 1000, End: (end + 1) * 1000, Processor: values.Get("spName")}, nil
}

// fileName returns [tenantName]_[spName]_[startTime]_[endTime]_<ending>.
func fileName(tenant string, q tlog.Query, ending string) string {
	parts := []string{tenant}
	if q.Processor != "" {
		parts = append(parts, shortened(strings.Map(plain, q.Processor)))
	}
	for _, ms := range []int64{q.Start, q.End - 1000} {
		parts = append(parts, time.UnixMilli(ms).UTC().Format(time.RFC3339))
	}
	return strings.Join(append(parts, ending), "_")
}

// maxNamePart is how many characters of a name that a client chose stand in a file's name: file systems take 255 bytes of
// the whole.
const maxNamePart = 32

func shortened(name string) string {
	if utf8.RuneCountInString(name) > maxNamePart {
		return string([]rune(name)[:maxNamePart])
	}
	return name
}

// plain replaces what has no place in a file's name.
func plain(r rune) rune {
	if !unicode.IsPrint(r) || strings.ContainsRune(`/\"`, r) {
		return '-'
	}
	return r
}

// disposition returns a Content-Disposition with a file name in quotes, as Atlas sends it; one that is not ASCII comes as
// RFC 8187 says.
func disposition(name string) string {
	for _, r := range name {
		if r >= 0x80 {
			return mime.FormatMediaType("attachment", map[string]string{"filename": name})
		}
	}
	return `attachment; filename="` + name + `"`
}
