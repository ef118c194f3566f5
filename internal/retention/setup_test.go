package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/source"
)

// setups are the sources, deliveries and rules of the projects of a world.
type setups struct {
	t          *testing.T
	w          *world
	sources    *source.Directory
	deliveries *setup.Deliveries
	rules      *alert.Store
}

func newSetups(t *testing.T) *setups { return newWorld(t).withSetups() }

// withSetups adds what projects set up.
func (w *world) withSetups() *setups {
	s := &setups{w.t, w, source.NewDirectory(w.faulty, seal.Box{}),
		setup.New(setup.Parts{Bucket: w.faulty, Accounts: w.Accounts, Logs: w.Logs, Recorder: w.Recorder}),
		alert.NewStore(w.faulty)}
	w.Setups, w.Readers = []Setup{s.sources, s.deliveries, s.rules}, []Reader{s.deliveries}
	return s
}

// setUp makes a project that has a source, a delivery and a rule, each with a state.
func (s *setups) setUp(name string) (project string) {
	ctx, now := s.t.Context(), time.Now()
	had, err := s.w.Accounts.Project(ctx, s.w.project)
	if err != nil {
		s.t.Fatal(err)
	}
	p := account.Project{ID: account.NewID(now), Org: had.Org, Name: name}
	of := source.Source{ID: account.NewID(now), Project: p.ID, Type: source.Atlas, Atlas: new(source.AtlasSettings)}
	d := deliver.Delivery{ID: account.NewID(now), Project: p.ID, LogTypes: []string{setup.Events}}
	r := rule.Rule{ID: account.NewID(now)}
	_, ruled := s.rules.UpdateOrCreate(ctx, p.ID, func(set *alert.Set) error {
		set.Project, set.Rules = p.ID, []rule.Rule{r}
		return nil
	})
	err = errors.Join(s.w.Accounts.CreateProject(ctx, p), s.sources.Add(ctx, of),
		doc.Write(ctx, s.w.faulty, "sourcestate/"+of.ID, 0, collect.State{}),
		s.deliveries.Create(ctx, d, setup.Start{}), ruled,
		doc.Write(ctx, s.w.faulty, "alertstate/"+r.ID, 0, rule.NewState(&r)))
	if err != nil {
		s.t.Fatal(err)
	}
	return p.ID
}

// left returns which kinds of things a project still has, and how many states there are of all projects.
func (s *setups) left(project string) (kinds []string, states int) {
	ctx := s.t.Context()
	sources, err1 := s.sources.List(ctx, project)
	deliveries, err2 := s.deliveries.Of(ctx, project)
	rules, err3 := s.rules.GetOrEmpty(ctx, project)
	if err := errors.Join(err1, err2, err3); err != nil {
		s.t.Fatal(err)
	}
	for kind, n := range map[string]int{
		"sources": len(sources), "deliveries": len(deliveries), "rules": len(rules.Rules)} {
		if n > 0 {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	for info, err := range s.w.faulty.List(ctx, "", "") {
		if err != nil {
			s.t.Fatal(err)
		}
		if kind, _ := layout.Of(info.Key); strings.HasPrefix(string(kind.Name), "state of a") {
			states++
		}
	}
	return kinds, states
}

var all = []string{"deliveries", "rules", "sources"}

func TestWhatADeletedProjectHadSetUpIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetups(t)
		living, gone, lost := s.setUp("living"), s.setUp("gone"), s.setUp("lost")
		_, err := s.w.Accounts.DeleteProject(t.Context(), gone, func(*account.Project) error { return nil })
		if err == nil {
			err = s.w.faulty.Delete(t.Context(), "projects/"+lost+"/0000000001.json")
		}
		if err != nil {
			t.Fatal(err)
		}
		s.w.Accounts = account.NewDirectory(s.w.faulty)
		for range 2 {
			if err := s.w.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for project, want := range map[string][]string{living: all, gone: nil, lost: all} {
				if kinds, states := s.left(project); !slices.Equal(kinds, want) || states != 6 {
					t.Errorf("%s has %v, want %v; %d states of all, want 6", project, kinds, want, states)
				}
			}
		}
	})
}

