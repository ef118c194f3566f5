package folder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
)

// faultyDisk fails the steps that fail names, with the given errors.
type faultyDisk struct {
	osDisk
	fail  map[string]error
	calls []string
}

func (d *faultyDisk) step(name string) error {
	d.calls = append(d.calls, name)
	return d.fail[name]
}

func (d *faultyDisk) writeFile(name string, data []byte) error {
	if err := d.step("write"); err != nil {
		// A full disk leaves a file that holds a part of the data.
		return errors.Join(d.osDisk.writeFile(name, data[:len(data)/2]), err)
	}
	return d.osDisk.writeFile(name, data)
}

func (d *faultyDisk) link(oldname, newname string) error {
	if err := d.step("link"); err != nil {
		return err
	}
	return d.osDisk.link(oldname, newname)
}

func (d *faultyDisk) rename(oldname, newname string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	return d.osDisk.rename(oldname, newname)
}

func (d *faultyDisk) remove(name string) error {
	if !strings.Contains(name, tmpFolder) {
		if err := d.step("remove"); err != nil {
			return err
		}
	}
	return d.osDisk.remove(name)
}

func (d *faultyDisk) mkdir(name string) error {
	if err := d.step("mkdir"); err != nil {
		return err
	}
	return d.osDisk.mkdir(name)
}

func (d *faultyDisk) syncDir(name string) error {
	if err := d.step("sync"); err != nil {
		return err
	}
	return d.osDisk.syncDir(name)
}

func openFaulty(t *testing.T, dir string) (*Bucket, *faultyDisk) {
	t.Helper()
	d := &faultyDisk{fail: map[string]error{}}
	b, err := open(dir, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, d
}

// If any step fails, the write returns an error, stored objects stay, and no partial object is ever visible. Once the
// disk works again, the write succeeds.
func TestFailedStepsLeaveOldOrNewState(t *testing.T) {
	for _, step := range []string{"write", "link", "rename", "mkdir", "sync"} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
			t.Run(fmt.Sprintf("%s %v", step, cause), func(t *testing.T) {
				ctx := t.Context()
				b, d := openFaulty(t, t.TempDir())
				if err := b.PutNew(ctx, "f/before", []byte("before")); err != nil {
					t.Fatal(err)
				}
				d.fail[step] = cause
				write := b.PutNew
				if step == "rename" {
					write = b.Put
				}
				if err := write(ctx, "new/key", []byte("hello")); !errors.Is(err, cause) {
					t.Fatalf("got error %v, want %v", err, cause)
				}
				if _, err := b.Get(ctx, "new/key", bucket.Range{}); !errors.Is(err, bucket.ErrNotExist) {
					t.Errorf("get after the failed write: %v, want ErrNotExist", err)
				}
				if data, err := bucket.Read(ctx, b, "f/before", bucket.Range{}); err != nil ||
					string(data) != "before" {
					t.Errorf("what was stored: %q, %v", data, err)
				}
				delete(d.fail, step)
				if err := write(ctx, "new/key", []byte("hello")); err != nil {
					t.Fatalf("once the disk works again: %v", err)
				}
				if data, err := bucket.Read(ctx, b, "new/key", bucket.Range{}); err != nil || string(data) != "hello" {
					t.Errorf("got %q, %v", data, err)
				}
				left, err := os.ReadDir(filepath.Join(b.root, tmpFolder))
				if err != nil || len(left) > 0 {
					t.Errorf("left in %s: %v, %v", tmpFolder, left, err)
				}
			})
		}
	}
}

// A failed fsync is not repeated: the next attempt writes a new file.
func TestFailedSyncIsNotRepeated(t *testing.T) {
	b, d := openFaulty(t, t.TempDir())
	if err := b.PutNew(t.Context(), "f/first", nil); err != nil {
		t.Fatal(err)
	}
	d.calls, d.fail["sync"] = nil, syscall.EIO
	if err := b.PutNew(t.Context(), "f/k", nil); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if want := []string{"write", "link", "sync", "remove"}; !slices.Equal(d.calls, want) {
		t.Errorf("steps %q, want %q", d.calls, want)
	}
}

// An object whose durability is unknown is shown neither as existing nor as missing.
func TestObjectInDoubtIsAnError(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	b, d := openFaulty(t, dir)
	if err := b.PutNew(ctx, "f/first", nil); err != nil {
		t.Fatal(err)
	}
	d.fail["sync"], d.fail["remove"] = syscall.EIO, syscall.EIO
	if err := b.PutNew(ctx, "f/k", []byte("x")); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	clear(d.fail)
	_, err := b.Get(ctx, "f/k", bucket.Range{})
	check := func(what string, err error) {
		if !errors.Is(err, syscall.EIO) || errors.Is(err, bucket.ErrNotExist) || errors.Is(err, bucket.ErrExist) {
			t.Errorf("%s: %v, want the cause of the doubt", what, err)
		}
	}
	check("get", err)
	check("put new", b.PutNew(ctx, "f/k", []byte("x")))
	for _, err = range b.List(ctx, "f/", "") {
	}
	check("list", err)
	if err := b.PutNew(ctx, "f/other", nil); err != nil {
		t.Errorf("another key: %v", err)
	}
	b.Close()
	again, _ := openFaulty(t, dir)
	if data, err := bucket.Read(ctx, again, "f/k", bucket.Range{}); err != nil || string(data) != "x" {
		t.Errorf("opened again: %q, %v", data, err)
	}
}

// An object is invisible until it is durable, and a PutNew of the same key waits for the outcome.
func TestObjectsAreHiddenUntilDurable(t *testing.T) {
	ctx := t.Context()
	reached, release := make(chan struct{}), make(chan struct{})
	b, err := open(t.TempDir(), &slowSync{reached: reached, release: release})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	first, second := make(chan error), make(chan error)
	go func() { first <- b.PutNew(ctx, "k", []byte("first")) }()
	<-reached
	if _, err := b.Get(ctx, "k", bucket.Range{}); !errors.Is(err, bucket.ErrNotExist) {
		t.Errorf("get: %v, want ErrNotExist", err)
	}
	for info := range b.List(ctx, "", "") {
		t.Errorf("listed %s", info.Key)
	}
	go func() { second <- b.PutNew(ctx, "k", []byte("second")) }()
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := <-second; !errors.Is(err, bucket.ErrExist) {
		t.Errorf("second: %v, want ErrExist", err)
	}
	if data, err := bucket.Read(context.Background(), b, "k", bucket.Range{}); err != nil || string(data) != "first" {
		t.Errorf("got %q, %v", data, err)
	}
}

type slowSync struct {
	osDisk
	opened           bool
	reached, release chan struct{}
}

func (d *slowSync) syncDir(name string) error {
	if !d.opened { // the fsync of Open
		d.opened = true
		return d.osDisk.syncDir(name)
	}
	d.reached <- struct{}{}
	<-d.release
	return d.osDisk.syncDir(name)
}

func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, tmpFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, tmpFolder, "torn"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _ := openFaulty(t, dir)
	if _, err := os.Stat(filepath.Join(b.root, tmpFolder, "torn")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the torn file is still there: %v", err)
	}
}
