package folder

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOpenToOthersIsTold(t *testing.T) {
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
