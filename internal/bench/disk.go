package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// disk is what a log takes, in bytes an event.
type disk struct {
	Events    int64   `json:"events"`
	All       float64 `json:"all"`
	Blocks    float64 `json:"blocks"`
	Indexes   float64 `json:"indexes"`
	Filters   float64 `json:"filters"`
	Hashes    float64 `json:"hashes"`
	Documents float64 `json:"documents"` // manifest and history
	Segments  int     `json:"segments"`
	Replaced  float64 `json:"replaced"` // by merges, deleted after a grace; not in All
	WAL       int64   `json:"walBytes"`

	files []string // of the segments
}

// manifest is what is read of a log's manifest, or (the segments alone) of a history.
type manifest struct {
	Entries  int64
	Segments []segment
	History  []struct{ Key string }
}

type segment struct {
	Key                            string
	Blocks, Index, Filters, Groups int64
}

// weigh finds the log with the most entries in a bucket's folder, and what it takes.
func weigh(bucket string) (disk, error) {
	manifests, err := filepath.Glob(filepath.Join(bucket, "logs", "*", "manifest"))
	if err != nil {
		return disk{}, err
	}
	var best manifest
	var log string
	var documents int64
	for _, dir := range manifests {
		m, size, err := readManifest(dir)
		if err != nil {
			return disk{}, err
		}
		if m.Entries > best.Entries {
			best, log, documents = m, filepath.Dir(dir), size
		}
	}
	if best.Entries == 0 {
		return disk{}, fmt.Errorf("there are no logs in %s", bucket)
	}
	segments := best.Segments
	for _, h := range slices.Backward(best.History) {
		var older []segment
		size, err := readJSON(filepath.Join(bucket, h.Key), &older)
		if err != nil {
			return disk{}, err
		}
		segments, documents = append(older, segments...), documents+size
	}
	return weighSegments(bucket, log, best.Entries, documents, segments)
}

func weighSegments(bucket, log string, entries, documents int64, segments []segment) (disk, error) {
	each := func(n int64) float64 { return float64(n) / float64(entries) }
	d := disk{Events: entries, Segments: len(segments), Documents: each(documents)}
	var live int64
	for _, s := range segments {
		file := filepath.Join(bucket, s.Key)
		st, err := os.Stat(file)
		if err != nil {
			return d, err
		}
		live += st.Size()
		d.files = append(d.files, file)
		d.Blocks += each(s.Blocks)
		d.Indexes += each(st.Size() - s.Blocks - s.Filters - s.Groups) // and the trailer
		d.Filters += each(s.Filters)
		d.Hashes += each(s.Groups)
	}
	d.All = each(live + documents)
	whole, err := folderSize(log)
	if err != nil {
		return d, err
	}
	d.Replaced = each(whole - live - documents)
	d.WAL, err = folderSize(filepath.Join(bucket, "wal"))
	return d, err
}

func readManifest(dir string) (m manifest, size int64, err error) {
	versions, err := os.ReadDir(dir) // sorted
	if err != nil || len(versions) == 0 {
		return m, 0, err
	}
	size, err = readJSON(filepath.Join(dir, versions[len(versions)-1].Name()), &m)
	return m, size, err
}

// readJSON reads the first value in a file, behind which a signature may stand.
func readJSON(file string, v any) (size int64, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(v); err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return int64(len(data)), nil
}

func folderSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
