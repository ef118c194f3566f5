//go:build !man

package main

import "github.com/spf13/cobra"

// manCommand returns nil, since this program writes no man pages.
func manCommand() *cobra.Command { return nil }
