package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

func TestVersionIsTheNewestOfTheChangelog(t *testing.T) {
	const changelog = "# Changes\n\n## Unreleased\n\n## 1.2.3\n\n## 1.2.2\n"
	for _, tt := range []struct {
		changelog string
		tags      []string
		want      string
	}{
		{changelog, nil, "1.2.3+20261127100000.0123456"},
		{changelog, []string{"v1.2.3"}, "1.2.3"},
		{changelog, []string{"v1.2.2"}, ""},
		{changelog, []string{"v1.2.2", "v1.2.3"}, ""},
		{"# Changes\n\n## Unreleased\n", nil, ""},
	} {
		got, err := versionOf([]byte(tt.changelog), tt.tags, "0123456789", at)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%v: %q, %v; want %q", tt.tags, got, err, tt.want)
		}
	}
}

// The project's own changelog has a version.
func TestChangelogHasAVersion(t *testing.T) {
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := versionOf(changelog, nil, "0123456789", at); err != nil {
		t.Error(err)
	}
}

func TestTreeWithChangesIsRefused(t *testing.T) {
	dir := t.TempDir()
	git := func(arguments ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, arguments...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-11-27T10:00:00Z", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	write("CHANGELOG.md", "## 1.0.0\n")
	git("add", "-A")
	git("commit", "-q", "-m", "a")
	got, err := readTree(t.Context(), dir)
	if err != nil || !strings.HasPrefix(got.version, "1.0.0+20261127100000.") || !got.time.Equal(at) {
		t.Errorf("%+v, %v", got, err)
	}
	git("tag", "v1.0.0")
	if got, err := readTree(t.Context(), dir); err != nil || got.version != "1.0.0" {
		t.Errorf("%+v, %v", got, err)
	}
	write("new", "")
	if _, err := readTree(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "new") {
		t.Errorf("a new file: %v", err)
	}
}

// some are files as commonFiles and a build give them.
func some() common {
	return common{documents: []file{{"README.md", 0o644, []byte("read")}, {"LICENSE", 0o644, []byte("may")},
		{"docs/operating.md", 0o644, []byte("run")}},
		deploy: []file{{"deploy/weir.service", 0o644, []byte("unit")}, {"deploy/weir.sysusers", 0o644, []byte("user")},
			{"deploy/weir.yaml", 0o644, []byte("bucket: x\n")}, {"deploy/nginx.conf", 0o644, []byte("proxy")}},
		man: []file{{"weir.1", 0o644, []byte("manual")}},
		completion: map[string][]byte{"bash": []byte("b"), "fish": []byte("f"), "powershell": []byte("p"),
			"zsh": []byte("z")}}
}

var program = file{"usr/bin/weir", 0o755, bytes.Repeat([]byte("program"), 100_001)}

// The same files give the same bytes, in whatever order they come.
func TestPackagesAreReproducible(t *testing.T) {
	tr := tree{version: "1.2.3+4.5", time: at}
	for name, make := range map[string]func([]file) (file, error){
		"archive": func(f []file) (file, error) { return tr.archive(platform{"linux", "amd64"}, "weir", f) },
		"zip":     func(f []file) (file, error) { return tr.archive(platform{"windows", "amd64"}, "weir", f) },
		"deb":     func(f []file) (file, error) { return tr.deb(platform{"linux", "arm64"}, f) },
		"rpm":     func(f []file) (file, error) { return tr.rpm(platform{"linux", "arm64"}, f) },
	} {
		files := append(some().installed("site-functions"), program)
		a, err := make(files)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(files)
		b, err := make(files)
		if err != nil {
			t.Fatal(err)
		}
		if a.name != b.name || !bytes.Equal(a.data, b.data) {
			t.Errorf("%s: %s and %s differ", name, a.name, b.name)
		}
	}
}

// members returns the files of a .deb.
func members(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(data, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("it is no ar archive")
	}
	all := map[string][]byte{}
	for len(rest) > 0 {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || string(rest[58:60]) != "`\n" {
			t.Fatalf("header %q", rest[:60])
		}
		all[strings.TrimSpace(string(rest[:16]))] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return all
}

// entries returns the files of a .tar.gz, and the folders with no content.
func entries(t *testing.T, data []byte) (all map[string]string, names []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all, names
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "root" || !h.ModTime.Equal(at) {
			t.Errorf("%s is %s's, of %s", h.Name, h.Uname, h.ModTime)
		}
		all[h.Name] = fmt.Sprintf("%o %s", h.Mode, content)
		names = append(names, h.Name)
	}
}

func TestDebianPackageHasWhatItInstalls(t *testing.T) {
	made, err := tree{version: "1.2.3", time: at}.deb(platform{"linux", "amd64"},
		append(some().installed("vendor-completions"), program))
	if err != nil {
		t.Fatal(err)
	}
	all := members(t, made.data)
	if made.name != "weir_1.2.3_amd64.deb" || string(all["debian-binary"]) != "2.0\n" {
		t.Errorf("%s, %q", made.name, all["debian-binary"])
	}
	control, _ := entries(t, all["control.tar.gz"])
	if !strings.Contains(control["./control"], "\nVersion: 1.2.3\nArchitecture: amd64\n") ||
		control["./conffiles"] != "644 /etc/weir.yaml\n" {
		t.Errorf("%q", control)
	}
	for name, script := range map[string]string{"./postinst": installedScript, "./prerm": removingScript,
		"./postrm": removedScript} {
		if control[name] != "755 "+script {
			t.Errorf("%s: %q", name, control[name])
		}
		if strings.Contains(script, "systemctl start") || strings.Contains(script, "systemctl enable") ||
			strings.Contains(script, "rm -") {
			t.Errorf("%s starts or removes something", name)
		}
	}
	content, names := entries(t, all["data.tar.gz"])
	for name, want := range map[string]string{"./": "755 ", "./usr/bin/": "755 ",
		"./usr/bin/weir":                        "755 " + string(program.data),
		"./usr/lib/systemd/system/weir.service": "644 unit", "./usr/lib/sysusers.d/weir.conf": "644 user",
		"./etc/weir.yaml": "644 bucket: x\n", "./usr/share/doc/weir/copyright": "644 may",
		"./usr/share/doc/weir/operating.md": "644 run", "./usr/share/doc/weir/examples/nginx.conf": "644 proxy",
		"./usr/share/man/man1/weir.1.gz":                  "644 " + string(packed([]byte("manual"))),
		"./usr/share/bash-completion/completions/weir":    "644 b",
		"./usr/share/fish/vendor_completions.d/weir.fish": "644 f",
		"./usr/share/zsh/vendor-completions/_weir":        "644 z"} {
		if content[name] != want {
			t.Errorf("%s: %.60q; want %.60q", name, content[name], want)
		}
	}
	for i, name := range names {
		folder := name[:strings.LastIndexByte(strings.TrimSuffix(name, "/"), '/')+1]
		if folder != "" && !slices.Contains(names[:i], folder) {
			t.Errorf("%s comes before its folder", name)
		}
	}
}

func TestArchivesHaveOneFolder(t *testing.T) {
	files := append(some().archived(), file{"weir.exe", 0o755, program.data})
	made, err := tree{version: "1", time: at}.archive(platform{"windows", "amd64"}, "weir_1_windows_amd64", files)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(made.data), int64(len(made.data)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, "weir_1_windows_amd64/")
		if !ok {
			t.Errorf("%s is elsewhere", f.Name)
		}
		names = append(names, name)
	}
	for _, want := range []string{"weir.exe", "README.md", "docs/operating.md", "deploy/nginx.conf", "man/man1/weir.1",
		"completion/weir.ps1"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %q", want, names)
		}
	}
}

