package api

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// written is an operation as a document writes it: a method, and a path or its end.
type written struct{ method, path string }

var inCode = regexp.MustCompile("`([^`]+)`")

// isPath tells whether code begins as a path, or the end of one, does.
var isPath = regexp.MustCompile("^[/:…]").MatchString

// writtenIn returns the operations that a part of a document writes between backticks. A method holds for the paths
// behind it, and a method without a path is another one of the last path.
func writtenIn(part string) (all []written) {
	var last written
	for _, m := range inCode.FindAllStringSubmatch(part, -1) {
		method, path, ok := strings.Cut(m[1], " ")
		if !ok && isPath(m[1]) {
			method, path = last.method, m[1]
		} else if !ok {
			path = last.path
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(path, "…"), "?")
		switch method {
		case get, post, put, patch, remove:
			last = written{method, path}
			all = append(all, last)
		}
	}
	return all
}

// docs/api.md has each operation of weir's own with its parameters, and shows none that there is not.
func TestDocsHaveWeirsOwnOperations(t *testing.T) {
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	var shown []written
	for _, part := range regexp.MustCompile(`\n(?:\n|\| |- )`).Split(text, -1) {
		shown = append(shown, writtenIn(part)...)
	}
	served, own := map[written]bool{}, 0
	for _, op := range new(Server).operations() {
		path := strings.Replace(op.path, "{tile...}", "…", 1)
		served[written{op.method, op.path}] = true
		if strings.HasPrefix(path, base) {
			continue // docs/compatibility.md has these.
		}
		own++
		found := strings.HasPrefix(path, ownOrg+"/logs/") // as below the logs of a project
		for _, w := range shown {
			found = found || w.method == op.method && w.path != "" && strings.HasSuffix(path, w.path)
		}
		if !found {
			t.Errorf("docs/api.md does not have %s %s", op.method, path)
		}
		for _, p := range op.query {
			if !regexp.MustCompile("`[^`]*\\b" + p.name + "\\b[^`]*`").MatchString(text) {
				t.Errorf("docs/api.md does not have the parameter %s of %s %s", p.name, op.method, path)
			}
		}
	}
	for _, w := range shown {
		if strings.HasPrefix(w.path, "/api/") && !served[w] {
			t.Errorf("docs/api.md shows %s %s, which there is not", w.method, w.path)
		}
	}
	if own < 50 || len(shown) < 50 {
		t.Errorf("found only %d operations, and %d in the document", own, len(shown))
	}
}
