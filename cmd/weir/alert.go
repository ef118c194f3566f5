package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/alert/rulefile"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/visible"
)

func fileFlag(s *pflag.FlagSet, f *adminFlags) {
	s.StringVarP(&f.file, "file", "f", "", "`file` of YAML")
}

func alertVerbs() []verb {
	columns := []column{col("ID", "id"), col("NAME", "name"), col("KIND", "kind"), col("SEVERITY", "severity"),
		col("QUERY", "query"), col("SINCE", "evaluatedSince"), col("DISABLED", "disabled")}
	status := []column{col("NAME", "name"), col("STATE", "state"), col("EVALUATED TO", "evaluatedTo"),
		col("ALERTS", "alerts.cause"), col("SINCE", "alerts.from"), col("TROUBLE", "alerts.text"),
		col("NOTIFIERS", "alerts.notifications.notifier"), col("ERROR", "alerts.notifications.error")}
	path := func(rest ...string) func(*adminFlags, []string) (string, error) {
		return func(f *adminFlags, args []string) (string, error) {
			return own(f.projectPath(append(append([]string{"alerts"}, args...), rest...)...))
		}
	}
	return []verb{
		{"list", "List the rules of a project", nil, flagsOf{projectFlag}, list(path()), columns},
		{"create", "Create a rule from a file", nil, flagsOf{projectFlag, fileFlag}, send("POST", path(), oneDocument),
			columns},
		{"describe RULE", "Show a rule, by name or id", one, flagsOf{projectFlag}, ask("GET", path()), columns},
		{"status RULE", "Show how far a rule is evaluated, its alerts, and which notifiers were told", one,
			flagsOf{projectFlag}, ask("GET", path("status")), status},
		{"delete RULE", "Delete a rule; its alerts end", one, flagsOf{projectFlag}, ask("DELETE", path()), nil},
	}
}

func alertNotifierVerbs() []verb {
	columns := []column{col("ID", "id"), col("NAME", "name"), col("TYPE", "type"), col("TO", "url", "to"),
		col("SECRET", "secret", "maskedSecret")}
	path := func(f *adminFlags, args []string) (string, error) {
		return own(f.projectPath(append([]string{"alertNotifiers"}, args...)...))
	}
	here := func(f *adminFlags, _ []string) (string, error) { return path(f, nil) }
	return []verb{
		{"list", "List the notifiers of a project", nil, flagsOf{projectFlag}, list(here), columns},
		{"create", "Create a notifier from a file; the secret of a webhook is shown this once", nil,
			flagsOf{projectFlag, fileFlag}, send("POST", here, oneDocument), columns},
		{"describe NOTIFIER", "Show a notifier, by name or id", one, flagsOf{projectFlag}, ask("GET", path), columns},
		{"update NOTIFIER", "Change the attributes of a notifier that a file has", one, flagsOf{projectFlag, fileFlag},
			send("PATCH", path, oneDocument), columns},
		{"delete NOTIFIER", "Delete a notifier that no rule names", one, flagsOf{projectFlag}, ask("DELETE", path), nil},
	}
}

// maxDocument bounds an input file, in bytes.
const maxDocument = 1 << 20

// oneDocument returns the only document in the file that --file names.
func oneDocument(f *adminFlags, _ []string) (any, error) {
	if f.file == "" {
		return nil, errors.New("name a file with --file")
	}
	in, err := os.Open(f.file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxDocument))
	if err != nil {
		return nil, err
	}
	all, err := rulefile.Documents(data)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("the file has %d documents, want one", len(all))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.file, err)
	}
	return all[0], nil
}

// applyAlerts returns the command that changes the rules of a project to those in files.
func applyAlerts() *cobra.Command {
	var files []string
	var project string
	var dry bool
	cmd := &cobra.Command{Use: "apply -f FILE", Short: "Create or change rules from files, and show what changes",
		Long: `Apply reads rules from YAML files. It creates each rule, or changes the rule of the same name, and shows
what changes. A file has one rule or several, with --- between them. Other rules of the project stay as they are.`,
		Args: cobra.NoArgs}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "`file` of YAML; may be repeated")
	cmd.Flags().StringVar(&project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would change, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(files) == 0 {
			return &exit{2, errors.New("name a file with --file")}
		}
		var all []rule.Definition
		for _, name := range files {
			some, err := rulefile.ReadFile(name)
			if err != nil {
				return &exit{2, err}
			}
			all = append(all, some...)
		}
		c, project, err := connect(cmd, project)
		if err != nil {
			return err
		}
		return apply(cmd, c, "/api/weir/v1/groups/"+url.PathEscape(project)+"/alerts", all, dry)
	}
	return cmd
}

