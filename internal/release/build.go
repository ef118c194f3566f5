package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// platform is an operating system and a processor, as Go names them.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

func parsePlatform(text string) (platform, error) {
	if !strings.Contains(","+platforms+",", ","+text+",") {
		return platform{}, fmt.Errorf("%q is no platform of a release: want one of %s", text, platforms)
	}
	system, processor, _ := strings.Cut(text, "/")
	return platform{system, processor}, nil
}

// program returns the name of the program's file.
func (p platform) program() string {
	if p.os == "windows" {
		return "weir.exe"
	}
	return "weir"
}

// buildSettings are those that say which bytes come out. They win over the environment.
var buildSettings = []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0",
	"GOFIPS140=off"}

// build returns the program for a platform. Go itself would write into it whether the folder is a clone.
func (t tree) build(ctx context.Context, p platform) ([]byte, error) {
	return t.goBuild(ctx, p, "")
}

func (t tree) goBuild(ctx context.Context, p platform, tags string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "weir-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	name := filepath.Join(folder, p.program())
	stamp := "-ldflags=-s -w -X main.version=" + t.version + " -X main.commit=" + t.commit
	err = t.run(ctx, nil, append(buildSettings, "GOOS="+p.os, "GOARCH="+p.arch), "go", "build", "-mod=readonly",
		"-trimpath", "-buildvcs=false", "-tags="+tags, stamp, "-o", name, "./cmd/weir")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// helped calls use with a program for this machine that can write man pages too.
func (t tree) helped(ctx context.Context, use func(program, folder string) error) error {
	data, err := t.goBuild(ctx, platform{runtime.GOOS, runtime.GOARCH}, "man")
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "weir-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "weir")
	if err := os.WriteFile(program, data, 0o700); err != nil {
		return err
	}
	return use(program, folder)
}
