package location_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/bucket/s3"
)

// Only programs that open buckets by their location link the S3 library.
func TestPackagesThatReadNeedNoS3Library(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for _, name := range []string{"bucket", "bucket/folder", "bucket/cache", "doc", "wal", "tlog", "verify", "watch"} {
		out, err := exec.Command("go", "list", "-deps", "github.com/weirlog/weir/internal/"+name).Output()
		if err != nil {
			t.Fatal(err)
		}
		for dep := range strings.Lines(string(out)) {
			if strings.Contains(dep, "minio") || strings.Contains(dep, "weir/internal/bucket/s3") {
				t.Errorf("internal/%s depends on %s", name, dep)
			}
		}
	}
}

func TestOpenReadOnlyMakesNoFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "bucket")
	if b, err := location.OpenReadOnly(folder, s3.Options{}); err == nil || b != nil {
		t.Errorf("a folder that does not exist: %v, %v", b, err)
	}
	b, err := location.Open(t.Context(), folder, s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.PutNew(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	r, err := location.OpenReadOnly(folder, s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := bucket.Read(t.Context(), r, "a", bucket.Range{}); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}
