package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/durable"
	"github.com/weirlog/weir/internal/visible"
)

type followFlags struct {
	source client.Source
	state  string
	from   int64
	retry  time.Duration
	once   bool
}

func followCommand() *cobra.Command {
	var f followFlags
	cmd := &cobra.Command{
		Use:   "follow [WORKSPACE] --state FILE",
		Short: "Print the entries of a log in order, from where the last run ended (weir only)",
		Long: `Follow prints a line {"index":N,"event":{…}} for each entry of a workspace's audit log, or of the log
with an id (--log), in order, and waits for more. The state file says which entry comes next: the next
run of follow continues there. It is written after the lines, so if follow is killed, its last lines may
come again, with the same indexes; none is left out.

If retention has removed entries before follow read them, it reports that on standard error and
continues after them. An interrupt ends it.
` + exitHelp,
		Example: `  weir follow prod --state prod.follow | siem-shipper
  weir follow --log 6a793f48c0eb9e7a17712f00 --from 1000 --state log.follow --once > entries.ndjson`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.source.Workspace, err = theWorkspace(cmd, args, f.source); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	addServerFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.state, "state", "", "`file` that says which entry comes next")
	cmd.Flags().Int64Var(&f.from, "from", 0, "`index` of the first entry, if there is no state file yet")
	cmd.Flags().StringVar(&f.source.Log, "log", "", "`id` of a log, such as that of a deleted workspace")
	cmd.Flags().StringVar(&f.source.Organization, "org", "", "`id` of the organization whose own log --log names")
	cmd.Flags().StringVar(&f.source.Project, "project", "", "`id` of the project (default MONGODB_ATLAS_PROJECT_ID)")
	cmd.Flags().DurationVar(&f.retry, "max-retry-time", time.Hour, "how long a failed request is tried again")
	cmd.Flags().BoolVar(&f.once, "once", false, "end when all present entries are printed")
	return cmd
}

// followState is the content of the state file.
type followState struct {
	Version int    `json:"version"`
	Log     string `json:"log"`  // path of the log at its server
	Next    int64  `json:"next"` // index of the next entry
	Read    string `json:"read"` // see client.Entries
}

const followVersion = 1

func (f *followFlags) run(cmd *cobra.Command) error {
	if f.state == "" {
		return &exit{2, errors.New("name a state file with --state")}
	}
	if f.from < 0 {
		return &exit{2, errors.New("--from must be at least 0")}
	}
	c, err := f.connect(cmd)
	if err != nil {
		return err
	}
	s, err := f.load(c.URL() + f.source.LogPath(f.source.Log))
	if err != nil {
		return err
	}
	for {
		more, err := f.step(cmd, c, s)
		if err != nil || !more && f.once || cmd.Context().Err() != nil {
			return err
		}
	}
}

// connect returns a client, and finds the log of a workspace.
func (f *followFlags) connect(cmd *cobra.Command) (*client.Client, error) {
	if f.source.Organization != "" {
		return dial(cmd)
	}
	c, project, err := connect(cmd, f.source.Project)
	f.source.Project = project
	if err != nil || f.source.Log != "" {
		return c, err
	}
	err = f.try(cmd, c, func() (err error) {
		f.source.Log, err = c.AuditLogOf(cmd.Context(), project, f.source.Workspace)
		return err
	})
	if err == nil && f.source.Log == "" {
		err = &exit{4, fmt.Errorf("there is no workspace %q in this project", f.source.Workspace)}
	}
	return c, err
}

func (f *followFlags) try(cmd *cobra.Command, c *client.Client, do func() error) error {
	return client.Retry(cmd.Context(), client.RetryOptions{Most: f.retry, Waiting: failures(waiting(cmd, c))}, do)
}

// failures ignores the state without an answer, since an answer may take as long as no entry is recorded.
func failures(tell func(time.Duration, error)) func(time.Duration, error) {
	return func(elapsed time.Duration, last error) {
		if last != nil {
			tell(elapsed, last)
		}
	}
}

// load reads the state of a log. If there is none, it creates it.
func (f *followFlags) load(log string) (*followState, error) {
	data, err := os.ReadFile(f.state)
	if errors.Is(err, fs.ErrNotExist) {
		return &followState{Version: followVersion, Log: log, Next: f.from}, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(followState)
	if err := json.Unmarshal(data, s); err != nil || s.Version != followVersion || s.Next < 0 {
		return nil, &exit{2, fmt.Errorf("%s is not a state file of weir follow: name another, or remove it to begin again",
			f.state)}
	}
	if s.Log != log {
		return nil, &exit{2, fmt.Errorf("%s is the state file of %s: name another for %s", f.state, s.Log, log)}
	}
	return s, nil
}

const (
	followBatch = 1000
	followWait  = 30 * time.Second
)

// step prints the next entries and stores the state. more tells whether there were any.
func (f *followFlags) step(cmd *cobra.Command, c *client.Client, s *followState) (more bool, err error) {
	wait := followWait
	if f.once {
		wait = 0
	}
	var e *client.Entries
	err = f.try(cmd, c, func() (err error) {
		e, err = c.Entries(cmd.Context(), f.source.LogPath(f.source.Log), s.Next, followBatch, wait, s.Read)
		return err
	})
	if cmd.Context().Err() != nil {
		return false, nil // interrupted; the state says where to continue
	}
	if gone, ok := errors.AsType[*client.RemovedError](err); ok {
		visible.Printf(cmd.ErrOrStderr(), "retention has removed entries %d to %d before they were read\n", s.Next,
			gone.First-1)
		s.Next = gone.First
		return true, f.keep(s)
	}
	if err != nil {
		return false, err
	}
	out := cmd.OutOrStdout()
	if !onTerminal() {
		out = raw(out)
	}
	if _, err := out.Write(e.Lines); err != nil {
		return false, err
	}
	if e.Next == s.Next && e.Read == s.Read {
		return false, nil
	}
	more = e.Next > s.Next
	s.Next, s.Read = e.Next, e.Read
	return more, f.keep(s)
}

func (f *followFlags) keep(s *followState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.ReplaceFrom(f.state, 0o600, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}
