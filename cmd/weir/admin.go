package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/weirlog/weir/internal/profile"
	"github.com/weirlog/weir/internal/visible"
)

// adminCommand returns the commands that manage weir's resources. They use only its API.
func adminCommand() *cobra.Command {
	admin := &cobra.Command{
		Use:   "admin",
		Short: "Manage organizations, projects, workspaces, credentials and logs, through the API",
		Long: `Admin manages organizations, projects, workspaces and credentials, and what is set up for their logs. It
uses the API, so it works from anywhere, with the environment variables that Atlas's tools use; most of it works
against MongoDB Atlas too.
` + exitHelp + `
MONGODB_ATLAS_ORG_ID names the organization.`,
	}
	addServerFlags(admin.PersistentFlags())
	for _, r := range resources() {
		group := &cobra.Command{Use: r.name, Aliases: r.aliases, Short: r.short}
		for _, v := range r.verbs {
			group.AddCommand(v.command(r))
		}
		for _, more := range r.more {
			group.AddCommand(more())
		}
		admin.AddCommand(group)
	}
	return admin
}

// resource is a kind of thing, with its verbs.
type resource struct {
	name    string
	aliases []string
	short   string
	verbs   []verb
	more    []func() *cobra.Command // commands that make several requests
}

// verb is one command of a resource.
type verb struct {
	use, short string
	args       cobra.PositionalArgs
	flags      []func(*pflag.FlagSet, *adminFlags)
	request    func(f *adminFlags, args []string) (request, error)
	columns    []column
}

// request is the request of a command.
type request struct {
	method string // if empty, all pages of a list
	path   string
	query  url.Values
	body   any
}

// adminFlags has the flags of all commands. Each command registers those that it needs.
type adminFlags struct {
	changed func(name string) bool
	target  profile.Target // organization and project, if no flag names them

	output, org, project                               string
	name, description, provider, region, tier, maxTier string
	key, serviceAccount, comment, retention, deleted   string
	ingestToken, workspace, file                       string
	roles, tags                                        []string
	hours                                              int
	requireOCSF, hold, public, force                   bool
	source                                             sourceFlags
	delivery                                           deliveryFlags
}

func (v verb) command(of resource) *cobra.Command {
	f := &adminFlags{}
	args := v.args
	if args == nil {
		args = cobra.NoArgs
	}
	cmd := &cobra.Command{Use: v.use, Short: v.short, Args: cobra.MatchAll(args, notEmpty),
		ValidArgsFunction: of.complete(v, f)}
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print the API's reply")
	if v.deletes() {
		cmd.Flags().BoolVar(&f.force, "force", false, "do not ask on a terminal")
		cmd.Long = v.short + ". On a terminal it asks first."
	}
	for _, add := range v.flags {
		add(cmd.Flags(), f)
	}
	for name, values := range map[string][]string{"output": {"json"}, "provider": {"AWS", "AZURE", "GCP"},
		"tier": {"SP2", "SP5", "SP10", "SP30", "SP50"}} {
		if cmd.Flags().Lookup(name) != nil {
			cobra.CheckErr(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values,
				cobra.ShellCompDirectiveNoFileComp)))
		}
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.changed = cmd.Flags().Changed
		return v.run(cmd, f, args)
	}
	return cmd
}

// deletes tells whether the command deletes something.
func (v verb) deletes() bool { return strings.HasPrefix(v.use, "delete") }

// confirm asks on a terminal whether to delete. If there is no terminal, it returns nil.
func confirm(cmd *cobra.Command, args []string) error {
	in := cmd.InOrStdin()
	if !isTerminal(in) {
		return nil
	}
	what := cmd.Parent().Name() + " " + strings.Join(args, " ")
	visible.Printf(cmd.ErrOrStderr(), "%s %s? Type yes to do it: ", strings.ReplaceAll(cmd.Name(), "-", " "), what)
	answer, err := bufio.NewReader(io.LimitReader(in, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was deleted")
	}
	return nil
}

// isTerminal tells whether a user can answer questions. Readers in tests say so themselves.
func isTerminal(in io.Reader) bool {
	switch in := in.(type) {
	case *os.File:
		return term.IsTerminal(int(in.Fd()))
	case interface{ IsTerminal() bool }:
		return in.IsTerminal()
	}
	return false
}

// notEmpty refuses empty arguments, for example from an unset variable, since they must not mean the value in the
// environment.
func notEmpty(_ *cobra.Command, args []string) error {
	if slices.Contains(args, "") {
		return errors.New("an argument is empty: was it an unset variable?")
	}
	return nil
}

func (v verb) run(cmd *cobra.Command, f *adminFlags, args []string) error {
	if f.output != "" && f.output != "json" {
		return &exit{2, errors.New("--output must be json or left out")}
	}
	var err error
	if f.target, err = targetOf(cmd); err != nil {
		return err
	}
	r, err := v.request(f, args)
	if err != nil {
		return &exit{2, err}
	}
	c, err := dial(cmd)
	if err != nil {
		return err
	}
	if v.deletes() && !f.force {
		if err := confirm(cmd, args); err != nil {
			return err
		}
	}
	if r.method == "" {
		items, err := c.List(cmd.Context(), r.path, r.query)
		if err != nil {
			return err
		}
		return printList(cmd.OutOrStdout(), f.output, items, v.columns)
	}
	reply, err := c.Call(cmd.Context(), r.method, r.path, r.query, r.body)
	if err != nil {
		return err
	}
	if r.method == http.MethodDelete {
		fmt.Fprintln(cmd.ErrOrStderr(), "deleted")
		return nil
	}
	if len(reply) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "done")
		return nil
	}
	return printOne(cmd.OutOrStdout(), f.output, reply, v.columns)
}

// orgPath returns a path in the organization.
func (f *adminFlags) orgPath(rest ...string) (string, error) {
	return scoped("/api/atlas/v2/orgs", cmp.Or(f.org, f.target.Organization),
		"organization: set MONGODB_ATLAS_ORG_ID or --org", rest)
}

// projectPath returns a path in the project.
func (f *adminFlags) projectPath(rest ...string) (string, error) {
	return scoped("/api/atlas/v2/groups", cmp.Or(f.project, f.target.Project),
		"project: set MONGODB_ATLAS_PROJECT_ID or --project", rest)
}

func scoped(base, id, missing string, rest []string) (string, error) {
	if id == "" {
		return "", errors.New("no " + missing)
	}
	path := base + "/" + url.PathEscape(id)
	for _, part := range rest {
		path += "/" + url.PathEscape(part)
	}
	return path, nil
}

// credentialPath returns a path of credentials, under the project if the command says so, and otherwise the
// organization.
func (f *adminFlags) credentialPath(rest ...string) (string, error) {
	if f.project != "" {
		return f.projectPath(rest...)
	}
	return f.orgPath(rest...)
}

// own changes a path of Atlas's API into one of weir's own API.
func own(path string, err error) (string, error) {
	return strings.Replace(path, "/api/atlas/v2/", "/api/weir/v1/", 1), err
}
