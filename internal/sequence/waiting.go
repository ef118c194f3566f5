package sequence

import (
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/wal"
)

// waiting is what a process knows of the WAL objects of a shard that wait: by the last listing, and what it has written
// since.
type waiting struct {
	mu      sync.Mutex
	objects int
	bytes   int64
	oldest  string    // key of the oldest; empty: none, or not listed yet
	since   time.Time // when that was first listed as the oldest
	written time.Time // by its key, or since, if that says later
}

// add counts an object that this process has written.
func (w *waiting) add(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects++
	w.bytes += bytes
}

// listed takes in a listing. It returns how much it shows that was not known of.
func (w *waiting) listed(objects []bucket.Info, now time.Time) (moreObjects int, moreBytes int64) {
	var bytes int64
	for _, o := range objects {
		bytes += o.Size
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	moreObjects, moreBytes = len(objects)-w.objects, bytes-w.bytes
	w.objects, w.bytes = len(objects), bytes
	if len(objects) == 0 {
		w.oldest = ""
		return moreObjects, moreBytes
	}
	if key := objects[0].Key; key != w.oldest {
		w.oldest, w.since, w.written = key, now, now
		// The clock of who wrote it may be ahead of ours: then it counts from when it was seen.
		if written, err := wal.Written(key); err == nil && written.Before(now) {
			w.written = written
		}
	}
	return moreObjects, moreBytes
}

// many tells whether so much waits that it should not wait longer. It is called with the lock held.
func (w *waiting) many(o *Options) bool { return w.objects >= o.MaxObjects || w.bytes >= o.MaxBytes }

// Notify tells that this process has written a WAL object of so many bytes.
func (s *Sequencer) Notify(bytes int64) {
	s.waiting.add(bytes)
	s.options.Active()
	switch {
	case !s.crowded():
	case s.options.Leases.Rank(s.shard) == 0:
		signal(s.wake)
	default: // another may have sequenced it already: recording must not be refused for what does not wait any more
		signal(s.look)
	}
}

// Waiting returns the size in bytes of the WAL objects that wait, as far as this process knows.
func (s *Sequencer) Waiting() int64 {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.bytes
}

// crowded tells whether so much waits, by the last listing and what was written since, that it should not wait longer.
func (s *Sequencer) crowded() bool {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.many(&s.options)
}

// due returns when what waits, by the last listing, must be sequenced. Something must have been listed.
func (s *Sequencer) due() time.Time {
	w := &s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.many(&s.options) {
		return w.since
	}
	return w.written.Add(s.options.MaxDelay * 3 / 4) // the rest is for the pause between listings, and the work
}

// overdue returns when this process sequences what waits although others, so many, come first: they may be stopped, or
// hang, and still look alive. Whoever works takes the oldest, so what counts is how long that has stayed the same; the
// less, the more there is.
func (s *Sequencer) overdue(rank int) time.Time {
	w := &s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	patience := s.options.MaxDelay + s.options.MaxDelay/2*time.Duration(rank)
	if much := 4 * s.options.MaxBytes; w.bytes > much {
		patience = time.Duration(float64(patience) * float64(much) / float64(w.bytes))
	}
	return w.since.Add(patience)
}
