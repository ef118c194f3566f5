package wal

import "github.com/weirlog/weir/internal/event"

// Entry is what weir must know of one line without parsing it again.
type Entry struct {
	Time       int64 // the event's own clock, milliseconds since the epoch
	Key        event.Key
	Processors []string // names of the stream processors that the event concerns; usually none or one
}

// Batch is a run of events for one log, in the order in which they were received.
type Batch struct {
	Log     string  // log id, 24 hex digits
	Lines   []byte  // one line an entry, each ended by '\n'
	Entries []Entry // Entries[i] describes line i
}
