// Package eventtest makes batches for tests.
package eventtest

import (
	"fmt"

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
