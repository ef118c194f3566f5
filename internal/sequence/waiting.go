package sequence

import (
	"errors"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/wal"
)

// waiting describes the WAL objects of a shard that wait, as far as this process knows: by the last listing, and by the
// objects that it has written since.
type waiting struct {
	mu      sync.Mutex
	objects int
	bytes   int64
	oldest  string    // key of the oldest object; empty if there is none, or before the first listing
	since   time.Time // when that object was first listed as the oldest
	written time.Time // time in its key, but not later than since
}

// add counts an object that this process has written.
func (w *waiting) add(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects++
	w.bytes += bytes
}

// listed updates w from a listing. It returns how many objects and bytes are new.
func (w *waiting) listed(objects []bucket.Info, now time.Time) (moreObjects int, moreBytes int64, err error) {
	var bytes int64
	for _, o := range objects {
		size, err := o.Size()
		if err != nil && !errors.Is(err, bucket.ErrNotExist) { // one that another process has sequenced meanwhile
			return 0, 0, err
		}
		bytes += size
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	moreObjects, moreBytes = len(objects)-w.objects, bytes-w.bytes
	w.objects, w.bytes = len(objects), bytes
	if len(objects) == 0 {
		w.oldest = ""
		return moreObjects, moreBytes, nil
	}
	if key := objects[0].Key; key != w.oldest {
		w.oldest, w.since, w.written = key, now, now
		// If the clock of its writer is ahead, the object counts from when it was first listed.
		if written, err := wal.Written(key); err == nil && written.Before(now) {
			w.written = written
		}
	}
	return moreObjects, moreBytes, nil
}

// many tells whether so much waits that it is sequenced at once. The caller holds the lock.
func (w *waiting) many(o *Options) bool { return w.objects >= o.MaxObjects || w.bytes >= o.MaxBytes }

// Notify reports that this process has written a WAL object of a size in bytes.
func (s *Sequencer) Notify(bytes int64) {
	s.waiting.add(bytes)
	s.options.Active()
	switch {
	case !s.crowded():
	case s.options.Leases.Rank(s.shard) == 0:
		signal(s.wake)
	default: // another process may have sequenced it already, and recording must not be refused for that
		signal(s.look)
	}
}

// Waiting returns the size in bytes of the WAL objects that wait, as far as this process knows.
func (s *Sequencer) Waiting() int64 {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.bytes
}

// crowded tells whether so much waits that it is sequenced at once.
func (s *Sequencer) crowded() bool {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	return s.waiting.many(&s.options)
}

// due returns when the waiting objects must be sequenced. At least one must have been listed.
func (s *Sequencer) due() time.Time {
	w := &s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.many(&s.options) {
		return w.since
	}
	return w.written.Add(s.options.MaxDelay * 3 / 4) // the rest is for the pause between listings, and for the work
}

// overdue returns when this process sequences the waiting objects although rank processes take precedence: they may be
// stopped or hang, and still look alive. A working process takes the oldest object, so the measure is how long the
// oldest object has stayed the same. The more bytes wait, the earlier this process acts.
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
