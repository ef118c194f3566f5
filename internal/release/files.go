package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// file is a file of a release, an archive or a package. Its name has no '/' at its beginning.
type file struct {
	name string
	mode fs.FileMode // permissions
	data []byte
}

// common are the files that are the same for all platforms.
type common struct {
	documents  []file            // of the tree: README.md, docs/…
	deploy     []file            // deploy/…
	man        []file            // weir.1, …
	completion map[string][]byte // by shell
}

// shells have completion.
var shells = []string{"bash", "fish", "powershell", "zsh"}

// commonFiles reads the files from the tree, and has the program write man pages and completion.
func (t tree) commonFiles(ctx context.Context) (common, error) {
	c := common{completion: map[string][]byte{}}
	names, err := t.git(ctx, "ls-files", ":(glob)*.md", "LICENSE", ":(glob)docs/*.md", ":(glob)deploy/*")
	if err != nil {
		return c, err
	}
	for _, name := range strings.Fields(names) {
		data, err := os.ReadFile(filepath.Join(t.folder, name))
		if err != nil {
			return c, err
		}
		f := file{name, 0o644, data}
		if strings.HasPrefix(name, "deploy/") {
			c.deploy = append(c.deploy, f)
		} else {
			c.documents = append(c.documents, f)
		}
	}
	return c, t.helped(ctx, func(program, folder string) error {
		for _, shell := range shells {
			var out bytes.Buffer
			if err := t.run(ctx, &out, nil, program, "completion", shell); err != nil {
				return err
			}
			c.completion[shell] = out.Bytes()
		}
		manFolder := filepath.Join(folder, "man")
		if err := t.run(ctx, nil, []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(t.time.Unix(), 10)}, program, "man",
			manFolder); err != nil {
			return err
		}
		pages, err := os.ReadDir(manFolder)
		for _, page := range pages {
			data, readErr := os.ReadFile(filepath.Join(manFolder, page.Name()))
			if readErr != nil {
				return readErr
			}
			c.man = append(c.man, file{page.Name(), 0o644, data})
		}
		if err == nil && len(c.man) == 0 {
			err = fmt.Errorf("%s man made no pages", program)
		}
		return err
	})
}

// archived returns the files as they lie in an archive.
func (c common) archived() []file {
	all := slices.Concat(c.documents, c.deploy)
	for _, page := range c.man {
		all = append(all, file{"man/man1/" + page.name, page.mode, page.data})
	}
	for shell, name := range map[string]string{"bash": "weir.bash", "fish": "weir.fish", "powershell": "weir.ps1",
		"zsh": "_weir"} {
		all = append(all, file{"completion/" + name, 0o644, c.completion[shell]})
	}
	return all
}

// installed returns the files as a package of Linux has them. Where zsh looks for completion of packages differs.
func (c common) installed(zsh string) []file {
	const documents = "usr/share/doc/weir/"
	var all []file
	for _, f := range c.documents {
		name := documents + strings.TrimPrefix(f.name, "docs/")
		if f.name == "LICENSE" {
			name = documents + "copyright"
		}
		all = append(all, file{name, f.mode, f.data})
	}
	for _, f := range c.deploy {
		name := documents + "examples/" + strings.TrimPrefix(f.name, "deploy/")
		switch f.name {
		case "deploy/weir.service":
			name = "usr/lib/systemd/system/weir.service"
		case "deploy/weir.sysusers":
			name = "usr/lib/sysusers.d/weir.conf"
		case "deploy/weir.yaml":
			name = settings
		}
		all = append(all, file{name, f.mode, f.data})
	}
	for _, page := range c.man {
		all = append(all, file{"usr/share/man/man1/" + page.name + ".gz", page.mode, packed(page.data)})
	}
	for shell, name := range map[string]string{"bash": "bash-completion/completions/weir",
		"fish": "fish/vendor_completions.d/weir.fish", "zsh": "zsh/" + zsh + "/_weir"} {
		all = append(all, file{"usr/share/" + name, 0o644, c.completion[shell]})
	}
	return all
}

// settings is the file with weir's settings, which belongs to the machine: an upgrade does not replace what was
// changed.
const settings = "etc/weir.yaml"

// sorted returns files by name.
func sorted(files []file) []file {
	return slices.SortedFunc(slices.Values(files), func(a, b file) int { return strings.Compare(a.name, b.name) })
}

// packed returns data as a .gz file, without a name or a time.
func packed(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data) // A buffer takes all.
	z.Close()
	return b.Bytes()
}
