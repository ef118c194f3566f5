package client

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"
)

func downloadOf(body []byte) *Download {
	return &Download{ReadCloser: io.NopCloser(bytes.NewReader(body)), Size: -1}
}

// Only regular files are replaced. Links stay, and devices and pipes are written to.
func TestSaveReplacesOnlyRegularFiles(t *testing.T) {
	body := zip("a\n")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(path("sub"), 0o700))
	must(os.WriteFile(path("sub/old"), []byte("before"), 0o600))
	must(os.Symlink("sub/old", path("link")))
	must(os.Symlink("link", path("link2")))
	must(os.Symlink("sub/new", path("dangling")))
	must(os.Symlink("circle", path("circle")))
	must(syscall.Mkfifo(path("pipe"), 0o600))
	must(os.Symlink("pipe", path("to-pipe")))

	for name, target := range map[string]string{"link2": "sub/old", "dangling": "sub/new", "plain": "plain"} {
		if _, err := Save(path(name), downloadOf(body), SaveOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path(target)); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %s holds %q, %v", name, target, got, err)
		}
		if info, err := os.Lstat(path(name)); err != nil || name != "plain" && info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v, %v", name, info, err)
		}
	}
	for _, name := range []string{"pipe", "to-pipe"} {
		read := make(chan []byte)
		go func() {
			got, _ := os.ReadFile(path("pipe"))
			read <- got
		}()
		if _, err := Save(path(name), downloadOf(body), SaveOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := <-read; !bytes.Equal(got, body) {
			t.Errorf("%s: read %q", name, got)
		}
	}
	if info, err := os.Lstat(path("pipe")); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe was replaced: %v, %v", info, err)
	}
	if _, err := Save(os.DevNull, downloadOf(body), SaveOptions{}); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(os.DevNull); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Errorf("%s was replaced: %v, %v", os.DevNull, info, err)
	}
	for _, name := range []string{"sub", "circle"} {
		if _, err := Save(path(name), downloadOf(body), SaveOptions{}); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if left, err := filepath.Glob(path(".weir*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSaveNewReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	for name, prepare := range map[string]func(string) error{
		"file":     func(name string) error { return os.WriteFile(name, []byte("before"), 0o600) },
		"dangling": func(name string) error { return os.Symlink("nowhere", name) },
	} {
		name = filepath.Join(dir, name)
		if err := prepare(name); err != nil {
			t.Fatal(err)
		}
		if _, err := Save(name, downloadOf(zip("a\n")), SaveOptions{New: true}); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// This file appears only after the download has begun.
	late := filepath.Join(dir, "late")
	meanwhile := func(w io.Writer) io.Writer {
		if err := os.WriteFile(late, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		return w
	}
	if _, err := Save(late, downloadOf(zip("a\n")), SaveOptions{New: true, Progress: meanwhile}); !errors.Is(err,
		os.ErrExist) {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(late); err != nil || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A name that a server suggests is safe: it is in this folder, no command takes it for an option, and all of it is
// shown.
func FuzzSuggestedName(f *testing.F) {
	for _, name := range []string{"demo_audit.log.gz", `..\..\x`, "-rf", ".bashrc", "a\x1b[2J", "a\u202egz.exe",
		" x", "a/-o"} {
		f.Add(`attachment; filename="` + name + `"`)
	}
	f.Add("attachment; filename*=UTF-8''%E2%80%AEx")
	f.Fuzz(func(t *testing.T, disposition string) {
		name := suggestedName(disposition)
		if name == "" {
			return
		}
		if strings.ContainsAny(name, "/\\") || strings.ContainsRune(".- ", rune(name[0])) || len(name) > maxName ||
			strings.ContainsFunc(name, func(r rune) bool {
				return unicode.IsControl(r) ||
					unicode.Is(unicode.Bidi_Control, r)
			}) {
			t.Errorf("%q suggests %q", disposition, name)
		}
	})
}
