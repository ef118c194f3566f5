package main

import (
	"bytes"
	"crypto/md5"
	_ "embed"
	"fmt"
	"strings"

	"github.com/google/rpmpack"
)

const (
	summary     = "audit logs of stream processing, recorded durably, served as MongoDB Atlas serves them"
	description = "weir keeps the audit logs of stream processing workspaces as Merkle logs with signed checkpoints, " +
		"and serves them through the API that MongoDB Atlas has for them."
	homepage = "https://github.com/weirlog/weir"
	authors  = "The weir authors"
)

// What a package runs. Debian's and RPM's programs say with the first argument what happens.
var (
	//go:embed scripts/installed.sh
	installedScript string
	//go:embed scripts/removing.sh
	removingScript string
	//go:embed scripts/removed.sh
	removedScript string
)

// deb returns a package for Debian.
func (t tree) deb(p platform, files []file) (file, error) {
	size, sums := 0, strings.Builder{}
	for _, f := range sorted(files) {
		size += len(f.data)
		if f.name != settings {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.data), f.name)
		}
	}
	control := fmt.Sprintf("Package: weir\nVersion: %s\nArchitecture: %s\nMaintainer: %s <%s>\nInstalled-Size: %d\n"+
		"Depends: passwd\nSection: admin\nPriority: optional\nHomepage: %s\nDescription: %s\n %s\n",
		t.version, p.arch, authors, homepage, (size+1023)/1024, homepage, summary, description)
	about, err := tarred([]file{{"control", 0o644, []byte(control)}, {"conffiles", 0o644, []byte("/" + settings + "\n")},
		{"md5sums", 0o644, []byte(sums.String())}, {"postinst", 0o755, []byte(installedScript)},
		{"prerm", 0o755, []byte(removingScript)}, {"postrm", 0o755, []byte(removedScript)}}, t.time, true)
	if err != nil {
		return file{}, err
	}
	content, err := tarred(files, t.time, true)
	if err != nil {
		return file{}, err
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []file{{"debian-binary", 0, []byte("2.0\n")}, {"control.tar.gz", 0, packed(about)},
		{"data.tar.gz", 0, packed(content)}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, t.time.Unix(), 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return file{fmt.Sprintf("weir_%s_%s.deb", t.version, p.arch), 0o644, b.Bytes()}, nil
}

// rpm returns a package for RPM.
func (t tree) rpm(p platform, files []file) (file, error) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[p.arch]
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{Name: "weir", Version: t.version, Release: "1", Arch: arch, OS: "linux",
		Epoch: rpmpack.NoEpoch, Summary: summary, Description: description, URL: homepage, Packager: authors,
		Licence: "Apache-2.0", BuildTime: t.time, BuildHost: "localhost", Compressor: "gzip"})
	if err != nil {
		return file{}, err
	}
	for _, f := range files {
		kind := rpmpack.GenericFile
		switch {
		case f.name == settings:
			kind = rpmpack.ConfigFile | rpmpack.NoReplaceFile
		case strings.HasPrefix(f.name, "usr/share/doc/"):
			kind = rpmpack.DocFile
		}
		r.AddFile(rpmpack.RPMFile{Name: "/" + f.name, Body: f.data, Mode: uint(f.mode.Perm()) | 0o100000, Owner: "root",
			Group: "root", MTime: uint32(t.time.Unix()), Type: kind})
	}
	r.AddPostin(installedScript)
	r.AddPreun(removingScript)
	r.AddPostun(removedScript)
	var b bytes.Buffer
	err = r.Write(&b)
	return file{fmt.Sprintf("weir-%s-1.%s.rpm", t.version, arch), 0o644, b.Bytes()}, err
}
