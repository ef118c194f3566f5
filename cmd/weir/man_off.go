//go:build !man

package main

import "github.com/spf13/cobra"

// manCommand returns nil: the program writes no man pages.
func manCommand() *cobra.Command { return nil }
