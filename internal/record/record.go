package record

// Result says what became of the events of one request. Recorded + Duplicates is their number.
type Result struct {
	Recorded   int // now durable
	Duplicates int // of these the log had the event already, as far as this node can tell
}
