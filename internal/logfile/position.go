package logfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/weirlog/weir/internal/durable"
)

// Position is how far a file was read. It tells the file by its content, so also under another name, or compressed.
type Position struct {
	Offset int64     `json:"offset"` // of the first byte that is not recorded; in a compressed file, after unpacking
	Head   mark      `json:"head"`   // of the beginning of the file
	Tail   mark      `json:"tail"`   // of the bytes before the offset
	Since  time.Time `json:"since"`  // Files that did not change since hold nothing that is not recorded.
}

// mark tells whether some bytes are those that were there.
type mark struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// markBytes is how many bytes a mark is made of, unless the file has fewer.
const markBytes = 1024

func markOf(b []byte) mark {
	sum := sha256.Sum256(b)
	return mark{len(b), hex.EncodeToString(sum[:])}
}

// State is how far all files were read that are sent to one place.
type State struct {
	Target string              `json:"target"` // where the lines go
	Files  map[string]Position `json:"files"`  // by their absolute names
}

// LoadState reads a state file. If there is none, the state is empty. A state of another target is an error: to go by
// it would leave out lines.
func LoadState(name, target string) (State, error) {
	s := State{Target: target, Files: map[string]Position{}}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	var have State
	if err := json.Unmarshal(data, &have); err != nil || have.Files == nil {
		return s, fmt.Errorf("%s is not a state file of weir record: name another, or remove it to read all files from "+
			"their beginning", name)
	}
	if have.Target != target {
		return s, fmt.Errorf("%s is the state file of %s, not of %s: name another for this", name, have.Target,
			target)
	}
	return have, nil
}

// Save writes the state file so that it survives a power cut.
func (s State) Save(name string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = durable.Replace(name, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}
