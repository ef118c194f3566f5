package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
)

// mounted tells whether the tests may mount file systems, as .ci/run says where it is so.
func mounted(t *testing.T) bool {
	if os.Getenv("WEIR_MOUNT") == "" {
		t.Log("WEIR_MOUNT is not set: no file system is mounted; internal/bucket injects a disk's errors")
		return false
	}
	return true
}

func mount(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.Command("mount", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v, %s", arguments, err, out)
	}
}

func unmount(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
		t.Errorf("umount %s: %v, %s", path, err, out)
	}
}

// recordOne records one batch, and notes what became of it.
func recordOne(ctx context.Context, s *server, h *history, uid string, size int) error {
	c, err := client.New(s.config)
	if err != nil {
		return err
	}
	filler := make([]byte, size)
	for i := range filler { // which hardly compresses
		filler[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rand.IntN(36)]
	}
	lines := bytes.NewBufferString(`{"time":` + strconv.FormatInt(time.Now().UnixMilli()-1000, 10) +
		`,"metadata":{"uid":"` + uid + `"},"filler":"`)
	lines.Write(filler)
	lines.WriteString("\"}\n")
	h.note(h.sent, []string{uid})
	if _, err = c.Record(ctx, s.project, "demo", lines.Bytes(), false); err == nil {
		h.note(h.acked, []string{uid})
	}
	return err
}

// until does something again and again until it comes out as wanted.
func until(t *testing.T, what string, do func(n int) bool) {
	t.Helper()
	for n, deadline := 0, time.Now().Add(time.Minute); !do(n); n++ {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// A full disk: clear answers, nothing acknowledged lost, and it goes on by itself once there is room.
func TestFullDisk(t *testing.T) {
	if !mounted(t) {
		return
	}
	s := &server{dir: t.TempDir()}
	bucket := filepath.Join(s.dir, "bucket")
	if err := os.Mkdir(bucket, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, "-t", "tmpfs", "-o", "size=6m", "tmpfs", bucket)
	defer unmount(t, bucket)
	h := &history{sent: map[string]bool{}, acked: map[string]bool{}}
	s.start(t)
	defer s.kill(t)
	until(t, "the disk is full", func(n int) bool {
		err := recordOne(t.Context(), s, h, fmt.Sprintf("full-%d", n), 400_000)
		if err != nil && !strings.Contains(err.Error(), "503") {
			t.Fatalf("the disk is full, and the answer is %v; want 503", err)
		}
		return err != nil
	})
	mount(t, "-o", "remount,size=64m", bucket)
	until(t, "events are recorded again", func(n int) bool {
		return recordOne(t.Context(), s, h, fmt.Sprintf("room-%d", n), 100) == nil
	})
	got, err := fetchAll(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	check(t, h, h.acked, got)
	s.kill(t)
	s.start(t)
	if got, err = fetchAll(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	check(t, h, h.acked, got)
}

// fetchAll is fetch, tried for as long as the server needs to come to itself.
func fetchAll(ctx context.Context, s *server) (got map[string]int, err error) {
	for range 100 {
		if got, err = fetch(ctx, s); err == nil {
			return got, nil
		}
		pause(ctx, 50*time.Millisecond)
	}
	return nil, err
}

// A disk that turns read-only, as a kernel makes one that fails: the same, and it goes on once it can be written.
func TestReadOnlyDisk(t *testing.T) {
	if !mounted(t) {
		return
	}
	s := &server{dir: t.TempDir()}
	h := &history{sent: map[string]bool{}, acked: map[string]bool{}}
	s.start(t)
	defer s.kill(t)
	if err := recordOne(t.Context(), s, h, "before", 100); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(s.dir, "bucket", ".tmp") // which all writes go through
	mount(t, "-t", "tmpfs", "-o", "ro", "tmpfs", tmp)
	for range 3 {
		if err := recordOne(t.Context(), s, h, "meanwhile", 100); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("the disk is read-only, and the answer is %v; want 503", err)
		}
	}
	unmount(t, tmp)
	until(t, "events are recorded again", func(int) bool { return recordOne(t.Context(), s, h, "after", 100) == nil })
	got, err := fetchAll(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	check(t, h, h.acked, got)
}