// apply makes the rules of the server equal to all.
func apply(cmd *cobra.Command, c *client.Client, path string, all []rule.Definition, dry bool) error {
	items, err := c.List(cmd.Context(), path, nil)
	if err != nil {
		return err
	}
	there := map[string]*rule.Definition{}
	for _, item := range items {
		d := new(rule.Definition)
		if err := json.Unmarshal(item, d); err != nil {
			return fmt.Errorf("the server's reply: %w", err)
		}
		there[d.Name] = d
	}
	out := cmd.OutOrStdout()
	for i := range all {
		d := &all[i]
		before := there[d.Name]
		lines, err := rulefile.Diff(before, d)
		if err != nil {
			return err
		}
		switch {
		case len(lines) == 0:
			visible.Printf(out, "%s: unchanged\n", d.Name)
			continue
		case before == nil:
			visible.Printf(out, "%s: new\n", d.Name)
		default:
			visible.Printf(out, "%s: changed\n", d.Name)
		}
		for _, line := range lines {
			visible.Printf(out, "  %s\n", line)
		}
		if dry {
			continue
		}
		if before == nil {
			_, err = c.Call(cmd.Context(), http.MethodPost, path, nil, d)
		} else {
			var body map[string]json.RawMessage
			if body, err = rulefile.Change(before, d); err == nil {
				_, err = c.Call(cmd.Context(), http.MethodPatch, path+"/"+url.PathEscape(d.Name), nil, body)
			}
		}
		if err != nil {
			return fmt.Errorf("rule %s: %w", d.Name, err)
		}
	}
	return nil
}

func alertCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "alert", Short: "Try alert rules on recorded events (weir only)"}
	cmd.AddCommand(alertTestCommand())
	return cmd
}

type alertTestFlags struct {
	questionFlags
	since string
}

