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

// disk is the disk space of a log, in bytes an event.
type disk struct {
	Events    int64   `json:"events"`
	All       float64 `json:"all"`
	Blocks    float64 `json:"blocks"`
	Indexes   float64 `json:"indexes"`
	Filters   float64 `json:"filters"`
	Hashes    float64 `json:"hashes"`
	Documents float64 `json:"documents"` // manifest and history
	Beside    float64 `json:"beside"`    // objects beside segments: the index of searches
	Segments  int     `json:"segments"`
	Replaced  float64 `json:"replaced"` // by merges, deleted after a grace; not in All
	WAL       int64   `json:"walBytes"`

	files []string // of the segments
}

// manifest has the members of a log's manifest that are read, or (the segments alone) of a history.
type manifest struct {
	Entries  int64
	Segments []segment
	History  []struct{ Key string }
}

type segment struct {
	Key                            string
	Blocks, Index, Filters, Groups int64
	Beside                         []struct{ Size int64 }
}

// weigh finds the audit log of the big workspace in a bucket's folder, and its disk space.
func weigh(bucket string) (disk, error) {
	log, err := logOf(bucket, big)
	if err != nil {
		return disk{}, err
	}
	log = filepath.Join(bucket, "logs", log)
	var m manifest
	documents, err := readHighest(filepath.Join(log, "manifest"), &m)
	if err != nil {
		return disk{}, err
	}
	segments := m.Segments
	for _, h := range slices.Backward(m.History) {
		var older []segment
		size, err := readJSON(filepath.Join(bucket, h.Key), &older)
		if err != nil {
			return disk{}, err
		}
		segments, documents = append(older, segments...), documents+size
	}
	return weighSegments(bucket, log, m.Entries, documents, segments)
}

// logOf returns the id of the audit log of the workspace with a name.
func logOf(bucket, workspace string) (string, error) {
	projects, err := filepath.Glob(filepath.Join(bucket, "projects", "*"))
	if err != nil {
		return "", err
	}
	for _, dir := range projects {
		var document struct {
			Content struct {
				Workspaces []struct{ Name, AuditLog string }
			}
		}
		if _, err := readHighest(dir, &document); err != nil {
			return "", err
		}
		for _, w := range document.Content.Workspaces {
			if w.Name == workspace {
				return w.AuditLog, nil
			}
		}
	}
	return "", fmt.Errorf("there is no workspace %s in %s", workspace, bucket)
}

func weighSegments(bucket, log string, entries, documents int64, segments []segment) (disk, error) {
	each := func(n int64) float64 { return float64(n) / float64(entries) }
	d := disk{Events: entries, Segments: len(segments), Documents: each(documents)}
	var live, beside int64
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
		for _, b := range s.Beside {
			beside += b.Size
		}
	}
	d.Beside = each(beside)
	d.All = each(live + documents + beside)
	whole, err := folderSize(log)
	if err != nil {
		return d, err
	}
	d.Replaced = each(whole - live - documents - beside)
	d.WAL, err = folderSize(filepath.Join(bucket, "wal"))
	return d, err
}

// readHighest reads the highest version of a document.
func readHighest(dir string, v any) (size int64, err error) {
	versions, err := os.ReadDir(dir) // sorted
	if err != nil {
		return 0, err
	}
	if len(versions) == 0 {
		return 0, fmt.Errorf("%s is empty", dir)
	}
	return readJSON(filepath.Join(dir, versions[len(versions)-1].Name()), v)
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
