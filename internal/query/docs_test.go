package query

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestQueriesOfTheDocsMatchAsTheySay checks the queries in docs/search.md.
func TestQueriesOfTheDocsMatchAsTheySay(t *testing.T) {
	page, err := os.ReadFile("../../docs/search.md")
	if err != nil {
		t.Fatal(err)
	}
	section, queries := "", 0
	for line := range strings.Lines(string(page)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(title)
		}
		first, second, ok := columns(line)
		switch {
		case !ok:
		case section == "By example":
			check(t, first, true)
		case section == "Numbers and times":
			for i := range first {
				first[i] = "time:" + first[i]
			}
			check(t, first, true)
		case section == "What is refused":
			check(t, first, false)
			check(t, second, true)
		default:
			continue
		}
		queries += len(first) + len(second)
	}
	if queries < 60 {
		t.Errorf("only %d queries were found", queries)
	}
	for alias, name := range aliasNames {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\|.*$").FindString(string(page))
		for _, s := range aliasSources[alias] {
			f := "`" + strings.Join(s.path, ".") + "`"
			before, after, ok := strings.Cut(row, f)
			if row = after; !ok {
				t.Errorf("%s: %s is missing, or in another order, behind %s", name, f, before)
			}
		}
	}
}

// columns returns the texts in code marks in the first two columns of a table's row.
func columns(line string) (first, second []string, ok bool) {
	line, ok = strings.CutPrefix(line, "| `")
	if !ok {
		return nil, nil, false
	}
	left, right, ok := strings.Cut("`"+line, "` | ")
	if !ok {
		return nil, nil, false
	}
	code := regexp.MustCompile("`([^`]+)`")
	for i, text := range []string{left + "`", right} {
		for _, match := range code.FindAllStringSubmatch(text, -1) {
			if i == 0 {
				first = append(first, match[1])
			} else {
				second = append(second, match[1])
			}
		}
	}
	return first, second, true
}

func check(t *testing.T, queries []string, want bool) {
	for _, text := range queries {
		if q, err := Parse(text); (err == nil) != want {
			t.Errorf("%s: %v, %v", text, q, err)
		}
	}
}
