package source

import (
	"context"
	"errors"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/seal"
)

// Progress is the state of a source on its way through a round. Of several processes that collect from one source, one
// saves and the others see that they did not.
type Progress struct {
	bucket  bucket.Bucket
	prefix  string
	version int64
	State   collect.State
	saved   collect.State // as the version has it
	at      time.Time     // when it was saved

	// Lost is why the state that there was does not count (seal.ErrForged, doc.ErrDamaged); nil if it does. Then all is
	// collected again, as from a new source.
	Lost error
}

// keptStates is how many versions of a state stay, so that a reader which has listed the highest finds it.
const keptStates = 4

// Load returns the state of a source as it is in the bucket. have is what this process knows, or nil.
func (d *Directory) Load(ctx context.Context, id string, have *Progress) (*Progress, error) {
	s := &Progress{bucket: d.bucket, prefix: d.states.Prefix(id)}
	known := int64(0)
	if have != nil {
		known = have.version
	}
	highest, err := doc.Highest(ctx, d.bucket, s.prefix, known)
	if err != nil {
		return nil, err
	}
	switch {
	case highest == 0:
		return s, nil
	case have != nil && highest == have.version:
		*s = *have
		s.State = have.saved.Clone()
		return s, nil
	}
	s.version, err = doc.Read(ctx, d.bucket, s.prefix, &s.saved)
	switch {
	case errors.Is(err, seal.ErrForged), errors.Is(err, doc.ErrDamaged):
		s.version, s.saved, s.Lost = highest, collect.State{}, err
	case err != nil:
		return nil, err
	}
	s.State = s.saved.Clone()
	return s, nil
}

// saveEvery is how long a state that has hardly changed may go unsaved. After a crash so much is read again.
const saveEvery = 15 * time.Minute

// Save makes the state durable, unless it has hardly changed since a recent save.
func (s *Progress) Save(ctx context.Context) error {
	if time.Since(s.at) < saveEvery && !s.State.Differs(&s.saved) {
		return nil
	}
	if err := doc.Write(ctx, s.bucket, s.prefix, s.version, s.State); err != nil {
		return err
	}
	s.version++
	s.saved, s.at = s.State.Clone(), time.Now()
	if s.version%keptStates != 0 {
		return nil
	}
	return doc.Clean(ctx, s.bucket, s.prefix, s.version-keptStates)
}
