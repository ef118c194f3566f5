package api

import (
	"time"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/setup"
)

// integrationStatus is the progress of a delivery.
type integrationStatus struct {
	ID      string              `json:"id"`
	Type    string              `json:"type"`
	State   string              `json:"state"` // PAUSED, FAILING, PARKED, BEHIND or CURRENT
	Events  int64               `json:"lagEvents"`
	Seconds int64               `json:"lagSeconds"` // age of the oldest event that was not delivered
	Pace    float64             `json:"eventsPerSecond"`
	Last    *time.Time          `json:"lastDeliveredAt"`
	Failure *integrationFailure `json:"failure,omitempty"`
	Logs    []integrationLog    `json:"logs"`
	Parked  []integrationParked `json:"parked"`
}

// integrationFailure is the reason why a delivery makes no progress.
type integrationFailure struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"lastTriedAt"`
	Error string    `json:"error"`
}

// integrationLog is the progress of a delivery in a log.
type integrationLog struct {
	ID        string              `json:"logId"`
	Name      string              `json:"logName"`
	Next      int64               `json:"nextEntry"` // all earlier entries were delivered, or are parked or missed
	Entries   int64               `json:"entries"`
	Lag       int64               `json:"lagEvents"`
	Oldest    *time.Time          `json:"oldestWaitingAt,omitempty"`
	Delivered int64               `json:"delivered"`
	Missed    int64               `json:"missed"`
	Last      *time.Time          `json:"lastDeliveredAt"`
	Failure   *integrationFailure `json:"failure,omitempty"`
}

// integrationParked is an event that the destination refuses.
type integrationParked struct {
	ID     string    `json:"id"` // <log>/<entry>
	Reason string    `json:"reason"`
	At     time.Time `json:"parkedAt"`
	Again  bool      `json:"again"` // whether it will be sent again
}

func (h integrations) status(c *call) (any, error) {
	d, err := h.find(c)
	if err != nil {
		return nil, err
	}
	all, err := h.deliveries.Progress(c.context(), d)
	if err != nil {
		return nil, err
	}
	return showStatus(d, all, c.now), nil
}

// current is how long a measured pace is valid.
const current = time.Minute

func showStatus(d *deliver.Delivery, all []setup.Progress, now time.Time) integrationStatus {
	v := integrationStatus{ID: d.ID, Type: d.Type, Logs: []integrationLog{}, Parked: []integrationParked{}}
	var last, oldest time.Time
	for i := range all {
		p := &all[i]
		one := integrationLog{ID: p.Log, Name: p.Name, Next: p.Next, Entries: p.Entries, Lag: p.Lag(),
			Oldest: momentOrNil(p.Oldest), Delivered: p.Accepted, Missed: p.Missed, Last: momentOrNil(p.Last)}
		if f := p.Failure; f != nil {
			one.Failure = &integrationFailure{f.Since.Truncate(time.Second), f.Last.Truncate(time.Second), f.Error}
			if v.Failure == nil || one.Failure.Last.After(v.Failure.Last) {
				v.Failure = one.Failure
			}
		}
		if p.Pace.Time > 0 && now.Sub(p.Last) < current {
			v.Pace += float64(p.Pace.Events) / p.Pace.Time.Seconds()
		}
		if p.Last.After(last) {
			last = p.Last
		}
		if !p.Oldest.IsZero() && (oldest.IsZero() || p.Oldest.Before(oldest)) {
			oldest = p.Oldest
		}
		v.Events += one.Lag
		v.Logs = append(v.Logs, one)
		for _, e := range p.Parked {
			id := (&deliver.Event{Log: p.Log, Index: e.Entry}).ID()
			v.Parked = append(v.Parked, integrationParked{id, e.Reason, e.At.Truncate(time.Second), e.Again})
		}
	}
	v.Last = momentOrNil(last)
	if !oldest.IsZero() {
		v.Seconds = max(int64(now.Sub(oldest)/time.Second), 0)
	}
	v.State = v.state(d)
	return v
}

// state returns the state of a delivery in one word.
func (v *integrationStatus) state(d *deliver.Delivery) string {
	switch {
	case d.Paused:
		return "PAUSED"
	case v.Failure != nil:
		return "FAILING"
	case len(v.Parked) > 0:
		return "PARKED"
	case v.Events > 0:
		return "BEHIND"
	}
	return "CURRENT"
}