// What a program consists of is what it says itself. The test's own program stands for weir.
func TestListOfComponentsIsThatOfTheProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	tr := tree{version: "1.2.3+4", time: at}
	text, err := tr.bom(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := tr.bom(data); err != nil || !bytes.Equal(text, again) {
		t.Errorf("it is not the same again: %v", err)
	}
	var got struct {
		BOMFormat    string
		SerialNumber string
		Metadata     struct {
			Timestamp string
			Component struct{ Name, Version, PURL string }
		}
		Components []struct {
			Name, Version, PURL string
			Properties          []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	c := got.Metadata.Component
	if got.BOMFormat != "CycloneDX" || c.Name != "weir" || c.Version != "1.2.3+4" ||
		!strings.HasSuffix(c.PURL, "@1.2.3%2B4") ||
		got.Metadata.Timestamp != "2026-11-27T10:00:00Z" || len(got.SerialNumber) != len("urn:uuid:")+36 {
		t.Errorf("%+v", got)
	}
	found := 0
	for _, c := range got.Components {
		switch c.Name {
		case "github.com/google/rpmpack":
			found++
			if len(c.Properties) != 1 || !strings.HasPrefix(c.Properties[0].Value, "h1:") {
				t.Errorf("%+v", c)
			}
		case "std":
			found++
		}
	}
	if found != 2 {
		t.Errorf("%s", text)
	}
}

// A release of a small program that answers as weir does has all files, and their sums.
func TestReleaseHasAllFilesAndTheirSums(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	dir, out := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"CHANGELOG.md": "## 1.0.0\n", "go.mod": "module example.com/weir\n",
		"LICENSE": "may", "cmd/weir/main.go": "package main\n\nimport \"os\"\n\nvar version, commit string\n\n" +
			"func main() {\n" +
			"\tif os.Args[1] == \"man\" {\n\t\tos.Mkdir(os.Args[2], 0o755)\n" +
			"\t\tos.WriteFile(os.Args[2]+\"/weir.1\", []byte(version), 0o644)\n\t}\n\tos.Stdout.WriteString(os.Args[2])\n}\n"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, line := range []string{"init -q", "add -A", "-c user.name=a -c user.email=a@example.com commit -q -m a",
		"tag v1.0.0"} {
		if text, err := exec.Command("git", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", line, err, text)
		}
	}
	if err := run(t.Context(), out, []string{"linux/amd64", "windows/amd64"}); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"weir-1.0.0-1.x86_64.rpm", "weir_1.0.0_amd64.deb", "weir_1.0.0_linux_amd64.tar.gz",
		"weir_1.0.0_linux_amd64.cdx.json", "weir_1.0.0_windows_amd64.zip", "weir_1.0.0_windows_amd64.cdx.json"} {
		data, err := os.ReadFile(filepath.Join(out, name))
		line := fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name)
		if err != nil || !strings.Contains(string(sums), line) {
			t.Errorf("%s: %v; the sums are %s", name, err, sums)
		}
	}
	if strings.Count(string(sums), "\n") != 6 {
		t.Errorf("the sums are %s", sums)
	}
}
