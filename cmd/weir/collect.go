package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/collect/atlas"
	"github.com/weirlog/weir/internal/collector/once"
	"github.com/weirlog/weir/internal/visible"
)

type collectFlags struct {
	source                 sourceFlags
	once                   bool
	project, state, output string
	retry                  client.RetryOptions
}

func collectCommand() *cobra.Command {
	var f collectFlags
	cmd := &cobra.Command{
		Use:   "collect --once",
		Short: "Copy what is new in the logs of MongoDB Atlas, or of another weir, once",
		Long: `Collect reads what is new in the logs of MongoDB Atlas, or of another weir (--url), records it in a weir, and
ends. A source of a project ("weir admin source create") does the same at the server, all the time. Without
such a source, run collect by a timer, at least every few days, since Atlas keeps logs for 30 days.

--client-id or --public-key name the credential there; its secret is in WEIR_SOURCE_SECRET or --secret-file.
The weir that records is named as for "weir record": WEIR_INGEST_TOKEN may be a token of the project. Missing
workspaces are created, if the credential may do that.

The state file (--state) says how far each log was collected. It is written after the lines are recorded: if
collect is killed, the next run continues there, and lines that were sent twice are recorded once. Logs begin
30 days back. Lines that cannot be read as events are kept as they are. Lines that the server refuses are
counted, and the exit status is 5.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return collectOnce(cmd, &f) },
	}
	addServerFlags(cmd.Flags())
	addAtlasFlags(cmd.Flags(), &f.source)
	cmd.Flags().StringVar(&f.source.naming, "naming", "", "how workspaces are `named` here (default {workspace} if "+
		"there is one --from-project, else {project}-{workspace})")
	cmd.Flags().BoolVar(&f.once, "once", false, "collect once, and end; required")
	cmd.Flags().StringVar(&f.project, "project", "", "`id` of the project that takes the events (default "+
		"MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().StringVar(&f.state, "state", "weir-collect.state", "`file` that says how far it came")
	cmd.Flags().DurationVar(&f.retry.Most, "max-retry-time", 5*time.Minute, "how long a failed request to "+
		"record is tried again")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json: print what was recorded as JSON on standard output")
	return cmd
}

// settings returns what is collected, and what signs in there.
func (f *collectFlags) settings() (once.Source, error) {
	o := &f.source
	a := once.Source{URL: cmp.Or(o.url, client.Atlas), ClientID: o.clientID, PublicKey: o.publicKey,
		Projects: o.projects, Workspaces: o.workspaces, Naming: o.naming, Kinds: []atlas.Kind{atlas.Audit}}
	if len(o.collect) > 0 {
		a.Kinds = nil
	}
	for _, kind := range o.collect {
		if k := atlas.Kind(strings.ToUpper(kind)); !slices.Contains(a.Kinds, k) {
			a.Kinds = append(a.Kinds, k)
		}
	}
	if !f.once {
		return a, errors.New("give --once; to collect all the time, create a source: weir admin source create --help")
	}
	if f.output != "" && f.output != "json" {
		return a, errors.New("--output must be json or left out")
	}
	if (o.clientID == "") == (o.publicKey == "") {
		return a, errors.New("give either --client-id of a service account or --public-key of an API key of the server " +
			"to collect from")
	}
	var err error
	if a.Secret, err = o.secret(); err == nil && a.Secret == "" {
		err = errors.New("the secret of --client-id or --public-key is missing: set WEIR_SOURCE_SECRET or give " +
			"--secret-file")
	}
	if err == nil && o.caFile != "" {
		a.CA, err = readSmall(o.caFile)
	}
	if err != nil {
		return a, err
	}
	return a, once.Check(&a)
}

func collectOnce(cmd *cobra.Command, f *collectFlags) error {
	from, err := f.settings()
	if err != nil {
		return &exit{2, err}
	}
	c, project, err := connectBy(cmd, f.project, dialToRecord)
	if err != nil {
		return err
	}
	f.retry.Waiting = waiting(cmd, c)
	counts, state, err := once.Run(cmd.Context(), once.Options{From: from, UserAgent: "weir/" + versionText(), To: c,
		Project: project, Retry: f.retry, StateFile: f.state})
	switch {
	case errors.Is(err, once.ErrState):
		return &exit{2, err}
	case state == nil:
		return err
	}
	tellFailed(cmd, state, from.Kinds)
	if err == nil && counts.Refused > 0 {
		err = &exit{5, fmt.Errorf("%d lines were refused", counts.Refused)}
	}
	if f.output == "json" {
		return errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(counts))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d events recorded, %d were there already, %d refused, %d kept that could not be "+
		"read\n", counts.Recorded, counts.Repeated, counts.Refused, counts.Unread)
	return err
}

// tellFailed names the logs of some kinds that could not be collected, and those that have lines which were refused or
// not read. The state also has logs of kinds that were collected at another time.
func tellFailed(cmd *cobra.Command, state *collect.State, kinds []atlas.Kind) {
	const most = 20
	told := 0
	for _, id := range slices.Sorted(maps.Keys(state.Units)) {
		kind, _, _ := strings.Cut(id, "/")
		if !slices.Contains(kinds, atlas.Kind(kind)) {
			continue
		}
		u := state.Units[id]
		for _, why := range []string{u.Failed, u.Reason} {
			if why == "" {
				continue
			}
			if told++; told > most {
				continue
			}
			visible.Printf(cmd.ErrOrStderr(), "%s: %s\n", u.Label, why)
		}
	}
	if told > most {
		fmt.Fprintf(cmd.ErrOrStderr(), "and %d more\n", told-most)
	}
}
