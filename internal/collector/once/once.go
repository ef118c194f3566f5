// Package once collects from a source in one round, outside a server. It records into a weir over its API, and keeps in
// a file how far it came.
//
// It promises what a server's sources do: each line once, in the order of the source. The file is written once lines
// are recorded, so a round that is killed repeats lines, which the weir recognises, and leaves out none.
package once

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/collect/atlas"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/filelock"
	"github.com/weirlog/weir/internal/source"
)

// Source is the server that is collected from, and what signs in there. Its secret is not sealed.
type Source = source.AtlasSettings

// Options say what a round collects and where it goes.
type Options struct {
	From      Source
	UserAgent string

	To        *client.Client
	Project   string              // id of the one of To that takes the events
	Retry     client.RetryOptions // of each request to To
	StateFile string
}

// Check says what is wrong with the settings of the source.
func Check(a *Source) error {
	for _, kind := range a.Kinds {
		if !atlas.IsKind(kind) {
			return fmt.Errorf("cannot collect %.40q: want one of %v", kind, atlas.Kinds())
		}
	}
	if !source.CheckNaming(a.Pattern()) {
		return fmt.Errorf("workspaces cannot be named %.140q: the pattern must have {workspace}, and may have {project}, "+
			"{projectId}, letters, digits, '-' and '_'", a.Pattern())
	}
	_, err := egress.TLS([]byte(a.CA))
	return err
}

// Run collects once, and returns the counts of the lines and the state after it. The state says which logs failed. One
// process at a time uses a state file.
func Run(ctx context.Context, o Options) (collect.Counts, *collect.State, error) {
	lock, err := filelock.Acquire(o.StateFile + ".lock")
	if err != nil {
		return collect.Counts{}, nil, fmt.Errorf("state %s: %w", o.StateFile, err)
	}
	defer lock.Close()
	file, err := load(o.StateFile, strings.Join([]string{o.From.URL, "to", o.To.URL(), o.Project}, " "))
	if err != nil {
		return collect.Counts{}, nil, err
	}
	from, hang, err := o.open()
	if err != nil {
		return collect.Counts{}, nil, err
	}
	defer hang()
	state := &file.State
	before := state.Counts
	to := &workspaces{client: o.To, retry: o.Retry, project: o.Project, naming: o.From.Pattern(), state: state,
		there: map[string]bool{}}
	round := collect.Round{Source: from, Sink: &sink{client: o.To, retry: o.Retry, project: o.Project}, State: state,
		By: "collect", Target: to.of, Save: func(context.Context) error { return file.save() }}
	err = round.Run(ctx)
	return collect.Counts{Recorded: state.Recorded - before.Recorded, Repeated: state.Repeated - before.Repeated,
		Unread: state.Unread - before.Unread, Refused: state.Refused - before.Refused}, state, err
}

// open returns the source, and a function that closes its connections.
func (o *Options) open() (collect.Source, func(), error) {
	t, err := egress.TLS([]byte(o.From.CA))
	if err != nil {
		return nil, nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.DisableCompression = t, true
	transport.ResponseHeaderTimeout = atlas.AnswersWithin
	from, err := o.From.Open(o.From.Secret, transport, o.UserAgent,
		atlas.Options{Pace: atlas.NewPace(atlas.PerMinute)})
	return from, transport.CloseIdleConnections, err
}
