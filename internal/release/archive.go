package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"path"
	"time"
)

// archive returns an archive of files below a folder of its name: .zip for Windows, else .tar.gz.
func (t tree) archive(p platform, base string, files []file) (file, error) {
	below := make([]file, len(files))
	for i, f := range files {
		below[i] = file{base + "/" + f.name, f.mode, f.data}
	}
	if p.os == "windows" {
		data, err := zipped(below, t.time)
		return file{base + ".zip", 0o644, data}, err
	}
	data, err := tarred(below, t.time, false)
	return file{base + ".tar.gz", 0o644, packed(data)}, err
}

// tarred returns files as a tar archive in the order of their names, all of them root's, with one time. With folders it
// has an entry for each folder, before its files, and names begin with "./".
func tarred(files []file, at time.Time, folders bool) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	there := map[string]bool{}
	prefix := ""
	if folders {
		prefix = "./"
	}
	add := func(kind byte, name string, mode int64, data []byte) error {
		h := &tar.Header{Typeflag: kind, Name: prefix + name, Mode: mode, Size: int64(len(data)), ModTime: at,
			Uname: "root", Gname: "root", Format: tar.FormatGNU}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	for _, f := range sorted(files) {
		if folders {
			for _, folder := range parents(f.name) {
				if there[folder] {
					continue
				}
				there[folder] = true
				if err := add(tar.TypeDir, folder, 0o755, nil); err != nil {
					return nil, err
				}
			}
		}
		if err := add(tar.TypeReg, f.name, int64(f.mode.Perm()), f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// parents returns the folders that a name is in, the outermost first, with '/' at their ends: of the whole "" too.
func parents(name string) []string {
	folder := path.Dir(name)
	if folder == "." {
		return []string{""}
	}
	return append(parents(folder), folder+"/")
}

// zipped returns files as a ZIP archive.
func zipped(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range sorted(files) {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at}
		h.SetMode(f.mode)
		entry, err := w.CreateHeader(h)
		if err == nil {
			_, err = entry.Write(f.data)
		}
		if err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
