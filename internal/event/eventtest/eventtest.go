// Package eventtest makes batches for tests.
package eventtest

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/event"
)

// Batch returns a batch of lines as they are recorded, each without its '\n'. It panics if one of them is no event.
func Batch(log string, lines ...string) event.Batch {
	var raw []byte
	for _, line := range lines {
		raw = append(append(raw, line...), '\n')
	}
	b, err := event.Read(log, raw, len(lines))
	if err != nil {
		panic(fmt.Sprintf("eventtest: %v", err))
	}
	return b
}

// PassTime brings the clock of a synctest bubble, which begins in the year 2000, to a time that events may have. In
// real time it does nothing.
func PassTime() { time.Sleep(time.Until(time.UnixMilli(event.Earliest).AddDate(1, 0, 0))) }

var facts = regexp.MustCompile(`"weir":\{(?:"taken":[0-9]+,)?"by":"[^"\\]*"(?:,"salt":"[a-z2-7]*")?\}`)

// WithoutFacts returns lines without weir's facts, so as they were before they were recorded but for what was missing
// in metadata. A line with facts that hold a claim stays as it is, as does one without facts.
func WithoutFacts(lines string) string {
	s := facts.ReplaceAllString(lines, `"weir":{}`)
	return rest.Replace(s)
}

var rest = strings.NewReplacer(`,"unmapped":{"weir":{}}`, ``, `,"weir":{}`, ``, `"weir":{}`, ``)
