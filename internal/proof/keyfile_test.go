package proof

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSigningKeyThatOthersCanReadIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if _, created, err := LoadOrCreateKeys(file); err != nil || !created {
		t.Fatal(created, err)
	}
	if _, err := LoadKeys(file); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeys(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}
