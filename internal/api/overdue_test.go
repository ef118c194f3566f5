package api

import (
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/tlog"
)

const day = 24 * time.Hour

// The list of logs says how much of each is overdue, and why it still exists.
func TestListSaysWhatIsOverdue(t *testing.T) {
	w := newWorld(t, Options{})
	for uid, age := range map[string]time.Duration{"old": 30*day + 6*time.Hour, "young": 29 * day} {
		if rec := w.record(eventLine(uid, now.Add(-age).UnixMilli()), account.GroupOwner); rec.Code != 200 {
			t.Fatal(rec.Body)
		}
	}
	base := "/api/weir/v1/groups/" + projectID
	check := func(settings string, why whyKept, overdue int64) {
		t.Helper()
		if rec := w.as(account.GroupOwner, "PATCH", base+"/settings", settings); rec.Code != 200 {
			t.Fatal(rec.Body)
		}
		for _, l := range want[page[logView]](t, 200, w.as(account.GroupOwner, "GET", base+"/logs", "")).Results {
			got := l.Retention
			if l.ID != demoLog {
				if got.Overdue != 0 || got.Since != nil || l.Kind == "project" && why != legalHold &&
					got.Why != noLimit {
					t.Errorf("%s: log %s, %s: %+v", settings, l.ID, l.Kind, got)
				}
				continue
			}
			since := got.Since != nil && got.Since.Equal(now.Add(-6*time.Hour))
			if got.Why != why || got.Overdue != overdue || since != (overdue > 0) {
				t.Errorf("%s: %+v, since %v", settings, got, got.Since)
			}
		}
	}
	check(`{}`, noLimit, 0)
	check(`{"retentionDays":31}`, withinLimit, 0)
	check(`{"retentionDays":30}`, notDueYet, 1)
	check(`{"legalHold":true}`, legalHold, 1)
}

func TestWhyALogIsKept(t *testing.T) {
	workspace := new(account.Workspace)
	limited := account.Retention{Days: 30}
	for _, c := range []struct {
		log       keptLog
		retention account.Retention
		age       time.Duration // of the oldest event
		want      whyKept
		since     time.Duration // before now
	}{
		{keptLog{}, limited, 90 * day, noLimit, 0},
		{keptLog{workspace: workspace}, account.Retention{DeletedDays: 40}, 90 * day, noLimit, 0},
		{keptLog{workspace: workspace}, limited, 30 * day, withinLimit, 0},
		{keptLog{workspace: workspace}, limited, 30*day + 18*time.Hour, notDueYet, 18 * time.Hour},
		{keptLog{workspace: workspace}, limited, 30*day + 19*time.Hour, nextPass, 19 * time.Hour},
		{keptLog{workspace: workspace}, account.Retention{Days: 400}, 409 * day, notDueYet, 9 * day},
		{keptLog{workspace: workspace}, account.Retention{Days: 400}, 411 * day, nextPass, 11 * day},
		{keptLog{workspace: workspace}, account.Retention{Days: 30, Hold: true}, 90 * day, legalHold, 60 * day},
		{keptLog{workspace: workspace, deleted: now.Add(-29 * day)}, limited, 90 * day, withinLimit, 0},
		{keptLog{workspace: workspace, deleted: now.Add(-31 * day)}, limited, 40 * day, nextPass, day},
		{keptLog{deleted: now.Add(-31 * day)}, account.Retention{DeletedDays: 40}, 40 * day, withinLimit, 0},
	} {
		oldest := now.Add(-c.age).UnixMilli()
		info := tlog.Info{Entries: 1, MinTime: oldest, MaxTime: oldest}
		if before, _ := c.log.limit(c.retention, now); oldest < before {
			info.Older = 1
		}
		got := c.log.retention(c.retention, info, now)
		if got.Why != c.want || (got.Since != nil) != (c.since > 0) ||
			got.Since != nil && !got.Since.Equal(now.Add(-c.since)) {
			t.Errorf("%+v, %+v, oldest event of %v: %+v, since %v", c.log, c.retention, c.age, got, got.Since)
		}
	}
}
