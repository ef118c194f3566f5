package folder

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOpenToOthersIsReported(t *testing.T) {
	root := filepath.Join(t.TempDir(), "bucket")
	if _, open := OpenToOthers(root); open {
		t.Error("a folder that does not exist is open to others")
	}
	b, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if mode, open := OpenToOthers(root); open {
		t.Errorf("a new bucket has the mode %v", mode)
	}
	for _, mode := range []os.FileMode{0o750, 0o701, 0o702, 0o704, 0o777} {
		if err := os.Chmod(root, mode); err != nil {
			t.Fatal(err)
		}
		if got, open := OpenToOthers(root); !open || got != mode {
			t.Errorf("%v: got %v, %v", mode, got, open)
		}
	}
}

// A folder in which nothing was stored is removed, with the parents that were made for it. Nothing else is removed.
func TestFolderWithoutObjectsIsRemovedAgain(t *testing.T) {
	parent := t.TempDir()
	root := filepath.Join(parent, "a", "b")
	left := func() (names []string) {
		entries, err := os.ReadDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	openAndClose := func(use func(*Bucket)) {
		t.Helper()
		b, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		use(b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	openAndClose(func(*Bucket) {})
	if got := left(); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
	openAndClose(func(*Bucket) {
		if err := os.WriteFile(filepath.Join(parent, "a", "other"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(filepath.Join(parent, "a", "other")); err != nil {
		t.Error(err)
	}
	openAndClose(func(b *Bucket) {
		if err := b.PutNew(t.Context(), "key", []byte("x")); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(filepath.Join(root, "key")); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(root, "key")); err != nil {
		t.Fatal(err)
	}
	openAndClose(func(*Bucket) {}) // the folder existed before
	if _, err := os.Stat(root); err != nil {
		t.Error(err)
	}
}
