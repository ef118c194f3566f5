package folder_test

import (
	"errors"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/filelock"
)

func TestConformance(t *testing.T) {
	bucketest.Run(t, func(t *testing.T) bucket.Bucket {
		b, err := folder.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	})
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	b, err := folder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Open(dir); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, err = folder.Open(dir)
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	b.Close()
}
