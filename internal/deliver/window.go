package deliver

import "time"

// window is the size of the batches for a place, and the time that it has for one. The window adapts to the place: one
// that is slow but not dead gets batches that it takes in time, instead of the same large one again and again.
type window struct {
	most  int           // bytes, by the delivery's settings
	usual time.Duration // Options.SendLimit

	bytes int           // of lines, that are sent at once
	limit time.Duration // for one batch

	// The smallest batch that is known to be too large. From half of its size on, the window grows in small steps.
	failed int           // its size, 0 if none was, or one as large was accepted since
	pause  time.Duration // between two steps: twice what it cost to find out
	grown  time.Time     // when the last step was
}

const (
	// longestLimit is how many times the usual time a place has, at most, for a batch that cannot be made smaller. It is
	// as long as the longest pause, so that a place that hangs holds memory for at most half of the time.
	longestLimit = 10

	// slowShare is the share of the usual time after which a failure may come of the size of the batch: others on the
	// way, such as a proxy, have limits too.
	slowShare = 10
)

func newWindow(most int, usual time.Duration) window {
	return window{most: most, usual: usual, bytes: min(probeBytes, most), limit: usual}
}

// tooMuch makes the next batches half as large as one that the place does not take as a whole.
func (w *window) tooMuch(size int) {
	w.shrink(size, 0, probeBytes/4)
	w.failed = min(2*w.bytes, size)
}

// failure makes the next batches half as large as one that failed after a time. If the place was proven before, the
// window nears that size slowly from then on.
func (w *window) failure(size int, took time.Duration, proven bool) {
	least := probeBytes
	if took >= w.usual/slowShare {
		least = 1
	}
	w.shrink(size, took, least)
	if proven {
		w.failed = max(size, 2*least)
	}
}

func (w *window) shrink(size int, took time.Duration, least int) {
	w.bytes = min(w.bytes, max(size/2, least))
	w.pause, w.grown = 2*took, time.Now()
}

// longer gives the place twice the time, for a batch that it did not take in time and that cannot be made smaller.
func (w *window) longer() { w.limit = min(2*w.limit, longestLimit*w.usual) }

// accepted makes the next batches larger, if the place took this one soon enough to take a larger one in time.
func (w *window) accepted(size int, took time.Duration) {
	w.limit = min(w.limit, max(w.usual, 2*took))
	if size >= w.failed {
		w.failed = 0
	}
	if size < w.bytes/2 {
		return // It says nothing of a batch as large as the window.
	}
	from := max(w.bytes, size)
	to := 2 * from
	switch near := w.failed / 2; {
	case w.failed == 0:
	case from < near:
		to = min(to, near)
	case time.Since(w.grown) < w.pause:
		return
	default:
		to = from + from/8 + 1
	}
	if inTime := float64(size) * float64(w.usual) * 3 / 4; float64(to)*float64(took) > inTime {
		to = max(w.bytes, int(inTime/float64(took)))
	}
	if to > w.bytes {
		w.bytes, w.grown = to, time.Now()
	}
	if w.bytes >= w.most {
		w.bytes, w.failed = w.most, 0
	}
}

// sizeOf returns how many bytes of lines a batch has.
func sizeOf(events []Event) (size int) {
	for i := range events {
		size += len(events[i].Line)
	}
	return size
}
