package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"filippo.io/torchwood"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/durable"
	"github.com/weirlog/weir/internal/proof"
)

// State is the content of a Watcher's file: the last good checkpoint of each log, which the log must extend.
type State struct {
	Version int             `json:"version"`
	Logs    map[string]*Log `json:"logs"` // by name
}

const stateVersion = 1

// Log is the state of one log. If Checkpoint is empty, there has been no good one.
type Log struct {
	Origin     string     `json:"origin,omitempty"`     // which its checkpoints must have
	Checkpoint string     `json:"checkpoint,omitempty"` // signed; the last good one, which a bad one never replaces
	Grown      time.Time  `json:"grown,omitzero"`       // when its tree was last seen to grow
	Failing    time.Time  `json:"failing,omitzero"`     // since when it has been unreachable
	Problem    *Problem   `json:"problem,omitempty"`    // reported and not ended
	Evidence   []*Problem `json:"evidence,omitempty"`   // forks, oldest first, with the checkpoints that prove them
}

// maxEvidence bounds the evidence for a log that forks again and again. One fork is proof enough.
const maxEvidence = 16

// ErrDamaged is returned (wrapped) for a state file that is not as a Watcher wrote it.
var ErrDamaged = errors.New("the state file is damaged: restore it from a copy, or remove it to trust the logs as " +
	"they are now")

// ParseState parses the result of Encode. All errors are ErrDamaged (wrapped): starting with an empty state instead
// would drop the checkpoints that logs must extend.
func ParseState(data []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(data, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%w: its version is %d, want %d", ErrDamaged, s.Version, stateVersion)
	}
	if s.Logs == nil {
		return nil, fmt.Errorf("%w: it has no logs", ErrDamaged)
	}
	for name, l := range s.Logs {
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
	}
	return s, nil
}

func (l *Log) check() error {
	if l == nil {
		return errors.New("nothing is kept of it")
	}
	if l.Checkpoint != "" {
		c, err := read(l.Checkpoint)
		if err != nil {
			return err
		}
		if c.Origin != l.Origin {
			return fmt.Errorf("its checkpoint is of %q, not of %q", c.Origin, l.Origin)
		}
	} else if l.Origin != "" {
		return errors.New("its checkpoint is missing")
	}
	for _, p := range append([]*Problem{l.Problem}, l.Evidence...) {
		if p != nil && !p.Kind.known() {
			return fmt.Errorf("%.40q is not a known problem", p.Kind)
		}
	}
	for _, p := range l.Evidence {
		if p == nil {
			return errors.New("evidence is missing")
		}
	}
	return nil
}

// read parses a kept checkpoint without verifying it, since its key may no longer be trusted. It was verified before.
func read(signed string) (torchwood.Checkpoint, error) {
	_, err := note.Open([]byte(signed), note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return torchwood.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := torchwood.ParseCheckpoint(unverified.Note.Text)
	if err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	if c.N == 0 && c.Hash != new(proof.Tree).Root() {
		return c, errors.New("checkpoint: it has no entries, but its root is not that of an empty tree")
	}
	return c, nil
}

// Encode returns s as JSON.
func (s *State) Encode() ([]byte, error) {
	data, err := json.Marshal(s, json.Deterministic(true), jsontext.WithIndent("  "))
	return append(data, '\n'), err
}

// LoadState reads a state file. If the file does not exist, the state is empty.
func LoadState(file string) (*State, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &State{Version: stateVersion, Logs: map[string]*Log{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	s, err := ParseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// Save writes s to a file that only its owner may read. A crash leaves the old file or the new one, and perhaps a
// temporary file beside it.
func (s *State) Save(file string) error {
	data, err := s.Encode()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := durable.Replace(file, data); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}
