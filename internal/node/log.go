package node

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/weirlog/weir/internal/config"
)

func newLogger(c config.Config) (*slog.Logger, error) {
	h, err := newHandler(os.Stderr, c, term.IsTerminal(int(os.Stderr.Fd())))
	return slog.New(h), err
}

// newHandler returns a log handler for the settings.
func newHandler(out io.Writer, c config.Config, terminal bool) (slog.Handler, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return slog.DiscardHandler, c.Invalid("log-level", err.Error())
	}
	if c.LogFormat == "text" || c.LogFormat == "auto" && terminal {
		return slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}), nil
	}
	return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: withUnits}), nil
}

// withUnits formats a duration with units. In JSON it would be a number of nanoseconds.
func withUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
