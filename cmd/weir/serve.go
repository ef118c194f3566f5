package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/node"
)

func serveCommand() *cobra.Command {
	settings := config.Default()
	file := ""
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Record and serve audit logs",
		Long: `Serve records and serves audit logs, with all state in one bucket.

Each flag can also be set in the environment (--admin-listen is WEIR_ADMIN_LISTEN) and in a YAML file
(admin-listen: …); the command line wins over the environment, the environment over the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings.Complete(cmd.Flags(), configFile(cmd, file), os.LookupEnv); err != nil {
				return err
			}
			return node.Serve(cmd.Context(), settings, versionText(), cmd.OutOrStdout())
		},
	}
	settings.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "YAML `file` with settings (WEIR_CONFIG)")
	return cmd
}

// configFile returns the name of the YAML file, which may be in the environment.
func configFile(cmd *cobra.Command, file string) string {
	if !cmd.Flags().Changed("config") {
		return os.Getenv("WEIR_CONFIG")
	}
	return file
}

// onlyOrganization is the value of --recover-owner without an id.
const onlyOrganization = "the only one"

func initCommand() *cobra.Command {
	settings := config.Default()
	setup := node.Setup{}
	recovered := ""
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Fill an empty bucket with an organization, a project and its owner's credentials",
		Long: `Init fills an empty bucket with an organization, a project and its owner's credentials.

With --recover-owner it makes new credentials that own an organization of a bucket in use, if no owner can sign in any
more. It needs the bucket, the nodes' secret and the signing keys, and records an event in the organization's log. If
the bucket is a folder, stop weir first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings.Complete(cmd.Flags(), "", os.LookupEnv); err != nil {
				return err
			}
			if cmd.Flags().Changed("recover-owner") {
				id := recovered
				if id == onlyOrganization {
					id = ""
				}
				return node.RecoverOwner(cmd.Context(), settings, node.Recovery{Organization: id,
					EnvFile: setup.EnvFile}, versionText(), cmd.OutOrStdout())
			}
			return node.Init(cmd.Context(), settings, setup, cmd.OutOrStdout())
		},
	}
	settings.AddFlags(cmd.Flags(), config.Bucket, config.Store)
	settings.AddFlag(cmd.Flags(), "listen")
	cmd.Flags().StringVar(&setup.Organization, "organization", "weir", "`name` of the organization")
	cmd.Flags().StringVar(&setup.Project, "project", "default", "`name` of the project")
	cmd.Flags().StringVar(&setup.Workspace, "workspace", "default", "`name` of a first workspace; empty: none")
	cmd.Flags().StringVar(&setup.Origin, "origin", "",
		"`name` of the bucket in its logs' checkpoints, such as audit.example.com, which never changes (default: one that "+
			"no other bucket has)")
	cmd.Flags().BoolVar(&setup.IfEmpty, "if-empty", false,
		"leave a bucket that is initialised already as it is, without an error")
	cmd.Flags().StringVar(&recovered, "recover-owner", "",
		"make new owners of the organization with this `ID`; without one, of the only organization")
	cmd.Flags().Lookup("recover-owner").NoOptDefVal = onlyOrganization
	cmd.Flags().StringVar(&setup.EnvFile, "env-file", "", "`file` to write the credentials to, instead of showing them")
	return cmd
}
