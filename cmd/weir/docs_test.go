package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/internal/config"
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

// A command that a document shows exists, with the flags that it is shown with; one in a line of code has the arguments
// that it wants too.
func TestDocsShowCommandsThatExist(t *testing.T) {
	placeholder := regexp.MustCompile(`\[|\]|…`)
	found := 0
	for document, text := range documents(t) {
		for _, m := range shown.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1) {
			line, _, _ := strings.Cut(m[1], " #")
			line, _, _ = strings.Cut(line, "$(") // the command of another
			args := words(strings.TrimSpace(placeholder.ReplaceAllString(line, "")))[1:]
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
			if code := strings.HasPrefix(m[0], "    "); code && !strings.Contains(m[1], "$(") && !cmd.HasSubCommands() {
				if err := takes(cmd, rest); err != nil {
					t.Errorf("%s: %q: %v", document, line, err)
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("found only %d commands", found)
	}
}

// takes returns why a command does not take flags and arguments. Files that it would read need not be there.
func takes(cmd *cobra.Command, args []string) error {
	if err := cmd.ParseFlags(args); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
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

// sources returns the text of all Go files but tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil || all.Len() < 1<<20 {
		t.Fatalf("found only %d bytes: %v", all.Len(), err)
	}
	return all.String()
}

// A link of a document leads to a file that there is, and a path of the repository that it names is there.
func TestDocsLinkToFilesThatExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	path := regexp.MustCompile(`(?:^|[^\w./-])((?:docs|deploy|internal|cmd|client|\.ci)/[\w./-]*\w)`)
	found := 0
	for document, text := range documents(t) {
		var names []string
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if name, _, _ := strings.Cut(m[1], "#"); name != "" && !strings.Contains(m[1], "://") {
				names = append(names, filepath.Join(filepath.Dir(document), name))
			}
		}
		for _, m := range path.FindAllStringSubmatch(text, -1) {
			names = append(names, filepath.Join("../..", m[1]))
		}
		for _, name := range names {
			found++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("%s names %s: %v", document, name, err)
			}
		}
	}
	if found < 200 {
		t.Errorf("found only %d paths", found)
	}
}

// The README leads to every document.
func TestReadmeListsTheDocuments(t *testing.T) {
	texts := documents(t)
	for document := range texts {
		name := filepath.ToSlash(strings.TrimPrefix(document, filepath.Join("..", "..")+string(filepath.Separator)))
		if strings.HasPrefix(name, "docs/") && !strings.Contains(texts["../../README.md"], "("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// flagDefaults returns the defaults of each flag that a command has, by the flag's name.
func flagDefaults() map[string][]string {
	all := map[string][]string{}
	for _, cmd := range append(commands(rootCommand()), rootCommand()) {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) { all[f.Name] = append(all[f.Name], f.DefValue) })
		}
	}
	return all
}

// A flag that a document names between backticks is one of weir's, and the number or the time behind it in parentheses,
// as in "`--drain` (20s)", is its default.
func TestDocsNameFlagsAndTheirDefaults(t *testing.T) {
	all := flagDefaults()
	flag := regexp.MustCompile("`--([a-z0-9][a-z0-9-]*[a-z0-9])(?:[ =][^`]*)?`(?:\\s\\((\\d[^,;:)]*))?")
	flags, defaults := 0, 0
	for document, text := range documents(t) {
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			flags++
			has, ok := all[m[1]]
			if !ok && m[1] != "include" { // of curl
				t.Errorf("%s names --%s, which there is not", document, m[1])
			}
			if m[2] == "" {
				continue
			}
			defaults++
			if !slices.ContainsFunc(has, func(value string) bool { return sameValue(m[2], value) }) {
				t.Errorf("%s: --%s is %s by default, and not %s", document, m[1], has, m[2])
			}
		}
	}
	if flags < 150 || defaults < 4 {
		t.Errorf("found only %d flags, and %d defaults", flags, defaults)
	}
}

