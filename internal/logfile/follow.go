package logfile

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// Follower sends the lines of files as they grow.
type Follower struct {
	State     State
	StateFile string
	Lines     int           // of a batch at most
	Bytes     int           // of a batch at most, unless a single line has more
	Pause     time.Duration // between looks at files that have no more

	// Send sends lines. It returns once they are recorded, or an error, which ends Follow. Lines are sent again after a
	// crash, so they must be recorded once however often they are sent.
	Send func(ctx context.Context, b Batch) error
	// Tell is told what is the matter with a file, once as long as that stays.
	Tell func(name string, err error)

	told map[string]string
}

// Follow sends what the files have and will have, until ctx ends, and keeps in the state how far it came. It returns
// the error of Send, or that of keeping the state.
func (f *Follower) Follow(ctx context.Context, names []string) error {
	f.told = map[string]string{}
	files := make([]*File, len(names))
	for i, name := range names {
		at, ok := f.State.Files[name]
		if !ok { // Should it be rotated before a line of it is recorded, it is found by the time.
			at.Since = time.Now().Add(-clockError)
			f.State.Files[name] = at
		}
		files[i] = New(name, at)
		defer files[i].Close()
	}
	if err := f.State.Save(f.StateFile); err != nil {
		return err
	}
	for ctx.Err() == nil {
		sent, err := f.round(ctx, files)
		if err != nil {
			return err
		}
		if !sent {
			select {
			case <-ctx.Done():
			case <-time.After(f.Pause):
			}
		}
	}
	return nil
}

// round sends one batch of each file, and tells whether there were any.
func (f *Follower) round(ctx context.Context, files []*File) (sent bool, err error) {
	for _, file := range files {
		if ctx.Err() != nil {
			return sent, nil
		}
		b, err := file.Next(f.Lines, f.Bytes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.tell(file.Name, err)
			continue
		}
		f.told[file.Name] = ""
		if len(b.Offsets)+len(b.TooLong) == 0 {
			continue
		}
		if err := f.Send(ctx, b); err != nil {
			return sent, err
		}
		f.State.Files[file.Name] = b.Next
		if err := f.State.Save(f.StateFile); err != nil {
			return sent, err
		}
		sent = true
	}
	return sent, nil
}

func (f *Follower) tell(name string, err error) {
	if text := err.Error(); f.told[name] != text {
		f.told[name] = text
		f.Tell(name, err)
	}
}
