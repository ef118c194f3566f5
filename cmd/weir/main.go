// Command weir keeps and serves audit logs of stream processing, as MongoDB Atlas's API does.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/visible"
)

// version and commit are set by the linker for releases.
var version, commit = "", ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs a command. Control characters in its output cannot affect the terminal.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetOut(visible.NewWriter(stdout))
	root.SetErr(visible.NewWriter(stderr))
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd) {
		root.SetErr(io.Discard) // a shell asks while the user types
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(root.ErrOrStderr(), "weir:", visible.Lines(err.Error()))
	var e *exit
	if errors.As(err, &e) {
		return e.code
	}
	if errors.As(err, new(*config.Error)) {
		return 2
	}
	return exitCode(err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Audit logs of stream processing: recorded durably, served as MongoDB Atlas serves them",
		Long: `weir keeps the audit logs of stream processing workspaces and serves them through the API that MongoDB Atlas
has for them, so that curl, Atlas's CLI and its SDKs work against it unchanged.`,
		Version: versionText(), SilenceUsage: true, SilenceErrors: true,
	}
	root.SetVersionTemplate("weir {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exit{2, fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath())}
	})
	root.AddCommand(serveCommand(), initCommand(), downloadCommand(), recordCommand(), collectCommand(),
		verifyCommand(), proveCommand(), searchCommand(), summaryCommand(), exportCommand(), tailCommand(),
		followCommand(), watchCommand(), alertCommand(), keyCommand(), bucketCommand(), adminCommand(),
		loginCommand(), logoutCommand(), profileCommand(), versionCommand())
	if man := manCommand(); man != nil {
		root.AddCommand(man)
	}
	addExamples(root)
	addCompletion(root)
	checkUsage(root)
	return root
}

// exit is an error with an exit status.
type exit struct {
	code int
	error
}

func (e *exit) Unwrap() error { return e.error }

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command,
		_ []string) error {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "weir", versionText())
		return err
	}}
}

// versionText returns the version and the commit of the program.
func versionText() string {
	v, from := version, cmp.Or(commit, "unknown commit")
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v == "" {
		v = info.Main.Version
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			from = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	return fmt.Sprintf("%s (%s%s, %s)", v, from, modified, info.GoVersion)
}
