package api

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/collect"
)

// sourceStatus is the progress of a source as it was saved last: after each round with new events, and every 15
// minutes.
type sourceStatus struct {
	Behind   int64      `json:"behindSeconds"` // seconds that the slowest log is behind
	Error    string     `json:"lastError,omitempty"`
	Failure  *time.Time `json:"lastFailureAt"` // null if there was none
	Logs     []unitView `json:"logs"`
	More     bool       `json:"moreLogs,omitempty"`
	Recorded int64      `json:"recorded"`
	Refused  int64      `json:"refused"`
	Success  *time.Time `json:"lastSuccessAt"` // null if there was none
	Unread   int64      `json:"unread"`
}

// unitView is the progress of a source in one of its logs.
type unitView struct {
	Cursor    time.Time  `json:"cursor"`
	Error     string     `json:"error,omitempty"`
	Gone      *time.Time `json:"goneSince,omitempty"`
	Lag       *int64     `json:"lag,omitempty"`       // messages of a partition that wait, at most
	Left      *time.Time `json:"leftSince,omitempty"` // The source is not to collect it.
	Lost      int64      `json:"lost,omitempty"`      // messages of a partition that were gone before, at most
	Name      string     `json:"name"`
	Offset    *int64     `json:"offset,omitempty"`     // of the next message of a partition
	Reason    string     `json:"lastReason,omitempty"` // why an event was not read, or was refused
	Recorded  int64      `json:"recorded"`
	Refused   int64      `json:"refused"`
	Unread    int64      `json:"unread"`
	Workspace string     `json:"workspaceId,omitempty"`
}

// maxUnits is the number of logs in a status: those with an error first, then those that are furthest behind, and at
// last those of which nothing is to be collected.
const maxUnits = 200

func (h sources) status(c *call) (any, error) {
	s, err := h.find(c)
	if err != nil {
		return nil, err
	}
	state, err := h.sources.State(c.context(), s.ID)
	if err != nil {
		return nil, err
	}
	return viewStatus(state, c.now), nil
}

func viewStatus(state *collect.State, now time.Time) sourceStatus {
	v := sourceStatus{Error: state.Error, Success: momentOrNil(state.Success), Failure: momentOrNil(state.Failure),
		Recorded: state.Recorded, Unread: state.Unread, Refused: state.Refused, Logs: []unitView{}}
	units := slices.SortedFunc(maps.Values(state.Units), func(a, b *collect.Progress) int {
		if (a.Failed == "") != (b.Failed == "") {
			return cmp.Compare(b.Failed, a.Failed)
		}
		if (a.Idle() == 0) != (b.Idle() == 0) {
			return cmp.Compare(a.Idle(), b.Idle())
		}
		return cmp.Or(cmp.Compare(a.Next, b.Next), cmp.Compare(a.Label, b.Label))
	})
	for _, p := range units {
		if p.Idle() == 0 {
			v.Behind = max(v.Behind, now.Unix()-p.Next)
		}
		if v.More = len(v.Logs) == maxUnits; !v.More {
			v.Logs = append(v.Logs, showUnit(p))
		}
	}
	return v
}

func showUnit(p *collect.Progress) unitView {
	v := unitView{Name: p.Label, Workspace: p.Workspace, Cursor: time.Unix(p.Next, 0).UTC(), Recorded: p.Recorded,
		Unread: p.Unread, Refused: p.Refused, Reason: p.Reason, Error: p.Failed}
	if o := p.Offsets; o != nil {
		v.Offset, v.Lag, v.Lost = new(o.Next), new(max(o.End-o.Next, 0)), o.Lost
	}
	if p.Gone > 0 {
		v.Gone = momentOrNil(time.Unix(p.Gone, 0))
	}
	if p.Left > 0 {
		v.Left = momentOrNil(time.Unix(p.Left, 0))
	}
	return v
}
