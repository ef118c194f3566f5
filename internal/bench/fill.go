package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// big is the workspace with the corpus, recording the one that recordings go to.
const (
	big       = "big"
	recording = "recording"
)

// perRequest is how many events a request has that fills.
const perRequest = 5000

// fill records the corpus, in the order of its times, and makes the small workspaces. It returns how long the corpus
// took.
func fill(ctx context.Context, c *client, all corpus.Corpus, workspaces int) (time.Duration, error) {
	if _, err := c.create(ctx, "/api/atlas/v2/groups/"+c.project+"/streams", workspace(recording)); err != nil {
		return 0, err
	}
	bodies := make(chan *corpus.Body, 2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(bodies)
		for b := all.NewBody(perRequest); b.Count() > 0; b = all.NewBody(perRequest) {
			select {
			case bodies <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	begin := time.Now()
	group.Go(func() error {
		for b := range bodies {
			if _, _, err := c.record(ctx, c.project, big, b.Lines); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("fill: %w", err)
	}
	return time.Since(begin), nil
}

func workspace(name string) any {
	type region struct {
		CloudProvider string `json:"cloudProvider"`
		Region        string `json:"region"`
	}
	return struct {
		Name   string `json:"name"`
		Region region `json:"dataProcessRegion"`
	}{name, region{"AWS", "VIRGINIA_USA"}}
}

// Small workspaces are spread over projects, and have few events each.
const (
	perProject   = 100
	eventsOfEach = 10
)

// fillSmall makes n small workspaces with a few events each.
func fillSmall(ctx context.Context, c *client, n int, until time.Time) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(8, (n+perProject-1)/perProject) {
		group.Go(func() error {
			for first := int(next.Add(perProject)) - perProject; first < n; first = int(next.Add(perProject)) - perProject {
				if err := fillProject(ctx, c, first, min(first+perProject, n), until); err != nil {
					return fmt.Errorf("small workspaces: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func fillProject(ctx context.Context, c *client, first, last int, until time.Time) error {
	project, err := c.create(ctx, "/api/atlas/v2/groups", map[string]string{"name": fmt.Sprintf("project-%d", first),
		"orgId": c.org})
	if err != nil {
		return err
	}
	for i := first; i < last; i++ {
		if _, err := c.create(ctx, "/api/atlas/v2/groups/"+project+"/streams",
			workspace(corpus.WorkspaceName(i))); err != nil {
			return err
		}
		if _, _, err := c.record(ctx, project, corpus.WorkspaceName(i),
			corpus.Small(eventsOfEach, uint64(i), until)); err != nil {
			return err
		}
	}
	return nil
}