func alertTestCommand() *cobra.Command {
	var f alertTestFlags
	cmd := &cobra.Command{
		Use:   "test RULE --since TIME",
		Short: "Print the alerts that a rule would have had (weir only)",
		Long: `Test evaluates a rule on recorded events, and prints the alerts that it would have had. RULE is a file, or the
name of a rule at the server. Each event counts as if it had been recorded when it happened. Logs that you may
not read are left out.
` + exitHelp,
		Example: `  weir alert test failed-logons.yaml --since 30d
  weir alert test failed-logons`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	addServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVar(&f.since, "since", "30d", "from this `time` on: a date, RFC 3339, or how long ago")
	cmd.Flags().DurationVar(&f.retry, "max-retry-time", 2*time.Minute, "how long a failed request is tried again")
	return cmd
}

func (f *alertTestFlags) run(cmd *cobra.Command, name string) error {
	now := time.Now()
	seconds, err := client.ParseTime(f.since, now)
	since := time.Unix(seconds, 0)
	if err != nil {
		return &exit{2, fmt.Errorf("--since: %w", err)}
	}
	c, project, err := connect(cmd, f.project)
	if err != nil {
		return err
	}
	all, err := f.rulesOf(cmd, c, project, name)
	if err != nil {
		return err
	}
	for i := range all {
		if err := f.replay(cmd, c, project, &all[i], since, now); err != nil {
			return err
		}
	}
	return nil
}

// rulesOf returns the rules in a file, or the server's rule with this name.
func (f *alertTestFlags) rulesOf(cmd *cobra.Command, c *client.Client, project, name string) ([]rule.Definition,
	error) {
	all, err := rulefile.ReadFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			err = &exit{2, err}
		}
		return all, err
	}
	var reply json.RawMessage
	err = f.try(cmd, c, func() (err error) {
		reply, err = c.Call(cmd.Context(), http.MethodGet, "/api/weir/v1/groups/"+url.PathEscape(project)+"/alerts/"+
			url.PathEscape(name), nil, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	var d rule.Definition
	if err := json.Unmarshal(reply, &d); err != nil {
		return nil, fmt.Errorf("the server's reply: %w", err)
	}
	return []rule.Definition{d}, nil
}

// replay prints the alerts that a rule would have raised.
func (f *alertTestFlags) replay(cmd *cobra.Command, c *client.Client, project string, d *rule.Definition, since,
	now time.Time) error {
	p, err := rule.NewReplay(*d, since)
	if err != nil {
		return &exit{2, err}
	}
	q := client.Question{Project: project, Text: d.Query}
	start, end := time.UnixMilli(p.Start()).Unix(), now.Unix()
	q.Start, q.End = &start, &end
	if q.Logs, err = f.logsFor(cmd, c, project, d); err != nil {
		return err
	}
	own, err := findingsMatcher()
	if err != nil {
		return err
	}
	fired, looked, cursor := 0, 0, ""
	show := func(alerts []rule.Alert) {
		for i := range alerts {
			fired++
			printAlert(cmd.OutOrStdout(), d, &alerts[i])
		}
	}
	for more := len(q.Logs) > 0; more; more = cursor != "" {
		var page *client.Page
		if err := f.try(cmd, c, func() (err error) {
			page, err = c.Find(cmd.Context(), q, true, mostPerPage, cursor)
			return err
		}); err != nil {
			return err
		}
		for _, e := range page.Results {
			if e.Log == project && own.Match(e.Event) {
				continue
			}
			x, err := eventOf(e)
			if err != nil {
				return err
			}
			alerts, err := p.Event(x)
			show(alerts)
			if err != nil {
				return fmt.Errorf("the server's reply: %w", err)
			}
			looked++
		}
		cursor = page.Cursor
	}
	show(p.Until(now.UnixMilli()))
	visible.Printf(cmd.ErrOrStderr(), "%s: %d alerts since %s, of %d events that its query matches\n", d.Name, fired,
		since.UTC().Format(time.RFC3339), looked)
	return nil
}

// logsFor returns the logs that a rule uses.
func (f *alertTestFlags) logsFor(cmd *cobra.Command, c *client.Client, project string,
	d *rule.Definition) (ids []string, err error) {
	var items []json.RawMessage
	if err := f.try(cmd, c, func() (err error) {
		items, err = c.List(cmd.Context(), "/api/weir/v1/groups/"+url.PathEscape(project)+"/logs", nil)
		return err
	}); err != nil {
		return nil, err
	}
	for _, item := range items {
		var log struct {
			ID        string   `json:"logId"`
			Kind      rule.Log `json:"kind"`
			Workspace string   `json:"workspaceName"`
		}
		if err := json.Unmarshal(item, &log); err != nil {
			return nil, fmt.Errorf("the server's reply: %w", err)
		}
		if d.LooksAt(log.Kind, log.Workspace) {
			ids = append(ids, log.ID)
		}
	}
	return ids, nil
}

func findingsMatcher() (*query.Matcher, error) {
	q, err := query.Parse(event.Findings)
	if err != nil {
		return nil, err
	}
	return query.Compile(q)
}

func eventOf(e client.Found) (rule.Event, error) {
	var clock struct {
		Time int64 `json:"time"`
	}
	if err := json.Unmarshal(e.Event, &clock); err != nil {
		return rule.Event{}, fmt.Errorf("the server's reply: %w", err)
	}
	x := rule.Event{Time: clock.Time, Log: e.Log, Index: -1, Line: e.Event}
	if e.Index != nil {
		x.Index = *e.Index
	}
	return x, nil
}

// printAlert prints an alert on one line.
func printAlert(w io.Writer, d *rule.Definition, a *rule.Alert) {
	at := time.UnixMilli(a.From).UTC().Format("2006-01-02T15:04:05.000Z")
	entry := ""
	if a.Log != "" && a.Entry >= 0 {
		entry = fmt.Sprintf(" (entry %d of log %s)", a.Entry, a.Log)
	}
	visible.Printf(w, "%s  %s%s\n", at, strings.ReplaceAll(d.Text(a), "\n", " "), entry)
}
