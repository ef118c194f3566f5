package bucket_test

import (
	"errors"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

func TestMemory(t *testing.T) {
	bucketest.Run(t, func(*testing.T) bucket.Bucket { return bucket.NewMemory() })
}

func TestFaultyWithoutFaults(t *testing.T) {
	bucketest.Run(t, func(*testing.T) bucket.Bucket { return &bucketest.Faulty{Bucket: bucket.NewMemory()} })
}

func TestLocal(t *testing.T) {
	bucketest.Run(t, func(t *testing.T) bucket.Bucket {
		b, err := bucket.OpenLocal(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	})
}

func TestLocalIsLocked(t *testing.T) {
	dir := t.TempDir()
	b, err := bucket.OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.OpenLocal(dir); !errors.Is(err, bucket.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, err = bucket.OpenLocal(dir)
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	b.Close()
}
