package api

import (
	"fmt"
	"testing"

	"github.com/weirlog/weir/internal/limit"
)

// One tenant leaves room for others of what a node does at a time, however many credentials and projects it has.
func TestTenantsLeaveRoomForOthers(t *testing.T) {
	w := newWorld(t, Options{})
	for name, s := range map[string]*limit.Shares[string]{
		"searches": w.server.searches, "tails": w.server.tails, "requests that wait for entries": w.server.waiters,
	} {
		taken := 0
		for i := range 10_000 {
			if _, err := s.TryTake(1, fmt.Sprint("greedy ", i), "its project", "its organization"); err == nil {
				taken++
			}
		}
		ofProject := taken
		for i := range 10_000 {
			if _, err := s.TryTake(1, fmt.Sprint("more ", i), fmt.Sprint("project ", i), "its organization"); err == nil {
				taken++
			}
		}
		if ofProject == 0 {
			t.Errorf("%s: a project has no share", name)
		}
		if _, err := s.TryTake(1, "modest", "another project", "another organization"); err != nil {
			t.Errorf("%s: one tenant has all %d (a project %d): %v", name, taken, ofProject, err)
		}
	}
}
