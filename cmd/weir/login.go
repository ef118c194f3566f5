package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/profile"
	"github.com/weirlog/weir/internal/visible"
)

func loginCommand() *cobra.Command {
	var p profile.Profile
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Keep a server and a credential for it as a profile",
		Long: `Login asks for the URL of a server, and for the client id and secret of a service account or the public
and private key of an API key. It tries them on the server, and keeps them as the profile that --profile
names (default "default"). A profile of the same name is replaced. On a terminal the secret is not shown.
Otherwise the answers are lines of standard input: the URL, unless --url gives it, the id and the secret.

The file is weir/profiles.json in the user's folder for configuration; nobody else may read it. With
--profile a command uses the server and the credential of the profile, and not those in the environment.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return login(cmd, p) },
	}
	addProfileFlag(cmd)
	cmd.Flags().StringVar(&p.URL, "url", "", "`URL` of the server")
	cmd.Flags().StringVar(&p.CAFile, caFlag, "",
		"PEM `file` of certificate authorities to trust besides the system's; the profile keeps its name")
	cmd.Flags().StringVar(&p.Organization, "org", "", "`id` of the organization, if a command names none")
	cmd.Flags().StringVar(&p.Project, "project", "", "`id` of the project, if a command names none")
	cmd.Flags().StringVar(&p.Workspace, "workspace", "",
		"`name` of the workspace to download and to follow, if a command names none")
	return cmd
}

// addProfileFlag adds the flag of a command that changes a profile.
func addProfileFlag(cmd *cobra.Command) {
	cmd.Flags().String(profileFlag, "", "`name` of the profile (default WEIR_PROFILE, else \"default\")")
}

// profileOf returns the name of the profile that a command changes.
func profileOf(cmd *cobra.Command) (string, error) {
	name := cmp.Or(cmd.Flag(profileFlag).Value.String(), os.Getenv(profile.Variable), profile.Default)
	if err := profile.CheckName(name); err != nil {
		return "", &exit{2, err}
	}
	return name, nil
}

func login(cmd *cobra.Command, p profile.Profile) error {
	name, err := profileOf(cmd)
	if err != nil {
		return err
	}
	if p.Workspace != "" && p.Project == "" {
		return &exit{2, errors.New("--workspace needs --project")}
	}
	file, err := profile.Home()
	if err == nil {
		_, err = file.Load() // before any question
	}
	if err == nil && p.CAFile != "" {
		p.CAFile, err = filepath.Abs(p.CAFile)
	}
	if err != nil {
		return &exit{2, err}
	}
	if err := askForCredential(cmd, &p); err != nil {
		return err
	}
	warnWithoutTLS(cmd, p.URL)
	c, err := newClient(p.Config())
	if err != nil {
		return err
	}
	if err := p.Try(cmd.Context(), c); err != nil {
		return fmt.Errorf("profile %s was not kept: %w", name, err)
	}
	if err := file.Put(name, p); err != nil {
		return err
	}
	visible.Printf(cmd.ErrOrStderr(), "profile %s: %s as %s, kept in %s\n", name, p.URL, p.Identity(), file.Name)
	return nil
}

// askForCredential asks for the server, if no flag names it, and for a credential.
func askForCredential(cmd *cobra.Command, p *profile.Profile) error {
	from, err := newAsker(cmd)
	if err != nil {
		return err
	}
	defer from.end()
	if p.URL == "" {
		if p.URL, err = from.ask("URL of the server (empty: " + client.Atlas + "): "); err != nil {
			return err
		}
	}
	p.URL = cmp.Or(p.URL, client.Atlas)
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return &exit{2, errors.New("the URL of the server is malformed: want https://… or http://…")}
	}
	id, err := from.ask("Client id of a service account, or public key of an API key: ")
	if err != nil {
		return err
	}
	secret, err := from.secret("Its secret, or the private key (it is not shown): ")
	if err != nil {
		return err
	}
	if id == "" || secret == "" {
		return &exit{2, errors.New("the id or the secret is empty")}
	}
	p.SetCredential(id, secret)
	return nil
}

// warnWithoutTLS warns if the connection to a server on another machine is not encrypted.
func warnWithoutTLS(cmd *cobra.Command, server string) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return
	}
	if address, err := netip.ParseAddr(u.Hostname()); err != nil || !address.IsLoopback() {
		visible.Printf(cmd.ErrOrStderr(), "weir: %s is used without TLS: others on the network can read what is sent\n",
			u.Host)
	}
}

func logoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "Remove a profile and the secret in it",
		Long: `Logout removes the profile that --profile names (default "default") from this machine. The
credential stays valid: "weir admin service-account delete-secret" and "weir admin key delete" end it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := profileOf(cmd)
			if err != nil {
				return err
			}
			file, err := profile.Home()
			if err == nil {
				err = file.Remove(name)
			}
			if err != nil {
				return &exit{2, err}
			}
			visible.Printf(cmd.ErrOrStderr(), "profile %s is removed\n", name)
			return nil
		},
	}
	addProfileFlag(cmd)
	return cmd
}

func profileCommand() *cobra.Command {
	group := &cobra.Command{Use: "profile", Short: "Show the profiles that \"weir login\" made"}
	format := ""
	list := &cobra.Command{
		Use:   "list",
		Short: "List profiles, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "" && format != "json" {
				return &exit{2, errors.New("--output must be json or left out")}
			}
			return listProfiles(cmd, format)
		},
	}
	list.Flags().StringVarP(&format, "output", "o", "", "json: print the profiles as JSON")
	group.AddCommand(list)
	return group
}

func listProfiles(cmd *cobra.Command, format string) error {
	file, err := profile.Home()
	if err != nil {
		return &exit{2, err}
	}
	all, err := file.Load()
	if err != nil {
		return &exit{2, err}
	}
	items, err := profile.Shown(all)
	if err != nil {
		return err
	}
	return printList(cmd.OutOrStdout(), format, items, []column{col("NAME", "name"), col("SERVER", "url"),
		col("AS", "identity"), col("ORGANIZATION", "organization"), col("PROJECT", "project"),
		col("WORKSPACE", "workspace")})
}
