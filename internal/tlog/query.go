package tlog

// Query selects events of a log.
type Query struct {
	Start, End int64  // half-open range of event times, milliseconds since the epoch
	Processor  string // only events of this stream processor; empty: all
}
