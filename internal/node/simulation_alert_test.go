package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
)

// alertEvery is the time between two passes over the rules of alerts. It coincides with no other period (followEvery).
const alertEvery = 13*time.Second + 137*time.Millisecond

// phonePauses are those after what the phone did not accept.
var phonePauses = retry.Policy{First: 3 * time.Second, Longest: 10 * time.Second, Even: true}

// phone is told of alerts. As long as the cluster is not healthy, it fails now and then, before and after it accepts.
type phone struct{ cluster *cluster }

// Send implements alert.Notifier.
func (p phone) Send(_ context.Context, _ *notify.Notifier, messages []notify.Message) (int, error) {
	c := p.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range messages {
		id := m.ID()
		c.rung[id]++
		h := fnv.New32a()
		fmt.Fprint(h, id, c.rung[id])
		fate := h.Sum32() % 8
		if !c.healthy && fate == 0 {
			return i, errRefused
		}
		c.told[id] = true
		if !c.healthy && fate == 1 {
			return i, errRefused
		}
	}
	return len(messages), nil
}

// makeRules gives a project, the first one, a rule that fires for each event of one stream processor by itself, and
// somebody who is told.
func (c *cluster) makeRules(ctx context.Context, p *account.Project) error {
	if c.alerting != "" {
		return nil
	}
	c.alerting = p.ID
	made, err := newSecrets(ctx, &c.config, c.world.Bucket)
	if err != nil {
		return err
	}
	now := time.Now()
	_, err = alert.NewSets(seal.NewBucket(c.world.Bucket, made.seals())).UpdateOrCreate(ctx, p.ID,
		func(s *alert.Set) error {
			s.Project = p.ID
			s.Notifiers = []notify.Notifier{{ID: account.NewID(now), Name: "phone", Type: notify.Webhook}}
			s.Rules = []rule.Rule{{ID: account.NewID(now), Since: now.Add(-time.Hour), Definition: rule.Definition{
				Name: "each", Kind: rule.Threshold, Query: "entity.name:a", By: []string{"metadata.uid"}, Count: 1,
				Within: rule.Duration(10 * time.Second)}}}
			return nil
		})
	return err
}

// allTold checks that each event for which the rule fires has one alert in the project's log, however often nodes have
// evaluated it, that no other event has one, and that the phone accepted each.
func (c *cluster) allTold() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := map[string]bool{}
	for _, log := range c.logs {
		if log.limited {
			continue
		}
		for _, line := range log.lines {
			var e struct {
				Metadata struct{ UID string }
				Entity   struct{ Name string }
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return err
			}
			if e.Entity.Name == "a" {
				want[e.Metadata.UID] = true
			}
		}
	}
	r, err := c.observer.ReadSequenced(context.Background(), c.alerting, tlog.All)
	if errors.Is(err, bucket.ErrNotExist) && len(want) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for entry, err := range r.Entries(context.Background(), 0) {
		var e struct {
			Activity int                  `json:"activity_id"`
			Info     struct{ UID string } `json:"finding_info"`
			Unmapped struct {
				Param struct{ Group map[string]string }
			}
		}
		if err == nil {
			err = json.Unmarshal(entry.Line, &e)
		}
		if err != nil {
			return err
		}
		if e.Activity != 1 {
			continue
		}
		uid := e.Unmapped.Param.Group["metadata.uid"]
		if !want[uid] {
			return fmt.Errorf("an alert for the event %q, which has one already or should have none: %s",
				uid, entry.Line)
		}
		delete(want, uid)
		if !c.told[e.Info.UID+"-fired"] {
			return fmt.Errorf("the phone did not accept the alert for %s", uid)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("no alerts for the events %v", want)
	}
	return nil
}
