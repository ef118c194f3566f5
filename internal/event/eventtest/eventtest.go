// Package eventtest makes batches for tests.
package eventtest

import (
	"fmt"
	"time"

	"github.com/weirlog/weir/internal/event"
)

// Batch returns a batch of recorded lines, given without '\n'. It panics if one is not an event.
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

// PassTime advances the clock of a synctest bubble, which begins in the year 2000, to a time that events may have. With
// the real clock it does nothing.
func PassTime() { time.Sleep(time.Until(time.UnixMilli(event.Earliest).AddDate(1, 0, 0))) }
