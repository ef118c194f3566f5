package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/cache"
	"github.com/weirlog/weir/internal/filelock"
)

// behind is a bucket behind a cache. It counts its requests.
type behind struct {
	*bucketest.Faulty
	mu   sync.Mutex
	gets int
	fail error
}

func (b *behind) Close() error { return nil }

func newBehind() *behind {
	b := &behind{}
	b.Faulty = &bucketest.Faulty{Bucket: bucketest.NewAnyKeys(), Before: func(_ context.Context, op bucketest.Op,
		_ string) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if op == bucketest.Get {
			b.gets++
			return b.fail
		}
		return nil
	}}
	return b
}

func (b *behind) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.gets
	b.gets = 0
	return n
}

func (b *behind) put(t interface{ Fatal(...any) }, key string, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	if err := b.Bucket.PutNew(context.Background(), key, data); err != nil {
		t.Fatal(err)
	}
	return data
}

func openCached(t interface{ Fatal(...any) }, b bucket.Store, change func(*cache.Options)) *cache.Bucket {
	o := cache.Options{Immutable: func(key string) bool { return strings.HasPrefix(key, "immutable/") },
		Memory: 8 << 20, MaxAge: time.Hour,
		Logger: slog.New(slog.DiscardHandler)}
	change(&o)
	c, err := cache.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t interface{ Fatal(...any) }, b bucket.Bucket, key string, r bucket.Range) []byte {
	data, err := bucket.Read(context.Background(), b, key, r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConformance(t *testing.T) {
	bucketest.Run(t, func(t *testing.T) bucket.Bucket {
		c := openCached(t, newBehind(), func(o *cache.Options) { o.Folder, o.FolderBytes = t.TempDir(), 1<<20 })
		t.Cleanup(func() { c.Close() })
		return c
	})
}

// All reads of objects return what the bucket has, for any size and any earlier reads, and the cache stays within its
// size.
func TestReadsAreWhatTheBucketHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, folder := newBehind(), filepath.Join(os.TempDir(),
			"weir-cache-test-"+rapid.StringMatching(`[a-z]{12}`).Draw(t, "folder"))
		defer os.RemoveAll(folder)
		const memory, disk = 1 << 20, 2 << 20
		open := func() *cache.Bucket {
			return openCached(t, b, func(o *cache.Options) { o.Memory, o.Folder, o.FolderBytes = memory, folder, disk })
		}
		c := open()
		contents := map[string][]byte{}
		for _, key := range []string{"immutable/a", "immutable/b", "immutable/c"} {
			contents[key] = b.put(t, key, rapid.IntRange(0, 900_000).Draw(t, "size"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"immutable/a", "immutable/b", "immutable/c"}).Draw(t, "key")
				want := contents[key]
				r := bucket.Range{Offset: rapid.Int64Range(-10, 1_000_000).Draw(t, "offset"),
					Length: rapid.Int64Range(0, 1_000_000).Draw(t, "length")}
				if rapid.Bool().Draw(t, "whole") {
					r = bucket.Range{}
				}
				o, err := c.Get(context.Background(), key, r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(o)
				if err = errors.Join(err, o.Close()); err != nil || o.Size != int64(len(want)) {
					t.Fatal(err, o.Size)
				}
				if expected := read(t, b.Bucket, key, r); !bytes.Equal(got, expected) {
					t.Fatalf("%s, %+v: %d bytes, want %d", key, r, len(got), len(expected))
				}
			},
			"restart": func(t *rapid.T) {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				c = open()
			},
			"": func(t *rapid.T) {
				inMemory, inFolder := c.Bytes()
				if size := folderSize(t, folder); inMemory > memory || inFolder > disk || size != inFolder {
					t.Fatalf("%d bytes in memory, %d in the folder, which has %d", inMemory, inFolder, size)
				}
			},
		})
		c.Close()
	})
}

