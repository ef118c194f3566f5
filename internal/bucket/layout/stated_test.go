package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/layout"
)

// others are the strings of the program that begin like a key and are none, by folder.
var others = map[string][]string{
	"cmd/weir":         {"orgs/", "weir/"}, // below the path of an API; the program and its version
	"internal/node":    {"weir/"},          // the program and its version
	"internal/profile": {"orgs/"},          // below the path of an API
	"internal/web":     {"weir/v1/groups/", "weir/v1/orgs/"},
}

// What keys begin with is stated in the table alone, so that a new kind of object, or of place, is one change. The
// suite of bucketest has keys of its own, which only look like the table's.
func TestKeysBeginAsTheTableSays(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	tops := layout.Tops(layout.All)
	files, seen := token.NewFileSet(), map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		folder := filepath.ToSlash(filepath.Dir(name))
		switch {
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"),
			folder == "internal/bucket/layout", folder == "internal/bucket/bucketest":
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !strings.Contains(text, "/") || !slices.Contains(tops, layout.Top(text)) {
				return true
			}
			if seen[folder+" "+text] = true; !slices.Contains(others[folder], text) {
				t.Errorf("%s: %q begins like a key: use layout.Name.Prefix, or say in this test why it is none",
					files.Position(literal.Pos()), text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, texts := range others {
		for _, text := range texts {
			if !seen[folder+" "+text] {
				t.Errorf("%s has no %q any more", folder, text)
			}
		}
	}
}

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		kind  layout.Name
		parts []string
		want  string
	}{
		{layout.WAL, nil, "wal/"},
		{layout.Segment, nil, "logs/"},
		{layout.Segment, []string{"l"}, "logs/l/segments/"},
		{layout.Cursor, []string{"f"}, "cursors/f/"},
		{layout.Cursor, []string{"f", "l"}, "cursors/f/l/"},
		{layout.Cursor, []string{"f", "l", "3"}, "cursors/f/l/3.json"},
		{layout.Intent, []string{"1"}, "intents/1-"},
		{layout.CopyState, nil, "copy/state.json"},
	} {
		if got := c.kind.Prefix(c.parts...); got != c.want {
			t.Errorf("keys of %s with %q begin with %q, want %q", c.kind, c.parts, got, c.want)
		}
	}
	for _, k := range layout.Kinds {
		if k.Name.Top() != k.Top() {
			t.Errorf("top of %s: %q, want %q", k.Name, k.Name.Top(), k.Top())
		}
	}
}
