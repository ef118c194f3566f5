package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// checkUsage makes wrong arguments of a command, and of all below it, usage errors. An unknown command of a group is a
// usage error too: cobra would print the group's help and succeed.
func checkUsage(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		checkUsage(sub)
	}
	args := cmd.Args
	if cmd.HasSubCommands() {
		args = unknownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.DisableFlagsInUseLine = true
	}
	if args == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return &exit{2, fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath())}
		}
		return nil
	}
}

// unknownCommand refuses arguments of a group of commands, since no command has this name.
func unknownCommand(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	suggestion := ""
	if similar := cmd.SuggestionsFor(given[0]); len(similar) > 0 {
		suggestion = ", did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q%s", given[0], cmd.CommandPath(), suggestion)
}