// sameValue tells whether a document writes a value of a flag: the same text but for spaces, or the same time.
func sameValue(written, value string) bool {
	a, err := time.ParseDuration(written)
	b, err2 := time.ParseDuration(value)
	return strings.ReplaceAll(written, " ", "") == value || err == nil && err2 == nil && a == b
}

// What a document writes in capitals between backticks, such as an error's code, a role or a variable of the
// environment, is in the code.
func TestDocsNameCodesAndVariablesThatExist(t *testing.T) {
	code := sources(t)
	c := config.Default()
	settings := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.AddFlags(settings)
	variables := map[string]bool{"SSL_CERT_FILE": true, "SSH_AUTH_SOCK": true} // of other programs
	settings.VisitAll(func(f *pflag.Flag) { variables[config.Variable(f.Name)] = true })
	capitals := regexp.MustCompile("[`\\s]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[`=\\s]")
	found := 0
	for document, text := range documents(t) {
		if filepath.Base(document) == "CONTRIBUTING.md" {
			continue // It names variables of tests.
		}
		for _, m := range capitals.FindAllStringSubmatch(text, -1) {
			found++
			if !variables[m[1]] && !strings.Contains(code, m[1]) {
				t.Errorf("%s names %s, which the code does not", document, m[1])
			}
		}
	}
	if found < 100 {
		t.Errorf("found only %d names", found)
	}
}

// docs/operating.md says of each alert of deploy/alerts.yaml what it means, and of no other.
func TestDocsListTheAlertsOfDeploy(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var made, listed []string
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		made = append(made, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (Weir\w+) \|`).FindAllStringSubmatch(
		documents(t)["../../docs/operating.md"], -1) {
		listed = append(listed, m[1])
	}
	slices.Sort(made)
	slices.Sort(listed)
	if len(made) < 10 || !slices.Equal(made, listed) {
		t.Errorf("docs/operating.md lists\n%s, and deploy/alerts.yaml has\n%s", listed, made)
	}
}

// A package imports only packages of later rows of ARCHITECTURE.md's map, tests apart.
func TestDependenciesPointDownward(t *testing.T) {
	row := map[string]int{}
	for i, m := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|").FindAllStringSubmatch(
		documents(t)["../../ARCHITECTURE.md"], -1) {
		row[m[1]] = i
	}
	// mapped returns the row of a package, which may be below the one that is named there.
	mapped := func(name string) (int, bool) {
		i, ok := row[strings.Join(strings.SplitN(name, "/", 3)[:min(2, strings.Count(name, "/")+1)], "/")]
		return i, ok
	}
	out, err := exec.Command("go", "list", "-f", "{{range .Imports}}{{$.ImportPath}} {{.}}\n{{end}}",
		"../../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/weirlog/weir/"
	imports := 0
	for line := range strings.Lines(strings.ReplaceAll(string(out), module, "")) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		i, ok := mapped(from)
		j, own := mapped(to)
		if !ok || !own {
			continue
		}
		if imports++; i > j {
			t.Errorf("%s, row %d, imports %s, row %d", from, i, to, j)
		}
	}
	if imports < 300 {
		t.Errorf("only %d imports were looked at", imports)
	}
}

// The map of ARCHITECTURE.md has a row for each package below internal/, which names those below that.
func TestArchitectureMapsThePackages(t *testing.T) {
	text := documents(t)["../../ARCHITECTURE.md"]
	found := 0
	err := filepath.WalkDir("../../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), filepath.Join("..", "..")+string(filepath.Separator)))
		parts := strings.Split(name, "/")
		_, row, ok := strings.Cut(text, "\n| `"+strings.Join(parts[:2], "/")+"` |")
		row, _, _ = strings.Cut(row, "\n")
		if !ok || len(parts) > 2 && !strings.Contains(row, "`"+parts[len(parts)-1]+"`") {
			t.Errorf("ARCHITECTURE.md does not map %s", name)
		}
		found++
		return nil
	})
	if err != nil || found < 200 {
		t.Fatalf("found only %d files: %v", found, err)
	}
}
