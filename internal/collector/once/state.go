package once

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/durable"
)

// stateFile is how far a source was collected into a weir.
type stateFile struct {
	name string

	Target string        `json:"target"` // from where to where
	State  collect.State `json:"state"`
}

// ErrState is returned (wrapped) for a state file that cannot be used.
var ErrState = errors.New("cannot use the state file")

// load returns the state in a file, or that of a beginning if there is no such file.
func load(name, target string) (*stateFile, error) {
	f := &stateFile{name: name, Target: target}
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	have := stateFile{name: name}
	if err := json.Unmarshal(data, &have); err != nil || have.Target == "" {
		return nil, fmt.Errorf("%w: %s is not a state file of weir collect: name another, or remove it to collect "+
			"everything again", ErrState, name)
	}
	if have.Target != target {
		return nil, fmt.Errorf("%w: %s is the state file of %s, not of %s: name another for this", ErrState, name,
			have.Target, target)
	}
	return &have, nil
}

// save writes the file so that it survives a power cut.
func (f *stateFile) save() error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = durable.Replace(f.name, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("state %s: %w", f.name, err)
	}
	return nil
}
