package node

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var metricName = regexp.MustCompile(`\bweir_[a-z_]+\b`)

// metricsIn returns the names of metrics in a file, other than in Go's comments.
func metricsIn(t *testing.T, file string) (names []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(file) != ".go" {
		return metricName.FindAllString(string(data), -1)
	}
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile(file, -1, len(data)), data, nil, 0)
	for {
		_, kind, text := s.Scan()
		if kind == token.EOF {
			return names
		}
		if name, err := strconv.Unquote(text); kind == token.STRING && err == nil && metricName.FindString(name) == name &&
			name != "" {
			names = append(names, name)
		}
	}
}

// docs/operating.md lists all metrics and no others. Nothing in deploy/, and no other document, names one that there is
// not.
func TestDocsListTheMetrics(t *testing.T) {
	made := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") {
			for _, name := range metricsIn(t, path) {
				made[name] = true
			}
		}
		return err
	})
	if err != nil || len(made) < 20 {
		t.Fatalf("found only %d metrics: %v", len(made), err)
	}
	const list = "../../docs/operating.md"
	listed := map[string]bool{}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
			for _, name := range metricName.FindAllString(first, -1) {
				listed[name] = true
			}
		}
	}
	for name := range made {
		if !listed[name] {
			t.Errorf("%s does not list %s", list, name)
		}
	}
	others, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(others, "../../deploy/alerts.yaml", "../../deploy/grafana.json", "../../README.md") {
		for _, name := range metricsIn(t, file) {
			// Parts of histograms have names of their own.
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
			if !made[name] && !made[base] {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
	}
}
