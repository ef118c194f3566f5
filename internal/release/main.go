// Command release makes the files of a release from a clean tree, by
//
//	go run ./internal/release
//
// into the folder dist: for each platform an archive with the program, its documents, man pages and completion, and a
// list of what the program consists of (CycloneDX); packages for Debian and for RPM; and SHA256SUMS. The same commit
// and the same Go give the same bytes, on whatever machine and in whatever folder.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// platforms are those that releases are for.
const platforms = "darwin/amd64,darwin/arm64,freebsd/amd64,freebsd/arm64,linux/amd64,linux/arm64,windows/amd64," +
	"windows/arm64"

func main() {
	out := flag.String("o", "dist", "folder to write to; what is in it stays, unless it has the name of a new file")
	only := flag.String("platforms", platforms, "which platforms, with commas between them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, platforms []string) error {
	t, err := readTree(ctx, ".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	common, err := t.commonFiles(ctx)
	if err != nil {
		return err
	}
	sums := make([][]string, len(platforms))
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(2) // While one is linked and packed, which takes one processor, the next is compiled.
	for i, text := range platforms {
		all.Go(func() (err error) {
			sums[i], err = t.write(ctx, out, text, common)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return writeSums(out, slices.Concat(sums...))
}

// write makes the files of a platform, and returns their lines of SHA256SUMS.
func (t tree) write(ctx context.Context, out, name string, common common) (sums []string, err error) {
	p, err := parsePlatform(name)
	if err != nil {
		return nil, err
	}
	made, err := t.release(ctx, p, common)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	for _, f := range made {
		if err := os.WriteFile(filepath.Join(out, f.name), f.data, 0o644); err != nil {
			return nil, err
		}
		sum := fmt.Sprintf("%x  %s", sha256.Sum256(f.data), f.name)
		sums = append(sums, sum)
		fmt.Println(sum)
	}
	return sums, nil
}

func writeSums(out string, sums []string) error {
	slices.SortFunc(sums, func(a, b string) int { return strings.Compare(a[2*sha256.Size:], b[2*sha256.Size:]) })
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(strings.Join(sums, "\n")+"\n"), 0o644)
}

// release returns the files of a release for a platform.
func (t tree) release(ctx context.Context, p platform, common common) ([]file, error) {
	program, err := t.build(ctx, p)
	if err != nil {
		return nil, err
	}
	base := fmt.Sprintf("weir_%s_%s_%s", t.version, p.os, p.arch)
	bom, err := t.bom(program)
	if err != nil {
		return nil, err
	}
	archive, err := t.archive(p, base, append(common.archived(), file{p.program(), 0o755, program}))
	if err != nil {
		return nil, err
	}
	made := []file{archive, {base + ".cdx.json", 0o644, bom}}
	if p.os != "linux" {
		return made, nil
	}
	debian, err := t.deb(p, append(common.installed("vendor-completions"), file{"usr/bin/weir", 0o755, program}))
	if err != nil {
		return nil, err
	}
	rpm, err := t.rpm(p, append(common.installed("site-functions"), file{"usr/bin/weir", 0o755, program}))
	return append(made, debian, rpm), err
}
