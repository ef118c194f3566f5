package layout_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/layout"
)

func TestEachKeyIsOfOneKind(t *testing.T) {
	names := map[layout.Name]bool{}
	for _, k := range layout.Kinds {
		if names[k.Name] {
			t.Errorf("two kinds are named %q", k.Name)
		}
		names[k.Name] = true
		key := regexp.MustCompile(`<[a-z]+>`).ReplaceAllString(k.Pattern, "01")
		if got, ok := layout.Of(key); !ok || got.Name != k.Name {
			t.Errorf("%s is of kind %q, %v; want %q", key, got.Name, ok, k.Name)
		}
		if k.Text == "" || strings.HasSuffix(k.Text, ".") {
			t.Errorf("%s: text %q", k.Name, k.Text)
		}
		if k.Cached && k.Replaced {
			t.Errorf("%s is cached, although it may be replaced", k.Name)
		}
	}
}

func TestUnknownKeysAreOfNoKind(t *testing.T) {
	for _, key := range []string{"", "weir", "weir/", "weir/1", "weir/x.json", "weir/1.json.bak", "orgs/1.json",
		"other/1.json",
		"logs/l/1.json", "logs/l/manifest/x.json", "logs/l/segments/1.gz", "logs/l/other/1-2", "wal/x/1-2.gz",
		"copy/other",
		"a/weir/1.json", "quarantine/1", "quarantine/1/"} {
		if k, ok := layout.Of(key); ok {
			t.Errorf("%q is of kind %s", key, k.Name)
		}
	}
}

// docs/format.md must describe every kind, since it is promised to be enough for reading everything.
func TestFormatIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range layout.Kinds {
		if !strings.Contains(string(text), "| `"+k.Pattern+"` |") {
			t.Errorf("docs/format.md has no row for `%s`: %s", k.Pattern, k.Text)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+/[^`]*)` \\|").FindAllStringSubmatch(string(text), -1) {
		found := false
		for _, k := range layout.Kinds {
			found = found || k.Pattern == row[1]
		}
		if !found {
			t.Errorf("docs/format.md has `%s`, which package layout does not", row[1])
		}
	}
}
