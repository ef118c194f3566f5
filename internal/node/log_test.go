package node

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/config"
)

// Durations have units, whatever the form of the log, also in groups.
func TestDurationsInTheLogHaveUnits(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		c := config.Default()
		c.LogFormat = format
		var out strings.Builder
		h, err := newHandler(&out, c, false)
		if err != nil {
			t.Fatal(err)
		}
		slog.New(h).With("every", time.Minute).Info("stopping", "for", 20*time.Second,
			slog.Group("more", "after", 1500*time.Millisecond))
		for _, want := range []string{"20s", "1m0s", "1.5s"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q lacks %s", format, out.String(), want)
			}
		}
	}
}
