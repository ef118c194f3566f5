package api

import (
	"math"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/tlog"
)

// retentionView shows how much of a log is past its time, and why it still exists.
type retentionView struct {
	Why     whyKept    `json:"why"`
	Overdue int64      `json:"overdueEvents"`          // upper bound: counts all events of a segment that has one
	Since   *time.Time `json:"overdueSince,omitempty"` // when the first of them became overdue
}

// whyKept is the reason why a log still has its oldest event.
type whyKept string

const (
	noLimit     whyKept = "noLimit"     // no setting says that it must be removed
	legalHold   whyKept = "legalHold"   // the project is under legal hold
	withinLimit whyKept = "withinLimit" // no event is past its time
	notDueYet   whyKept = "notDueYet"   // events are past their time, but not for long enough to rewrite a segment
	nextPass    whyKept = "nextPass"    // the next pass removes it, unless a younger event is before it
)

// limit returns the times (milliseconds since the epoch) before which events of a log are past their time, and before
// which they are due for removal, under a project's settings.
func (l keptLog) limit(r account.Retention, now time.Time) (before, due int64) {
	switch {
	case !l.deleted.IsZero() && now.After(l.end(r)):
		return math.MaxInt64, math.MaxInt64
	case !l.deleted.IsZero() || !l.limited(r):
		return math.MinInt64, math.MinInt64
	}
	tooOld, mustGo := r.Limit(now)
	return tooOld.UnixMilli(), mustGo.UnixMilli()
}

// limited tells whether a setting says that events of the log must be removed.
func (l keptLog) limited(r account.Retention) bool {
	return !l.deleted.IsZero() || l.workspace != nil && r.Days > 0
}

// end returns when a deleted log must be removed.
func (l keptLog) end(r account.Retention) time.Time { return l.deleted.AddDate(0, 0, r.Kept()) }

// retention returns how much of a log is past its time. info must be of the log and its limit.
func (l keptLog) retention(r account.Retention, info tlog.Info, now time.Time) retentionView {
	v := retentionView{Overdue: info.Older}
	if v.Overdue > 0 {
		since := time.UnixMilli(info.MinTime).AddDate(0, 0, r.Days).UTC()
		if !l.deleted.IsZero() {
			since = l.end(r).UTC().Truncate(time.Second)
		}
		v.Since = &since
	}
	_, due := l.limit(r, now)
	switch {
	case r.Hold:
		v.Why = legalHold
	case !l.limited(r):
		v.Why = noLimit
	case v.Overdue == 0:
		v.Why = withinLimit
	case info.MinTime >= due:
		v.Why = notDueYet
	default:
		v.Why = nextPass
	}
	return v
}
