package collect

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// Window is a range of time at a source, in seconds since the epoch. Both seconds belong to it, and Start is before
// End. If End is 0, it has no end.
type Window struct{ Start, End int64 }

// Feed is lines that a source gives out by their time, such as the audit log of a workspace.
type Feed interface {
	// Fetch writes all lines of a window to w, in the source's order, each ended by '\n'. It returns nil only if the
	// source has said that these are all; then now is the source's clock, or zero if the source does not tell. An error
	// of w is returned wrapped. Others are ErrTooMuch, ErrIncomplete, ErrGone and ErrAway (all wrapped), or an error with
	// the source's reply.
	Fetch(ctx context.Context, window Window, w io.Writer) (now time.Time, err error)
}

// Errors of feeds.
var (
	// ErrTooMuch is returned (wrapped) for a window that has more than is taken at a time. A shorter one may succeed.
	ErrTooMuch = errors.New("the source has more than is taken at a time")

	// ErrIncomplete is returned (wrapped) for a reply that broke off, or does not answer the request. The same request, or
	// one for a shorter window, may succeed later.
	ErrIncomplete = errors.New("the reply is incomplete or malformed")

	// ErrGone is returned (wrapped) if the source does not have the feed any more.
	ErrGone = errors.New("the source does not have it any more")

	// ErrAway is returned (wrapped) if the source did not answer, or does not let anybody in.
	ErrAway = errors.New("the source does not answer")

	// ErrNotChosen is returned (wrapped) by Again for a unit that is not to be collected any more.
	ErrNotChosen = errors.New("it is not to be collected any more")
)

// Format makes events of the lines of a feed.
type Format interface {
	// Name returns the name of the format, for people.
	Name() string

	// Map appends the event that a line of a feed becomes, in JSON, or says why it cannot be read. The reason depends on
	// the line only. If uid is not empty and the line has no identity of its own, uid becomes that of the event. The slot
	// that is returned may be dst.
	Map(dst, line []byte, uid string) ([]byte, error)
}

// Unit is a feed or a queue, and where its lines go.
type Unit struct {
	ID          string // tells it from all others of the source, for ever
	Label       string // for people
	Place       Place
	Operational bool // Its lines go to an operational log.
	Feed        Feed
	Format      Format
	Queue       Queue         // in the place of a feed and its format
	Back        time.Duration // how far back it begins at first (default 30 days)
}

// Place is the system that a unit comes from. The log that takes the unit is named after it.
type Place struct {
	ProjectID string `json:"projectId,omitempty"` // of the source; empty if it is of no project
	Project   string `json:"project,omitempty"`   // its name
	Name      string `json:"name"`                // of the workspace, the cluster, or another system
	Kind      string `json:"kind,omitempty"`      // kind of the system; empty for a workspace; two kinds may share a name
}

// path returns a key for the kind, the project and the name with which a unit is requested. It begins as no id does.
func (p Place) path(id string) string {
	kind, _, _ := strings.Cut(id, "/")
	return strings.Join([]string{"", kind, p.ProjectID, p.Name}, "/")
}

// Source is where units are.
type Source interface {
	// Units returns the units that there are. With an error they are some of them.
	Units(ctx context.Context) ([]Unit, error)

	// Again returns a unit that there was before, and that is not among those that Units returned last, by its id and
	// place. Errors are ErrNotChosen; ErrGone, with the unit, so that the loss can be reported; or why the source cannot
	// say (all wrapped).
	Again(ctx context.Context, id string, at Place) (Unit, error)
}

// Lister is a Source whose Units holds up to so many bytes, which are accounted for before.
type Lister interface{ ListMemory() int64 }

// Committer is a Source that is told how far its queues were collected. An error does not keep a round from going on.
type Committer interface {
	Commit(ctx context.Context, units map[string]*Progress) error
}
