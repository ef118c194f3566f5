package api

import (
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// versioned is a media type with versions. weir's own types have none, and are sent whatever the client accepts.
type versioned struct {
	releases []string // dates, oldest first
	format   string
	optional bool // whether a request without a version gets the newest
}

const mediaPrefix = "application/vnd.atlas."

// mediaType returns the type in a reply. It has the date of the release, not the date that the client sent.
func (v versioned) mediaType(release string) string {
	if len(v.releases) == 0 {
		return "application/" + v.format
	}
	t := mediaPrefix + release + "+" + v.format
	if v.format == "json" {
		t += ";charset=utf-8"
	}
	return t
}

// release returns the newest release that is not later than the date in an Accept header, by the header's preferences.
// If nothing there is acceptable, it returns false. "*/*" has no version and so is not acceptable.
func (v versioned) release(accept []string) (string, bool) {
	if len(v.releases) == 0 {
		return "", true
	}
	if v.optional && !strings.Contains(strings.ToLower(strings.Join(accept, ",")), mediaPrefix) {
		return v.releases[len(v.releases)-1], true
	}
	type choice struct {
		date string
		q    float64
	}
	var choices []choice
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		date, ok := strings.CutPrefix(name, mediaPrefix)
		if err != nil || !ok {
			continue
		}
		date, ok = strings.CutSuffix(date, "+"+v.format)
		if _, err := time.Parse(time.DateOnly, date); err != nil || !ok {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		if q > 0 {
			choices = append(choices, choice{date, q})
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	for _, c := range choices {
		for _, release := range slices.Backward(v.releases) {
			if release <= c.date {
				return release, true
			}
		}
	}
	return "", false
}
