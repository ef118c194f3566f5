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

// State is what a Watcher keeps in a file of its own: of each log the last good checkpoint, which the log must go on
// from.
type State struct {
	Version int             `json:"version"`
	Logs    map[string]*Log `json:"logs"` // by name
}

const stateVersion = 1

// Log is what is kept of one log. Where there is no Checkpoint none was good yet.
type Log struct {
	Origin     string     `json:"origin,omitempty"`     // that its checkpoints must have
	Checkpoint string     `json:"checkpoint,omitempty"` // signed; the last good one, never replaced by a bad one
	Grown      time.Time  `json:"grown,omitzero"`       // when its tree was last seen to be larger than before
	Failing    time.Time  `json:"failing,omitzero"`     // since when it cannot be reached
	Problem    *Problem   `json:"problem,omitempty"`    // that was reported, and has not ended
	Evidence   []*Problem `json:"evidence,omitempty"`   // forks, oldest first, with the checkpoints that show them
}

// maxEvidence bounds what is kept of a log that forks again and again. One fork is proof enough.
const maxEvidence = 16

// ErrDamaged is returned (wrapped) for a state file that is not as a Watcher wrote it.
var ErrDamaged = errors.New("the state file is damaged: restore it from a copy, or remove it to trust anew what the " +
	"logs are now")

// ParseState reads what Encode wrote. Errors are ErrDamaged: to start afresh instead would forget what logs must go on
// from.
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
			return fmt.Errorf("%.40q is no problem that is known", p.Kind)
		}
	}
	for _, p := range l.Evidence {
		if p == nil {
			return errors.New("evidence is missing")
		}
	}
	return nil
}

// read reads a checkpoint that was verified when it was kept: the key that signed it may be trusted no longer.
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
		return c, errors.New("checkpoint: the root of an empty tree is another")
	}
	return c, nil
}

// Encode returns s as JSON.
func (s *State) Encode() ([]byte, error) {
	data, err := json.Marshal(s, json.Deterministic(true), jsontext.WithIndent("  "))
	return append(data, '\n'), err
}

// LoadState reads a state file. If there is none yet the state is empty.
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
