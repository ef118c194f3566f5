package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// irregular weighs the index of a corpus whose events are less alike, of fewer events.
func (m *searching) irregular(ctx context.Context) error {
	s := m.settings
	s.Events = max(1, s.Events/3)
	v, err := s.newSearching(ctx, m.binary, "irregular", m.report)
	if err != nil {
		return err
	}
	err = v.with(ctx, v.bucket, func(s *server, c *client) error {
		all := v.corpus()
		all.Varied = true
		if _, err := fill(ctx, c, all, 0); err != nil {
			return err
		}
		return s.quiet(ctx)
	})
	if err != nil {
		return err
	}
	d, err := weigh(v.bucket)
	m.report.Disk = append(m.report.Disk, searchDisk{Name: "weir, irregular events", All: d.All, Index: d.Beside})
	return errors.Join(err, os.RemoveAll(v.dir))
}

// grown is the time of the questions at one size.
type grown struct {
	Events int       `json:"events"`
	Warm   []float64 `json:"warmMilliseconds"` // of the questions that grow
}

// growth asks some questions of logs of other sizes, up to -most.
func (m *searching) growth(ctx context.Context) error {
	for n := 100_000; n <= m.most; n *= 10 {
		s := m.settings
		s.Events = n
		g := grown{Events: n}
		v, err := s.newSearching(ctx, m.binary, fmt.Sprintf("growth-%d", n), &searchReport{})
		if err == nil {
			err = v.fill(ctx)
		}
		if err == nil {
			err = v.with(ctx, v.bucket, func(_ *server, c *client) error {
				g.Warm, err = v.growing(ctx, c)
				return err
			})
		}
		if err := errors.Join(err, os.RemoveAll(v.dir)); err != nil {
			return err
		}
		m.report.Growth = append(m.report.Growth, g)
	}
	return nil
}

func (m *searching) growing(ctx context.Context, c *client) (warm []float64, err error) {
	for _, q := range questions(m.uid) {
		if !q.grows {
			continue
		}
		a, err := m.warmOf(ctx, c, q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Name, err)
		}
		warm = append(warm, a.Warm)
	}
	return warm, nil
}

// ownCPU returns the processor time that this process has used.
func ownCPU() time.Duration { return cpuOf(os.Getpid()) }
