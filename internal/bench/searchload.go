package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/index"
	stored "github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/verify"
)

// besides is how recording goes while many search.
type besides struct {
	Searches int     `json:"searches"`       // at a time
	Alone    float64 `json:"eventsAlone"`    // recorded a second
	With     float64 `json:"eventsBeside"`   // and while they search
	Answered float64 `json:"answersASecond"` // to searches
	Busy     int64   `json:"busy"`           // replies 429, after which the client came again
	Peak     int64   `json:"peakResidentBytes"`
}

const (
	searchesAtOnce = 50
	searchCallers  = 5 // credentials that they are of
)

// beside measures recording of 8 clients with 5,000 events a request, alone and while searches of all kinds go on.
func (m *searching) beside(ctx context.Context) error {
	return m.with(ctx, m.bucket, func(s *server, c *client) error {
		rec := &recorder{server: s, client: c, workspace: recording, seed: m.Seed + 1, span: time.Second, last: m.For,
			repeat: m.Times}
		load := recorded{Clients: 8, Events: 5000}
		rate := func() (float64, error) {
			r, err := rec.measure(ctx, load)
			return r.Rate, err
		}
		b := &besides{Searches: searchesAtOnce}
		var err error
		if b.Alone, err = rate(); err != nil {
			return err
		}
		callers, err := m.callers(ctx, c)
		if err != nil {
			return err
		}
		while, stop := context.WithCancel(ctx)
		defer stop()
		var answers, busy atomic.Int64
		group := new(errgroup.Group)
		all := questions(m.uid)
		for i := range searchesAtOnce {
			group.Go(func() error {
				for n := i; while.Err() == nil; n++ {
					_, _, err := m.ask(while, callers[i%len(callers)], all[n%len(all)])
					switch {
					case errors.Is(err, errBusy):
						busy.Add(1)
						time.Sleep(100 * time.Millisecond)
					case err != nil && while.Err() == nil:
						return err
					case err == nil:
						answers.Add(1)
					}
				}
				return nil
			})
		}
		begin := time.Now()
		b.With, err = m.rateWhile(ctx, rec, load)
		took := time.Since(begin)
		stop()
		if err := errors.Join(err, group.Wait()); err != nil {
			return err
		}
		b.Answered, b.Busy = float64(answers.Load())/took.Seconds(), busy.Load()
		b.Peak, err = s.memory("VmHWM")
		m.report.Beside = b
		return err
	})
}

// rateWhile is the rate of a recording on a server that does not get quiet: the median of the repetitions.
func (m *searching) rateWhile(ctx context.Context, rec *recorder, load recorded) (float64, error) {
	bodies := rec.bodies(load)
	var rates []float64
	for range m.Times {
		begin := time.Now()
		took, _, err := rec.run(ctx, bodies, rec.span, begin.Add(rec.last))
		if err != nil {
			return 0, err
		}
		rates = append(rates, float64(len(took)*load.Events)/time.Since(begin).Seconds())
	}
	return median(rates), nil
}

// callers returns clients of credentials of their own, since a credential has a bounded share of what is searched.
func (m *searching) callers(ctx context.Context, c *client) (all []*client, err error) {
	for i := range searchCallers {
		var made struct {
			ID      string `json:"clientId"`
			Secrets []struct{ Secret string }
		}
		body := fmt.Sprintf(`{"name":"search-%d","description":"searches","roles":["ORG_OWNER"],`+
			`"secretExpiresAfterHours":24}`, i)
		req, err := http.NewRequestWithContext(ctx, "POST", c.base+"/api/atlas/v2/orgs/"+c.org+"/serviceAccounts",
			strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/vnd.atlas.2024-08-05+json")
		if err := c.do(req, &made); err != nil {
			return nil, fmt.Errorf("make a credential: %w", err)
		}
		if len(made.Secrets) != 1 {
			return nil, errors.New("make a credential: the reply has no secret")
		}
		creds := c.credentials
		creds.id, creds.secret = made.ID, made.Secrets[0].Secret
		caller, err := newClient(ctx, c.base, creds)
		if err != nil {
			return nil, err
		}
		all = append(all, caller)
	}
	return all, nil
}

// fieldsTaken is how long it takes to tell which fields events have.
type fieldsTaken struct {
	All  float64 `json:"allMilliseconds"`  // over everything
	Busy float64 `json:"busyMilliseconds"` // of the events of an IP
	Hint float64 `json:"hintMilliseconds"` // a search for a field that no event has
}

// fields measures events:fields, and a search that gets a hint.
func (m *searching) fields(ctx context.Context) error {
	return m.with(ctx, m.bucket, func(s *server, c *client) error {
		f := &fieldsTaken{}
		all := questions(m.uid)
		for _, t := range []struct {
			into        *float64
			query, path string
		}{
			{&f.All, "*", ":fields"}, {&f.Busy, all[1].query, ":fields"}, {&f.Hint, "actor.user.nmae:admin", ""},
		} {
			_, v := question{query: t.query}.ask(c.project, m.log, m.span())
			v.Del("limit")
			var times []float64
			for i := range m.Repeat + 1 {
				_, took, err := c.get(ctx, "/api/weir/v1/groups/"+c.project+"/events"+t.path, v)
				if err != nil {
					return err
				}
				if i > 0 {
					times = append(times, milliseconds(took))
				}
			}
			*t.into = median(times)
		}
		m.report.Fields = f
		return nil
	})
}

// checked is how fast a check of the log is: events a second, CPU of this process.
type checked struct {
	With    float64 `json:"eventsASecond"`        // indexes are made again and compared
	Without float64 `json:"eventsASecondWithout"` // they are only read
	CPU     float64 `json:"cpuMicrosecondsPerEvent"`
	CPUBare float64 `json:"cpuMicrosecondsPerEventWithout"`
}

// check measures what "weir bucket check" does with a log, with indexes and without, in turn.
func (m *searching) check(ctx context.Context) error {
	b, err := folder.OpenReader(m.bucket, "")
	if err != nil {
		return err
	}
	keys, err := verify.LoadKeys(m.bucket + ".signing-key")
	if err != nil {
		return err
	}
	var rates, cpus [2][]float64
	for range m.tries {
		for i, kinds := range [][]stored.Kind{{index.Kind{Least: 1}}, nil} {
			d := audit.Auditor{Bucket: b, Keys: keys, Beside: kinds}
			begin, before := time.Now(), ownCPU()
			a, err := d.Log(ctx, m.log)
			if err != nil {
				return err
			}
			if len(a.Findings) > 0 || a.Size == 0 {
				return fmt.Errorf("the check of %s finds %+v", filepath.Base(m.bucket), a.Findings)
			}
			rates[i] = append(rates[i], float64(a.Size)/time.Since(begin).Seconds())
			cpus[i] = append(cpus[i], float64((ownCPU()-before).Nanoseconds())/1000/float64(a.Size))
		}
	}
	m.report.Check = &checked{median(rates[0]), median(rates[1]), median(cpus[0]), median(cpus[1])}
	return nil
}
