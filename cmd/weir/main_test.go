package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary be weir when it is asked to, so that tests run the real program in a process of its
// own.
func TestMain(m *testing.M) {
	if os.Getenv("WEIR_TEST_BE_WEIR") != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"weir": func() {
		completionTime = time.Minute
		main()
	}})
}

// TestScripts runs the programs of testdata through the front door: a shell's commands, curl, zcat. With -short it runs
// the main roads.
func TestScripts(t *testing.T) {
	p := testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"source": source, "interrupt": interrupt},
	}
	if testing.Short() {
		p.Dir = ""
		for _, name := range []string{"init", "serve"} {
			p.Files = append(p.Files, filepath.Join("testdata", name+".txtar"))
		}
	}
	testscript.Run(t, p)
}

// TestOutsideTools runs programs of others against weir. Where WEIR_OUTSIDE_TOOLS is not set they are not expected to
// be installed; .ci/run installs them and sets it.
func TestOutsideTools(t *testing.T) {
	dir := "testdata/outside"
	if os.Getenv("WEIR_OUTSIDE_TOOLS") == "" {
		t.Logf("WEIR_OUTSIDE_TOOLS is not set: the scripts in %s are left out", dir)
		return
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, Setup: func(e *testscript.Env) error {
			e.Setenv("NODE_PATH", os.Getenv("NODE_PATH"))
			docs, err := filepath.Abs("../../docs")
			e.Setenv("DOCS", docs)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"source": source, "interrupt": interrupt},
	})
}

// source FILE waits until a server has written its environment file, and sets the variables in it.
func source(ts *testscript.TestScript, _ bool, args []string) {
	var data []byte
	wait(ts, "the file "+args[0], func() bool {
		var err error
		data, err = os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Check(err)
		}
		return err == nil
	})
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		if ok {
			ts.Setenv(name, strings.Trim(value, "'"))
		}
	}
}

// interrupt NAME asks a background program to stop and waits until it has.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("sh", "-c", "kill -TERM $(sed -n 's/^pid //p' "+args[0]+"/.lock)"))
}

func wait(ts *testscript.TestScript, what string, there func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("waited in vain for %s", what)
		}
	}
}
