package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var mayBeWide = regexp.MustCompile("^ *\\||^    |`[^`]{100,}`")

// Lines of code and of documents have at most 120 columns, a tab counted as one. Of documents, tables and examples may
// be wider, and lines with a code span that is wide itself.
func TestLinesHaveAtMost120Columns(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "vendor", "testdata", "dist"}, d.Name()) {
			return fs.SkipDir
		}
		of := filepath.Base(filepath.Dir(path))
		if d.IsDir() || of != ".ci" &&
			!slices.Contains([]string{".go", ".js", ".css", ".sh", ".md"}, filepath.Ext(path)) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found++
		for i, line := range strings.Split(string(data), "\n") {
			if filepath.Ext(path) == ".md" && mayBeWide.MatchString(line) {
				continue
			}
			if n := utf8.RuneCountInString(line); n > 120 {
				t.Errorf("%s:%d has %d columns", path, i+1, n)
			}
		}
		return nil
	})
	if err != nil || found < 400 {
		t.Fatalf("found only %d files: %v", found, err)
	}
}