func folderSize(t interface{ Fatal(...any) }, folder string) (bytes int64) {
	err := filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() != ".lock" {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// Parts that lie together are fetched by one request, and once.
func TestPartsAreFetchedOnceAndTogether(t *testing.T) {
	b, folder := newBehind(), t.TempDir()
	c := openCached(t, b, func(o *cache.Options) { o.Folder, o.FolderBytes = folder, 8<<20 })
	b.put(t, "immutable/a", 3<<20)
	for _, step := range []struct {
		what string
		r    bucket.Range
		gets int
	}{
		{"a part in the middle", bucket.Range{Offset: 1 << 20, Length: 100}, 1},
		{"another place in it", bucket.Range{Offset: 1<<20 + 1000, Length: 100}, 0},
		{"all before and behind it", bucket.Range{Length: 3 << 20}, 2},
		{"all of it", bucket.Range{}, 0},
	} {
		read(t, c, "immutable/a", step.r)
		if gets := b.asked(); gets != step.gets {
			t.Errorf("%s: %d requests, want %d", step.what, gets, step.gets)
		}
	}
	c.Close()
	c = openCached(t, b, func(o *cache.Options) { o.Folder, o.FolderBytes = folder, 8<<20 })
	defer c.Close()
	read(t, c, "immutable/a", bucket.Range{})
	if gets := b.asked(); gets != 0 {
		t.Errorf("after a restart: %d requests", gets)
	}
	if err := c.Delete(t.Context(), "immutable/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "immutable/a", bucket.Range{}); !errors.Is(err, bucket.ErrNotExist) ||
		folderSize(t, folder) != 0 {
		t.Errorf("deleted, and got %v; %d bytes are left", err, folderSize(t, folder))
	}
}

// A damaged file in the folder is fetched again. Files that are not the cache's stay.
func TestDamagedFilesAreFetchedAgain(t *testing.T) {
	b, folder := newBehind(), t.TempDir()
	foreign := filepath.Join(folder, "somebody-else's")
	if err := os.WriteFile(foreign, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *cache.Bucket {
		return openCached(t, b, func(o *cache.Options) { o.Memory, o.Folder, o.FolderBytes = 0, folder, 8<<20 })
	}
	want := b.put(t, "immutable/a", 150_000)
	c := open()
	read(t, c, "immutable/a", bucket.Range{})
	b.asked()
	files, err := filepath.Glob(filepath.Join(folder, "*-00000?"))
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for i, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0:
			data[len(data)/2] ^= 1
		case 1:
			data = data[:len(data)-1]
		case 2:
			data = nil
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, c, "immutable/a", bucket.Range{}); !bytes.Equal(got, want) || b.asked() == 0 {
		t.Error("damaged files were believed")
	}
	c.Close()
	open().Close()
	if data, err := os.ReadFile(foreign); err != nil || string(data) != "mine" {
		t.Errorf("%q, %v", data, err)
	}
}

// A folder that stops working costs only requests. A second process does not get the folder.
func TestBrokenFolderCostsRequestsOnly(t *testing.T) {
	b, folder := newBehind(), filepath.Join(t.TempDir(), "cache")
	c := openCached(t, b, func(o *cache.Options) { o.Memory, o.Folder, o.FolderBytes = 0, folder, 8<<20 })
	defer c.Close()
	if _, err := cache.New(b, cache.Options{Folder: folder, FolderBytes: 1}); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("%v; want ErrLocked", err)
	}
	want := b.put(t, "immutable/a", 600_000)
	read(t, c, "immutable/a", bucket.Range{})
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !bytes.Equal(read(t, c, "immutable/a", bucket.Range{}), want) {
			t.Error("another content")
		}
	}
}

// Old parts are dropped, and errors are not cached.
func TestOldPartsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBehind()
		c := openCached(t, b, func(*cache.Options) {})
		defer c.Close()
		b.put(t, "immutable/a", 1000)
		b.fail = errors.New("injected")
		if _, err := c.Get(t.Context(), "immutable/a", bucket.Range{}); !errors.Is(err, b.fail) {
			t.Error(err)
		}
		b.fail = nil
		read(t, c, "immutable/a", bucket.Range{})
		b.asked()
		time.Sleep(2 * time.Hour)
		if memory, _ := c.Bytes(); memory != 0 {
			t.Errorf("%d bytes are kept for ever", memory)
		}
		read(t, c, "immutable/a", bucket.Range{})
		if b.asked() != 1 {
			t.Error("an old part was believed")
		}
	})
}

func TestConcurrentReads(t *testing.T) {
	b := newBehind()
	c := openCached(t, b, func(o *cache.Options) { o.Memory, o.Folder, o.FolderBytes = 600_000, t.TempDir(), 1<<20 })
	defer c.Close()
	want := b.put(t, "immutable/a", 2<<20)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 20 {
				off := rand.Int64N(2 << 20)
				got, err := bucket.Read(context.Background(), c, "immutable/a",
					bucket.Range{Offset: off, Length: 500_000})
				if err != nil || !bytes.Equal(got, want[off:min(off+500_000, 2<<20)]) {
					t.Errorf("at %d: %d bytes, %v", off, len(got), err)
				}
			}
		})
	}
	work.Wait()
}
