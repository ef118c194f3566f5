package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/visible"
)

// Completion asks the server for candidates. After any error it silently offers only what it knows without the server.
const (
	mostOffered  = 500
	longestAbout = 60 // characters
)

// completionTime bounds all requests of a completion, so that a shell waits 300 ms at most. Tests give more: they ask
// what is offered, on machines that are busy.
var completionTime = 250 * time.Millisecond

// candidate is a possible word, with a description.
type candidate struct{ word, about string }

// asked is the context of a completion.
type asked struct {
	*client.Client
	org, project         string // ids, or empty
	orgNamed, inAProject bool   // whether a flag names it
}

// lister finds candidates.
type lister func(context.Context, asked) []candidate

// offer returns a completion by several listers, which run concurrently.
func offer(listers ...lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return completions(typed, "", slices.Concat(askServer(cmd, listers...)...)), cobra.ShellCompDirectiveNoFileComp
	}
}

// first completes the first argument by listers, and later ones as rest says.
func first(rest cobra.ShellCompDirective, listers ...lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, rest
		}
		return offer(listers...)(cmd, args, typed)
	}
}

// askServer returns what each lister finds in time.
func askServer(cmd *cobra.Command, listers ...lister) [][]candidate {
	found := make([][]candidate, len(listers))
	c, t, err := dialTarget(cmd)
	if err != nil {
		return found
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	org, project := flagValue(cmd, "org"), flagValue(cmd, "project")
	a := asked{c, cmp.Or(org, t.Organization), cmp.Or(project, t.Project), org != "", project != ""}
	var all errgroup.Group
	for i, list := range listers {
		all.Go(func() error {
			found[i] = list(ctx, a)
			return nil
		})
	}
	all.Wait()
	return found
}

func flagValue(cmd *cobra.Command, name string) string {
	if f := cmd.Flag(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// plain matches words that are safe in a shell without quotes, whatever their source.
var plain = regexp.MustCompile(`^[\pL\pN._:/@][\pL\pN._:/@-]*$`)

// completions returns the candidates that begin with typed, without duplicates, each after before. It leaves out words
// that are not safe in a shell.
func completions(typed, before string, found []candidate) (all []cobra.Completion) {
	there := map[string]bool{}
	for _, c := range found {
		if len(all) == mostOffered {
			break
		}
		if there[c.word] || !strings.HasPrefix(c.word, typed) || !plain.MatchString(c.word) {
			continue
		}
		there[c.word] = true
		about := []rune(visible.Text(c.about))
		all = append(all, cobra.CompletionWithDesc(before+c.word, string(about[:min(len(about), longestAbout)])))
	}
	return all
}

// ofList returns a lister of a list. The words and their descriptions come from columns. If path returns "", it is not
// known which list is meant.
func ofList(path func(asked) string, word column, about ...column) lister {
	return func(ctx context.Context, a asked) []candidate {
		p := path(a)
		if p == "" {
			return nil
		}
		return fromList(ctx, a.Client, p, word, about...)
	}
}

func fromList(ctx context.Context, c *client.Client, path string, word column, about ...column) (found []candidate) {
	reply, err := c.Call(ctx, http.MethodGet, path, url.Values{"itemsPerPage": {strconv.Itoa(mostOffered)}}, nil)
	if err != nil {
		return nil
	}
	var page struct {
		Results []any `json:"results"`
	}
	if json.Unmarshal(reply, &page) != nil {
		return nil
	}
	for _, item := range page.Results {
		var texts []string
		for _, column := range about {
			if text := column.value(item); text != "-" {
				texts = append(texts, text)
			}
		}
		found = append(found, candidate{word.value(item), strings.Join(texts, " ")})
	}
	return found
}

const atlasAPI, weirAPI = "/api/atlas/v2/", "/api/weir/v1/"

func inside(base, id, rest string) string {
	if id == "" {
		return ""
	}
	return base + url.PathEscape(id) + rest
}

var (
	listOrganizations = ofList(func(asked) string { return atlasAPI + "orgs" }, col("", "id"), col("", "name"))
	listProjects      = ofList(func(asked) string { return atlasAPI + "groups" }, col("", "id"), col("", "name"))
	listWorkspaces    = ofList(func(a asked) string { return inside(atlasAPI+"groups/", a.project, "/streams") },
		col("", "name"), col("", "dataProcessRegion.cloudProvider"), col("", "dataProcessRegion.region"))
	listKeys = ofList(func(a asked) string { return inside(atlasAPI+"orgs/", a.org, "/apiKeys") }, col("", "id"),
		col("", "desc"))
	listServiceAccounts = ofList(serviceAccountsPath, col("", "clientId"), col("", "name"))
	listIngestTokens    = ofList(func(a asked) string { return inside(weirAPI+"groups/", a.project, "/ingestTokens") },
		col("", "id"), col("", "name"))
	listLogs = ofList(logsPath, col("", "logId"), col("", "kind"), col("", "workspaceName"), col("", "state"))
)

func logsPath(a asked) string {
	if a.orgNamed {
		return inside(weirAPI+"orgs/", a.org, "/logs")
	}
	return inside(weirAPI+"groups/", a.project, "/logs")
}

func serviceAccountsPath(a asked) string {
	if a.inAProject {
		return inside(atlasAPI+"groups/", a.project, "/serviceAccounts")
	}
	return inside(atlasAPI+"orgs/", a.org, "/serviceAccounts")
}

// listFields lists the fields of events that the server knows.
func listFields(ctx context.Context, a asked) (found []candidate) {
	if a.project == "" {
		return nil
	}
	fields, err := a.Fields(ctx, client.Question{Project: a.project})
	if err != nil {
		return nil
	}
	for _, f := range fields {
		found = append(found, candidate{f.Field, strings.Join(f.Types, " ")})
	}
	return found
}

// withAliases returns the aliases and the fields that the server knows.
func withAliases(fields []candidate) (all []candidate) {
	for _, alias := range query.Aliases() {
		all = append(all, candidate{alias, "alias"})
	}
	return append(all, fields...)
}

// completeFields completes the last field in a comma-separated list.
func completeFields(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	at := strings.LastIndexByte(typed, ',') + 1
	return completions(typed[at:], typed[:at], withAliases(askServer(cmd, listFields)[0])),
		cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// lastTerm matches the field of a query's last term while it is typed.
var lastTerm = regexp.MustCompile(`(?s)^(|.*[\s(])(-?)([^\s:"()]*)$`)

// completeQuery completes [WORKSPACE] QUERY: a workspace, or the field of the query's last term.
func completeQuery(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	term := lastTerm.FindStringSubmatch(typed)
	switch {
	case len(args) > 1 || len(args) == 1 && term == nil:
		return nil, none
	case len(args) == 1:
		return completeTerm(term, askServer(cmd, listFields)[0]), none | cobra.ShellCompDirectiveNoSpace
	case typed == "":
		return offer(listWorkspaces)(cmd, args, typed)
	}
	found := askServer(cmd, listWorkspaces, listFields)
	workspaces := completions(typed, "", found[0])
	if term == nil || len(workspaces) > 0 {
		return workspaces, none
	}
	return completeTerm(term, found[1]), none | cobra.ShellCompDirectiveNoSpace
}

// completeTerm completes the field of a term, as lastTerm finds it.
func completeTerm(term []string, fields []candidate) []cobra.Completion {
	fields = withAliases(fields)
	for i := range fields {
		fields[i].word += ":"
	}
	return completions(term[3], term[1]+term[2], fields)
}

// completeProfile completes the name of a profile.
func completeProfile(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := loadProfiles()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []candidate
	for name, p := range all {
		found = append(found, candidate{name, p.URL})
	}
	slices.SortFunc(found, func(a, b candidate) int { return strings.Compare(a.word, b.word) })
	return completions(typed, "", found), cobra.ShellCompDirectiveNoFileComp
}

// completeRole completes a role: on a project if the command is for a project, and otherwise on the organization.
func completeRole(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	onProject := flagValue(cmd, "project") != "" || cmd.Flags().Lookup("org") == nil
	var found []candidate
	for _, role := range account.Roles(!onProject) {
		found = append(found, candidate{string(role), ""})
	}
	return completions(typed, "", found), cobra.ShellCompDirectiveNoFileComp
}

// argumentCompletions are the completions of arguments, by the path of the command. "weir admin" has its own.
var argumentCompletions = map[string]cobra.CompletionFunc{
	"weir download": first(cobra.ShellCompDirectiveNoFileComp, listWorkspaces),
	"weir follow":   first(cobra.ShellCompDirectiveNoFileComp, listWorkspaces),
	"weir record":   first(cobra.ShellCompDirectiveDefault, listWorkspaces),
	"weir search":   completeQuery,
	"weir summary":  completeQuery,
	"weir export":   completeQuery,
	"weir tail":     completeQuery,
	"weir watch":    offer(listLogs),
}

// flagCompletions are the completions of flags of commands that use the API, by the name of the flag.
var flagCompletions = map[string]cobra.CompletionFunc{
	"org":     offer(listOrganizations),
	"project": offer(listProjects),
	"log":     offer(listLogs),
	"fields":  completeFields,
	"by":      completeFields,
	"columns": completeFields,
}

// adminCompletions are the completions of flags of commands below "weir admin".
var adminCompletions = map[string]cobra.CompletionFunc{
	"org":             offer(listOrganizations),
	"project":         offer(listProjects),
	"key":             offer(listKeys),
	"service-account": offer(listServiceAccounts),
	"ingest-token":    offer(listIngestTokens),
	"workspace":       offer(listWorkspaces),
	"role":            completeRole,
}

// addCompletion adds completions to a command, and to all below it.
func addCompletion(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		addCompletion(sub)
	}
	if complete, ok := argumentCompletions[cmd.CommandPath()]; ok {
		cmd.ValidArgsFunction = complete
	}
	byFlag := map[string]cobra.CompletionFunc{}
	switch {
	case strings.HasPrefix(cmd.CommandPath(), "weir admin "):
		byFlag = adminCompletions
	case cmd.Name() == "verify": // its --log is in a bucket
		byFlag["org"], byFlag["project"] = offer(listOrganizations), offer(listProjects)
	case cmd.Flag(profileFlag) != nil && cmd.Name() != "login": // it has no server yet
		byFlag = flagCompletions
	}
	for name, complete := range byFlag {
		if cmd.LocalNonPersistentFlags().Lookup(name) != nil {
			cobra.CheckErr(cmd.RegisterFlagCompletionFunc(name, complete))
		}
	}
	if cmd.LocalFlags().Lookup(profileFlag) != nil && (!cmd.HasParent() || cmd.Parent().Flag(profileFlag) == nil) {
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(profileFlag, completeProfile))
	}
}

// complete returns the completion for the argument of a verb, if it names one of the things in the resource's own list.
func (r resource) complete(v verb, f *adminFlags) cobra.CompletionFunc {
	at := slices.IndexFunc(r.verbs, func(v verb) bool { return v.use == "list" })
	name, argument, takes := strings.Cut(v.use, " ")
	if at < 0 || !takes || name == "create" {
		return cobra.NoFileCompletions
	}
	if r.name == "log" {
		return first(cobra.ShellCompDirectiveNoFileComp, listLogs) // including those of an organization
	}
	all := r.verbs[at]
	words := max(0, slices.IndexFunc(all.columns, func(c column) bool { return c.heading == argument }))
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var err error
		if f.target, err = targetOf(cmd); err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		scope := *f
		if name == "assign" {
			scope.project = "" // the assigned credentials are those of the organization
		}
		list, err := all.request(&scope, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(func(ctx context.Context, a asked) []candidate {
			return fromList(ctx, a.Client, list.path, all.columns[words], all.columns[1:min(3, len(all.columns))]...)
		})(cmd, args, typed)
	}
}
