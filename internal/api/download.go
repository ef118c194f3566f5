package api

import (
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/tlog"
)

// describe returns headers that say which log a download is of, up to where the log was sequenced (which the proof of
// the file needs), and which entries of the range retention has removed.
func describe(log string, q tlog.Query, head tlog.Head) map[string]string {
	h := map[string]string{"Weir-Log": log, "Weir-Checkpoint-Size": strconv.FormatInt(head.Size, 10),
		"Weir-Checkpoint-Root": head.Root.String()}
	if gone := head.Pruned; gone.Entries > 0 && gone.MaxTime >= q.Start && gone.MinTime < q.End {
		at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
		h["Weir-Removed"] = fmt.Sprintf("entries=%d-%d; from=%s; to=%s", gone.First, gone.First+gone.Entries-1,
			at(gone.MinTime), at(gone.MaxTime))
	}
	return h
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

// maxNamePart is the maximum number of characters of a client-chosen name in a file name, since file systems allow 255
// bytes in total.
const maxNamePart = 32

func shortened(name string) string {
	if utf8.RuneCountInString(name) > maxNamePart {
		return string([]rune(name)[:maxNamePart])
	}
	return name
}

// plain replaces a character that a file name must not contain.
func plain(r rune) rune {
	if !unicode.IsPrint(r) || strings.ContainsRune(`/\"`, r) {
		return '-'
	}
	return r
}

// disposition returns a Content-Disposition with a file name in quotes, as Atlas sends it. A name that is not ASCII is
// encoded by RFC 8187.
func disposition(name string) string {
	for _, r := range name {
		if r >= 0x80 {
			return mime.FormatMediaType("attachment", map[string]string{"filename": name})
		}
	}
	return `attachment; filename="` + name + `"`
}
