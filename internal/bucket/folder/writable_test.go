package folder

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk refuses files that are larger than its room.
type smallDisk struct {
	osDisk
	room int
	err  error
}

func (d *smallDisk) writeFile(name string, data []byte) error {
	if len(data) > d.room {
		return d.err
	}
	return d.osDisk.writeFile(name, data)
}

// A disk counts as writable again once it takes a file as large as the one it refused.
func TestWritableFollowsTheDisk(t *testing.T) {
	for _, failure := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT, syscall.EIO} {
		d := &smallDisk{room: 1 << 30, err: failure}
		b, err := open(filepath.Join(t.TempDir(), "bucket"), d)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		writable := func(want error) {
			t.Helper()
			b.trial.Forget()
			if err := b.Writable(t.Context()); !errors.Is(err, want) {
				t.Errorf("%v: got %v, want %v", failure, err, want)
			}
		}
		put := func(key string, size int, want error) {
			t.Helper()
			if err := b.PutNew(t.Context(), key, make([]byte, size)); !errors.Is(err, want) {
				t.Errorf("%v: put %s: %v", failure, key, err)
			}
		}
		writable(nil)
		d.room = 0
		writable(failure)
		d.room = 1 << 20 // enough for the file of a trial, and for small objects
		put("large", 2<<20, failure)
		writable(failure)
		put("small", 1000, nil)
		writable(failure)
		d.room = 2 << 20
		writable(nil)
		d.room = 1 << 20
		writable(nil) // nothing larger was refused since
		put("large", 2<<20, failure)
		d.room = 2 << 20
		put("large", 2<<20, nil)
		d.room = 1 << 20
		writable(nil)
	}
}

// stuckDisk is a disk whose writes block until it is released.
type stuckDisk struct {
	osDisk
	began   chan struct{} // receives when a write begins
	release chan struct{}
}

func (d *stuckDisk) writeFile(name string, data []byte) error {
	d.began <- struct{}{}
	<-d.release
	return d.osDisk.writeFile(name, data)
}

// While the disk hangs, a caller waits no longer than its context allows, and all callers share one trial. Close waits
// for the trial.
func TestWritableDoesNotHangWithTheDisk(t *testing.T) {
	d := &stuckDisk{began: make(chan struct{}), release: make(chan struct{})}
	b, err := open(filepath.Join(t.TempDir(), "bucket"), d)
	if err != nil {
		t.Fatal(err)
	}
	patient := make(chan error)
	go func() { patient <- b.Writable(t.Context()) }()
	<-d.began
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 { // a second trial would block on began
		if err := b.Writable(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("while the disk hangs: %v", err)
		}
	}
	closed := make(chan error)
	go func() { closed <- b.Close() }()
	select {
	case <-closed:
		t.Error("the bucket is closed while a trial is under way")
	default:
	}
	close(d.release)
	if err := <-patient; err != nil {
		t.Errorf("after the disk went on: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestWritableLeavesNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "bucket")
	b, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(root, tmpFolder, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