// Whatever request to the bucket fails, a later pass removes the rest.
func TestDroppingGoesOnAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, step := newWorld(t), 1
		if testing.Short() {
			step = 4
		}
		for fail := 1; ; fail += step {
			s := first.copied().withSetups()
			gone := s.setUp("gone")
			_, err := s.w.Accounts.DeleteProject(t.Context(), gone, func(*account.Project) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			s.w.faulty.Before = func(context.Context, bucketest.Op, string) error {
				if n++; n >= fail {
					return errors.New("away")
				}
				return nil
			}
			err = s.w.Run(t.Context())
			s.w.faulty.Before = nil
			if err == nil && n < fail {
				return
			}
			if err := s.w.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if kinds, states := s.left(gone); len(kinds) > 0 || states > 0 {
				t.Errorf("after failures from request %d on: %v, %d states", fail, kinds, states)
			}
		}
	})
}

// A delivery that does not read a log of a deleted workspace to its end, since it is paused or no node delivers, has
// missed the rest: an event says so, once, and its status, whatever request to the bucket fails meanwhile.
func TestWhatDeliveriesMissOfADroppedLogIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := 1
		if testing.Short() {
			step = 4
		}
		for fail := 1; ; fail += step { // Each has a world of its own, since 400 days pass.
			s := newSetups(t)
			ctx, now := t.Context(), time.Now()
			add := func(next int64) deliver.Delivery {
				d := deliver.Delivery{ID: account.NewID(now), Project: s.w.project, LogTypes: []string{setup.StreamsAudit},
					Paused: true}
				log := s.w.change(func(*account.Project) {}).Workspaces[0].AuditLog
				start, err := setup.ParseStart(fmt.Sprint(log, "/", next))
				if err = errors.Join(err, s.deliveries.Create(ctx, d, start)); err != nil {
					t.Fatal(err)
				}
				return d
			}
			behind, done := add(70), add(100)
			var log string
			s.w.change(func(p *account.Project) {
				w := p.Workspaces[0]
				log, p.Workspaces = w.AuditLog, nil
				p.Gone = []account.DeletedWorkspace{{Workspace: w, Deleted: now}}
			})
			time.Sleep(400 * day)
			n := 0
			s.w.faulty.Before = func(context.Context, bucketest.Op, string) error {
				if n++; n == fail {
					return errors.New("away")
				}
				return nil
			}
			err := s.w.Run(ctx)
			failed := err != nil
			s.w.faulty.Before = nil
			for range 3 { // removed objects stay for a while
				time.Sleep(day)
				if err := s.w.Run(ctx); err != nil {
					t.Fatal(err)
				}
			}
			told := 0
			for _, line := range s.w.lines(s.w.project) {
				if strings.Contains(line, "missEvents") {
					told++
					if !strings.Contains(line, behind.ID) || !strings.Contains(line, log) ||
						!strings.Contains(line, `"firstEntry":70,"entries":30`) {
						t.Errorf("after a failure of request %d: %s", fail, line)
					}
				}
			}
			if told == 0 || told > 1 && !failed {
				t.Errorf("after a failure of request %d: told %d times", fail, told)
			}
			for id, missed := range map[string]int64{behind.ID: 30, done.ID: 0} {
				all, err := s.deliveries.Progress(ctx, &deliver.Delivery{ID: id, Project: s.w.project})
				if missed > 0 != (len(all) > 0) || err != nil || missed > 0 &&
					(all[0].Missed != missed || all[0].Lag() != 0 || all[0].Name != "demo/audit" || all[0].Log != log) {
					t.Errorf("after a failure of request %d: %+v, %v", fail, all, err)
				}
			}
			if n < fail {
				return
			}
		}
	})
}
