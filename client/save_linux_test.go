package client

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// A file that is named by its descriptor is written to, not replaced.
func TestSaveToDescriptor(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := filepath.Join("/proc/self/fd", strconv.FormatUint(uint64(f.Fd()), 10))
	body := zip("a\n")
	if _, err := Save(name, downloadOf(body), SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the open file has %q, %v", got, err)
	}
}
