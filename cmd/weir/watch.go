package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/watch"
)

type watchFlags struct {
	options    watch.Options
	keys, urls []string
	source     client.Source
	once       bool
	print      string
}

func watchCommand() *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch [LOG-ID…]",
		Short: "Check logs from outside, and warn when one is rewritten, shortened or stops",
		Long: `Watch keeps the last good checkpoint of each log in a state file, and checks that the log extends it.
It checks the logs that are named by id, those at --url, or all logs of the project. It writes each
problem to standard error and sends it to --webhook, once when it begins and once when it ends. See
docs/watch.md.

Exit status, with --once or when it is interrupted: 0 all good; 7 a problem was found; 8 cannot
tell, since a log is unreachable; 2 wrong usage; 1 failed otherwise, such as a damaged state file.`,
		RunE: f.run,
	}
	addKeyFlag(cmd, &f.keys)
	addServerFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&f.urls, "url", nil,
		"`URL` of a public log (https://c2sp.org/tlog-tiles), which needs no credentials; may be repeated")
	cmd.Flags().StringVar(&f.source.Project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVar(&f.source.Organization, "org", "", "`id` of the organization whose own log to watch")
	cmd.Flags().StringVar(&f.options.State, "state", "weir-watch.json",
		"`file` to keep checkpoints in; one watch uses it at a time")
	cmd.Flags().DurationVar(&f.options.Interval, "interval", time.Minute,
		"time between two checks of all logs")
	cmd.Flags().DurationVar(&f.options.StalledAfter, "stalled-after", 0,
		"how long a log may be without a new entry; 0: no limit")
	cmd.Flags().DurationVar(&f.options.UnreachableAfter, "unreachable-after", 5*time.Minute,
		"how long a log may be unreachable; with --once not at all")
	cmd.Flags().StringVar(&f.options.Webhook, "webhook", "", "`URL` to post problems to, as JSON")
	cmd.Flags().BoolVar(&f.once, "once", false, "check once, and end")
	cmd.Flags().StringVar(&f.print, "print", "",
		"`id` or URL of a log: print its kept checkpoint, as \"weir verify --since\" takes it, and end")
	return cmd
}

func (f *watchFlags) run(cmd *cobra.Command, ids []string) error {
	if f.print != "" {
		return f.printKept(cmd)
	}
	if err := f.check(ids); err != nil {
		return &exit{2, err}
	}
	keys, err := trusted(f.keys)
	if err != nil {
		return err
	}
	f.options.Keys, f.options.UserAgent = keys, "weir/"+versionText()
	transport, err := client.NewTransport(caFile(cmd))
	if err != nil {
		return &exit{2, err}
	}
	f.options.HTTP = client.NewHTTPClient(transport)
	f.options.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	if err := f.addSources(cmd, ids); err != nil {
		return err
	}
	if f.once {
		f.options.UnreachableAfter = 0
	}
	w, err := watch.New(f.options)
	if err != nil {
		return err
	}
	if !f.once {
		return outcome(w.Run(cmd.Context()))
	}
	r, err := w.Round(cmd.Context())
	if err == nil && cmd.Context().Err() != nil {
		return &exit{8, errors.New("interrupted before all logs were checked")}
	}
	return outcome(r, err)
}

// check checks what is not a log's.
func (f *watchFlags) check(ids []string) error {
	for _, id := range ids {
		if !logID.MatchString(id) {
			return fmt.Errorf("%q is not the id of a log: want 24 hexadecimal digits", id)
		}
	}
	urls := f.urls
	if f.options.Webhook != "" {
		urls = append(urls[:len(urls):len(urls)], f.options.Webhook)
	}
	for _, text := range urls {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("%q is not a URL that begins with http:// or https://", text)
		}
	}
	switch {
	case f.options.Interval <= 0:
		return errors.New("--interval must be more than 0")
	case f.options.StalledAfter < 0:
		return errors.New("--stalled-after must be at least 0")
	case f.options.UnreachableAfter < 0:
		return errors.New("--unreachable-after must be at least 0")
	}
	return nil
}

// addSources finds out what to watch. All logs of the project are watched if nothing is named.
func (f *watchFlags) addSources(cmd *cobra.Command, ids []string) error {
	for _, u := range f.urls {
		u = strings.TrimRight(u, "/")
		f.options.Sources = append(f.options.Sources, watch.Source{Name: u, URL: u, HTTP: f.options.HTTP})
	}
	if len(ids) == 0 && len(f.urls) > 0 {
		return nil
	}
	d := downloadFlags{source: f.source}
	c, err := d.connect(cmd)
	if err != nil {
		return err
	}
	const api = "/api/weir/v1/"
	source := func(name string) watch.Source {
		return watch.Source{Name: name, URL: c.URL() + api + name, ID: path.Base(name), HTTP: c.HTTP()}
	}
	prefix := strings.TrimPrefix(path.Dir(d.source.LogPath("id")), api)
	for _, id := range ids {
		f.options.Sources = append(f.options.Sources, source(prefix+"/"+id))
	}
	if len(ids) == 0 {
		f.options.List = &watch.List{Prefix: prefix, Source: source,
			Names: func(ctx context.Context) ([]string, error) {
				return logNames(ctx, c, api, prefix)
			}}
	}
	return nil
}

// logNames returns the names of the logs in a list.
func logNames(ctx context.Context, c *client.Client, api, prefix string) (names []string, err error) {
	items, err := c.List(ctx, api+prefix, nil)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		var l struct{ LogID string }
		if err := json.Unmarshal(item, &l); err != nil {
			return nil, fmt.Errorf("the server's reply: %w", err)
		}
		if !logID.MatchString(l.LogID) {
			return nil, fmt.Errorf("the server's reply: %.40q is not the id of a log", l.LogID)
		}
		names = append(names, prefix+"/"+l.LogID)
	}
	return names, nil
}

// outcome is the exit status for what was found.
func outcome(r watch.Result, err error) error {
	switch {
	case len(r.Problems) > 0:
		return &exit{7, errors.Join(fmt.Errorf("problems with %s", strings.Join(r.Problems, ", ")), err)}
	case err != nil:
		return err
	case len(r.Unknown) > 0:
		return &exit{8, fmt.Errorf("cannot reach %s", strings.Join(r.Unknown, ", "))}
	}
	return nil
}

func (f *watchFlags) printKept(cmd *cobra.Command) error {
	state, err := watch.LoadState(f.options.State)
	if err != nil {
		return err
	}
	kept, err := state.Kept(strings.TrimRight(f.print, "/"))
	if err != nil {
		return &exit{8, err}
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), kept)
	return err
}
