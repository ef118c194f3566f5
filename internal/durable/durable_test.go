package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// disk records the calls that change files. A power cut loses each effect that was not synced, alone or with others.
type disk struct {
	calls []call
	names map[string]int // files by name, as they are while there is power
	files int
}

type call struct {
	op       string // create, write, sync, link, rename, remove, sync folder
	from, to string
	file     int
	data     []byte
}

func (d *disk) add(c call) { d.calls = append(d.calls, c) }

func (d *disk) create(name string, _ fs.FileMode) (file, error) {
	if _, ok := d.names[name]; ok {
		return nil, fs.ErrExist
	}
	d.files++
	d.names[name] = d.files
	d.add(call{op: "create", to: name, file: d.files})
	return &openFile{d, d.files}, nil
}

func (d *disk) link(from, to string) error {
	if _, ok := d.names[to]; ok {
		return fs.ErrExist
	}
	d.names[to] = d.names[from]
	d.add(call{op: "link", from: from, to: to, file: d.names[from]})
	return nil
}

func (d *disk) rename(from, to string) error {
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.add(call{op: "rename", from: from, to: to, file: d.names[to]})
	return nil
}

func (d *disk) remove(name string) error {
	if _, ok := d.names[name]; !ok {
		return fs.ErrNotExist
	}
	delete(d.names, name)
	d.add(call{op: "remove", from: name})
	return nil
}

func (d *disk) syncFolder(string) error { d.add(call{op: "sync folder"}); return nil }

type openFile struct {
	disk *disk
	file int
}

func (f *openFile) Write(p []byte) (int, error) {
	f.disk.add(call{op: "write", file: f.file, data: bytes.Clone(p)})
	return len(p), nil
}

func (f *openFile) Sync() error  { f.disk.add(call{op: "sync", file: f.file}); return nil }
func (f *openFile) Close() error { return nil }

// afterCut returns what the file name may contain if the power fails after these calls, for every combination of
// unsynced effects that are lost. A lost write leaves nothing, or half of its bytes.
func afterCut(calls []call, name string, old []byte) [][]byte {
	folderSynced := 0
	fileSynced := map[int]int{}
	for i, c := range calls {
		switch c.op {
		case "sync folder":
			folderSynced = i
		case "sync":
			fileSynced[c.file] = i
		}
	}
	var doubtful []int // calls whose effects may be lost
	for i, c := range calls {
		switch c.op {
		case "create", "link", "rename", "remove":
			if i >= folderSynced {
				doubtful = append(doubtful, i)
			}
		case "write":
			if i >= fileSynced[c.file] {
				doubtful = append(doubtful, i)
			}
		}
	}
	var found [][]byte
	for lost := range 1 << len(doubtful) {
		for _, half := range []bool{false, true} {
			found = append(found, replay(calls, func(i int) bool {
				at := slices.Index(doubtful, i)
				return at >= 0 && lost>>at&1 == 1
			}, half, name, old))
		}
	}
	return found
}

func replay(calls []call, lost func(int) bool, half bool, name string, old []byte) []byte {
	names, content := map[string]int{}, map[int][]byte{-1: old}
	if old != nil {
		names[name] = -1
	}
	for i, c := range calls {
		switch {
		case c.op == "write" && !lost(i):
			content[c.file] = append(content[c.file], c.data...)
		case c.op == "write" && half:
			content[c.file] = append(content[c.file], c.data[:len(c.data)/2]...)
		case lost(i):
		case c.op == "create", c.op == "link":
			names[c.to] = c.file
		case c.op == "rename":
			names[c.to] = c.file
			delete(names, c.from)
		case c.op == "remove":
			delete(names, c.from)
		}
	}
	f, ok := names[name]
	if !ok {
		return nil
	}
	return append([]byte{}, content[f]...)
}

func TestPowerCutLeavesOldOrNewFile(t *testing.T) {
	const name = "folder/file"
	data := []byte("the new content")
	for _, old := range [][]byte{nil, []byte("old")} {
		for _, how := range []string{"rename", "link"} {
			if how == "link" && old != nil {
				continue
			}
			t.Run(fmt.Sprintf("%s over %q", how, old), func(t *testing.T) {
				d := &disk{names: map[string]int{}}
				if old != nil {
					d.names[name] = -1
				}
				place := d.rename
				if how == "link" {
					place = d.link
				}
				write := func(w io.Writer) error {
					return errors.Join(writer(data[:7])(w), writer(data[7:])(w))
				}
				if err := put(d, name, 0o600, write, place); err != nil {
					t.Fatal(err)
				}
				for cut := range len(d.calls) + 1 {
					for _, got := range afterCut(d.calls[:cut], name, old) {
						isOld := bytes.Equal(got, old) && (got == nil) == (old == nil)
						if isNew := bytes.Equal(got, data); !isNew && (!isOld || cut == len(d.calls)) {
							t.Errorf("after %d calls of %v: %q", cut, ops(d.calls), got)
						}
					}
				}
			})
		}
	}
}

// The test above proves something only if it fails when a sync is missing.
func TestPowerCutTestFindsMissingSyncs(t *testing.T) {
	const name = "file"
	for _, without := range []string{"sync", "sync folder"} {
		d := &disk{names: map[string]int{}}
		if err := put(d, name, 0o600, writer([]byte("new")), d.rename); err != nil {
			t.Fatal(err)
		}
		d.calls = slices.DeleteFunc(d.calls, func(c call) bool { return c.op == without })
		outcomes := map[string]bool{}
		for _, got := range afterCut(d.calls, name, nil) {
			outcomes[string(got)] = true
		}
		if len(outcomes) < 2 {
			t.Errorf("without %q the file is always %v", without, slices.Collect(maps.Keys(outcomes)))
		}
	}
}

func ops(calls []call) (names []string) {
	for _, c := range calls {
		names = append(names, c.op)
	}
	return names
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "file")
	broken := errors.New("broken")
	if err := Create(name, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	for _, err := range []error{Create(name, []byte("2")), CreateFrom(name, 0o644, writer([]byte("3")))} {
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("create what exists: %v", err)
		}
	}
	if err := ReplaceFrom(name, 0o644, func(w io.Writer) error { w.Write([]byte("4")); return broken }); !errors.Is(err,
		broken) {
		t.Error(err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "1" {
		t.Errorf("%q, %v", data, err)
	}
	if err := Replace(name, []byte("5")); err != nil {
		t.Fatal(err)
	}
	if err := CreateFrom(filepath.Join(folder, "other"), 0o644, writer([]byte("6"))); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "5" {
		t.Errorf("%q, %v", data, err)
	}
	if err := Replace(filepath.Join(folder, "none", "file"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
