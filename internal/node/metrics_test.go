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

var (
	selector = regexp.MustCompile(`(weir_[a-z_]+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`(\w+)(=~|!=|!~|=)"([^"]*)"`)
)

// An alert that chooses by a label, or by a value of one, that its metric does not have never fires. docs/operating.md
// says which there are.
func TestAlertsOfDeployChooseByLabelsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ labels, text string }
	rows := map[string]row{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			for _, m := range selector.FindAllStringSubmatch(line, -1) {
				rows[m[1]] = row{"," + m[2] + ",", line}
			}
		}
	}
	rules, err := os.ReadFile("../../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range selector.FindAllStringSubmatch(string(rules), -1) {
		for _, by := range matcher.FindAllStringSubmatch(m[2], -1) {
			found++
			of, label, exactly, value := rows[m[1]], by[1], by[2] == "=", by[3]
			if !strings.Contains(of.labels, ","+label+",") {
				t.Errorf("an alert chooses %s by %s, of which docs/operating.md knows nothing", m[1], label)
			}
			if says := regexp.MustCompile(`\b` + regexp.QuoteMeta(value) + `\b`); exactly && label != "listener" &&
				!says.MatchString(of.text) {
				t.Errorf("docs/operating.md does not say that %s of %s may be %q", label, m[1], value)
			}
		}
	}
	if found < 8 {
		t.Errorf("found only %d", found)
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
