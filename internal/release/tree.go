package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// tree is a commit that is checked out, without changes.
type tree struct {
	folder  string
	version string // such as 0.1.0; of a commit that has no tag of it 0.1.0+20261127100000.de596b1
	commit  string
	time    time.Time // of the commit
}

// readTree returns the tree in a folder. It fails for one with changes: nobody could make the same from its commit.
func readTree(ctx context.Context, folder string) (tree, error) {
	t := tree{folder: folder}
	changes, err := t.git(ctx, "status", "--porcelain")
	if err != nil {
		return t, err
	}
	if changes != "" {
		return t, fmt.Errorf("the tree has changes: commit or remove them\n%s", changes)
	}
	head, err := t.git(ctx, "log", "-1", "--format=%H %ct")
	if err != nil {
		return t, err
	}
	commit, seconds, _ := strings.Cut(head, " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return t, fmt.Errorf("the time of the commit: %w", err)
	}
	t.commit, t.time = commit, time.Unix(at, 0).UTC()
	tags, err := t.git(ctx, "tag", "--points-at", "HEAD", "v*")
	if err != nil {
		return t, err
	}
	changelog, err := os.ReadFile(filepath.Join(folder, "CHANGELOG.md"))
	if err != nil {
		return t, err
	}
	t.version, err = versionOf(changelog, strings.Fields(tags), t.commit, t.time)
	return t, err
}

// heading finds the versions in the changelog.
var heading = regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+)(?: |$)`)

// versionOf returns the version of a commit: the newest of the changelog, if the commit has its tag; else that with the
// time and the digest of the commit.
func versionOf(changelog []byte, tags []string, commit string, at time.Time) (string, error) {
	m := heading.FindSubmatch(changelog)
	if m == nil {
		return "", errors.New("CHANGELOG.md has no heading with a version, such as \"## 0.1.0\"")
	}
	version := string(m[1])
	switch {
	case len(tags) > 1 || len(tags) == 1 && tags[0] != "v"+version:
		return "", fmt.Errorf("the commit has the tag %s, and CHANGELOG.md the version %s", strings.Join(tags, " and "),
			version)
	case len(tags) == 1:
		return version, nil
	}
	return fmt.Sprintf("%s+%s.%.7s", version, at.Format("20060102150405"), commit), nil
}

// git returns the output of git, without the line feed at its end.
func (t tree) git(ctx context.Context, arguments ...string) (string, error) {
	var out bytes.Buffer
	err := t.run(ctx, &out, nil, "git", arguments...)
	return strings.TrimRight(out.String(), "\n"), err
}

// run runs a program in the tree, with some variables beside those of the environment.
func (t tree) run(ctx context.Context, out *bytes.Buffer, environ []string, name string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Dir, cmd.Env = t.folder, append(os.Environ(), environ...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if out != nil {
		cmd.Stdout = out
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, &stderr)
	}
	return nil
}
