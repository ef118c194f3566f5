package folder

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
)

// A folder that another process has open can be read, under any prefix, and not be changed.
func TestReaderReadsWhatAnotherProcessHasOpen(t *testing.T) {
	root := t.TempDir()
	l, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, key := range []string{"a/1", "a/2", "b/1"} {
		if err := l.PutNew(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"", "logs/x/"} {
		f, err := OpenReader(root, prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for info, err := range f.List(t.Context(), prefix+"a/", prefix+"a/1") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, []string{prefix + "a/2"}) {
			t.Errorf("%q", got)
		}
		data, err := bucket.Read(t.Context(), f, prefix+"b/1", bucket.Range{Offset: 1})
		if err != nil || string(data) != "/1" {
			t.Errorf("%q, %v", data, err)
		}
		if _, err := f.Get(t.Context(), prefix+"c", bucket.Range{}); !errors.Is(err, bucket.ErrNotExist) {
			t.Error(err)
		}
		for _, err := range []error{f.Put(t.Context(), "x", nil), f.PutNew(t.Context(), "x", nil),
			f.Delete(t.Context(), prefix+"a/1")} {
			if !errors.Is(err, ErrReadOnly) {
				t.Error(err)
			}
		}
	}
	if _, err := OpenReader(root+"/none", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
