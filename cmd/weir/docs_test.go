package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// documents returns the text of all documents, by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[name] = string(text)
		}
	}
	if len(texts) < 12 {
		t.Fatalf("found only %d documents", len(texts))
	}
	return texts
}

// A test that a document names, to show that what it says is so, is there.
func TestDocsNameTestsThatExist(t *testing.T) {
	declared := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			declared[m[1]] = true
		}
		return err
	})
	if err != nil || len(declared) < 200 {
		t.Fatalf("found only %d tests: %v", len(declared), err)
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z0-9]\w*`)
	found := 0
	for document, text := range documents(t) {
		for _, test := range named.FindAllString(text, -1) {
			found++
			if !declared[test] {
				t.Errorf("%s names %s, which there is not", document, test)
			}
		}
	}
	if found < 50 {
		t.Errorf("found only %d names in documents", found)
	}
}

// shown finds commands of weir in a document: in lines that are code, and between backticks.
var shown = regexp.MustCompile("(?m)(?:^    .*?|[`(]|\\$ )\\b(weir [a-z][^`\n]*)")

// A command that a document shows exists, with the flags that it is shown with.
func TestDocsShowCommandsThatExist(t *testing.T) {
	placeholder := regexp.MustCompile(`\[|\]|…`)
	found := 0
	for document, text := range documents(t) {
		for _, m := range shown.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1) {
			line, _, _ := strings.Cut(m[1], " #")
			line, _, _ = strings.Cut(line, "$(") // the command of another
			args := words(placeholder.ReplaceAllString(line, ""))[1:]
			cmd, rest, err := rootCommand().Find(args)
			if err != nil {
				t.Errorf("%s: %q: %v", document, line, err)
				continue
			}
			found++
			for _, flag := range rest {
				if strings.HasPrefix(flag, "-") && len(flag) > 1 && !hasFlag(cmd, flag) {
					t.Errorf("%s: %q: %s has no %s", document, line, cmd.CommandPath(), flag)
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("found only %d commands", found)
	}
}

// hasFlag tells whether a command takes what is shown as a flag of it.
func hasFlag(cmd *cobra.Command, shown string) bool {
	name, _, _ := strings.Cut(shown, "=")
	cmd.InitDefaultHelpFlag()
	if long, ok := strings.CutPrefix(name, "--"); ok {
		return slices.Contains([]string{"version"}, long) || cmd.Flag(long) != nil
	}
	return cmd.Flags().ShorthandLookup(name[1:2]) != nil
}
