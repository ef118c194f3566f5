package main

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Lines of code have at most 120 columns, a tab counted as one. Text between backquotes is printed as it stands.
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
		if d.IsDir() || of != ".ci" && !slices.Contains([]string{".go", ".js", ".css", ".sh"}, filepath.Ext(path)) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found++
		quoted := map[int]bool{}
		if filepath.Ext(path) == ".go" {
			quoted = quotedLines(data)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if n := utf8.RuneCountInString(line); n > 120 && !quoted[i+1] {
				t.Errorf("%s:%d has %d columns", path, i+1, n)
			}
		}
		return nil
	})
	if err != nil || found < 400 {
		t.Fatalf("found only %d files: %v", found, err)
	}
}

// quotedLines returns the numbers of lines that have text between backquotes.
func quotedLines(source []byte) map[int]bool {
	lines := map[int]bool{}
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return lines
		}
		if kind == token.STRING && text[0] == '`' {
			for i := range strings.Count(text, "\n") + 1 {
				lines[files.Position(at).Line+i] = true
			}
		}
	}
}
