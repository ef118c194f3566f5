package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/event"
)

// settle looks at the time for a rule, and writes its state if need be. The log and the notifiers are told of an alert
// only after the state with it is written.
func (p *project) settle(ctx context.Context, set *Set, h *held, now time.Time) error {
	h.look(now)
	p.prepare(set, h)
	if err := p.keep(ctx, h, now); err != nil {
		if errors.Is(err, doc.ErrConflict) { // by another node, whose state counts
			delete(p.rules, h.rule.ID)
			return nil
		}
		return fmt.Errorf("state of rule %s: %w", h.rule.ID, err)
	}
	return nil
}

// finish forgets the alerts of a rule that are over and told, and the rule if it is deleted.
func (p *project) finish(ctx context.Context, set *Set, h *held) error {
	s, notifiers := h.eval.State, set.notifiersOf(&h.rule)
	if makeRoom(s, notifiers, time.Now()) {
		h.moved, h.urgent = true, true
	}
	if s.Forget(func(a *rule.Alert) bool {
		for _, n := range notifiers {
			if sent := a.Sent[n.ID]; sent.Count < 2 && !(sent.Given && sent.Told) {
				return false
			}
		}
		return a.Said == 2 && len(a.Events) == 0
	}) {
		h.moved = true
	}
	if h.rule.Deleted && len(s.Alerts) == 0 {
		return p.remove(ctx, h)
	}
	return nil
}

// mostWaiting is how many alerts of a rule that are over may wait for notifiers that fail. It leaves room for as many
// new ones as a rule may have.
const mostWaiting = 150

// makeRoom gives up notifications by notifiers that fail, of the alerts that are over for longest, so that a dead
// notifier takes new alerts away from nobody.
func makeRoom(s *rule.State, notifiers []*notify.Notifier, now time.Time) (changed bool) {
	if len(s.Alerts) <= mostWaiting {
		return false
	}
	fails, over := map[string]bool{}, 0
	for _, a := range s.Alerts {
		if !a.Lasts() {
			over++
		}
		for id, sent := range a.Sent {
			fails[id] = fails[id] || sent.Error != "" && !sent.Given
		}
	}
	for _, a := range s.Alerts {
		if over <= mostWaiting {
			break
		}
		if a.Lasts() {
			continue
		}
		over--
		for _, n := range notifiers {
			sent := a.Sent[n.ID]
			if sent.Count == 2 || sent.Given || !fails[n.ID] {
				continue
			}
			if sent.At.IsZero() || sent.Error == "" {
				sent.At, sent.Error = now.UTC(), "it accepts nothing"
			}
			if a.Sent == nil {
				a.Sent = map[string]rule.Sent{}
			}
			sent.Given = true
			a.Sent[n.ID], changed = sent, true
		}
	}
	return changed
}

// look looks at the time.
func (h *held) look(now time.Time) {
	s, ms := h.eval.State, now.UnixMilli()
	switch {
	case h.rule.Disabled || h.rule.Deleted:
		s.End(ms)
		return
	case h.wrong != nil:
		s.Trouble(&h.rule, "its definition cannot be evaluated: "+h.wrong.Error(), ms)
		return
	}
	h.eval.Tick(ms)
	text := ""
	switch {
	case !h.failing.IsZero() && now.Sub(h.failing) >= troubledAfter:
		text = "a log that it looks at cannot be read; the nodes' logs say why"
	case h.lost != "" && now.Sub(h.lostAt) < lostFor:
		text = h.lost
	case s.Crowded > ms:
		text = "it has more groups or points in time than can be kept: groups are counted together, or not waited for"
	}
	s.Trouble(&h.rule, text, ms)
}

// A state is written after keepAfter, or later, if it is large.
const (
	keepAfter = time.Minute
	keepBytes = 64 << 10
)

// keptStates is how many versions of a state stay, so that a reader which has listed the highest finds it.
const keptStates = 4

// keep writes the state, if it is urgent or was not written for a while.
func (p *project) keep(ctx context.Context, h *held, now time.Time) error {
	due := keepAfter * time.Duration(1+h.size/keepBytes)
	if !h.urgent && (!h.moved || now.Sub(h.kept) < due) {
		return nil
	}
	data, err := json.Marshal(h.eval.State)
	if err != nil {
		return err
	}
	h.size = len(data)
	b, prefix := p.engine.Bucket, statePrefix(h.rule.ID)
	if err := doc.Write(ctx, b, prefix, h.version, json.RawMessage(data)); err != nil {
		return err
	}
	// A node that slept may have written a version anew that was deleted. Then a higher one counts.
	highest, err := doc.Highest(ctx, b, prefix, h.version+1)
	if err != nil {
		return err
	}
	if highest > h.version+1 {
		return fmt.Errorf("version %d: %w", h.version+1, doc.ErrConflict)
	}
	h.version++
	h.kept, h.moved, h.urgent = now, false, false
	if h.version%keptStates != 0 {
		return nil
	}
	return doc.Clean(ctx, b, prefix, h.version-keptStates)
}

// prepare makes the events of alerts. They are written with the state before they are recorded, so that the log has
// each once, however often it is recorded.
func (p *project) prepare(set *Set, h *held) {
	add := func(a *rule.Alert, f event.Finding) {
		a.Events = append(a.Events, string(event.Found(f)))
		h.urgent = true
	}
	notifiers := set.notifiersOf(&h.rule)
	for _, a := range h.eval.State.Alerts {
		if a.Said == 0 {
			a.Said = 1
			add(a, p.finding(h, a, event.AlertFired, a.Fired))
		}
		if a.Said == 1 && !a.Lasts() {
			a.Said = 2
			add(a, p.finding(h, a, event.AlertResolved, a.Resolved))
		}
		for _, n := range notifiers {
			sent := a.Sent[n.ID]
			if !sent.Given || sent.Told {
				continue
			}
			f := p.finding(h, a, event.AlertGivenUp, sent.At.UnixMilli())
			f.UID += "-" + n.ID
			f.Text = fmt.Sprintf("The notifier %s did not accept a notification of this alert %s: %s", n.Name,
				triedFor(a, sent), sent.Error)
			sent.Told = true
			a.Sent[n.ID] = sent
			add(a, f)
		}
	}
}

// triedFor says why no notification of an alert is tried any more.
func triedFor(a *rule.Alert, sent rule.Sent) string {
	if sent.At.Sub(time.UnixMilli(max(a.Fired, a.Resolved))) > giveUpAfter {
		return fmt.Sprintf("for %d days", int(giveUpAfter/day))
	}
	return "until newer alerts needed its place"
}

// mostEvents bounds how many events of alerts are recorded in a pass. They come into the log together.
const mostEvents = 500

// record records the events of alerts in the project's own log. rest tells that there are more.
func (p *project) record(ctx context.Context, rules []*held) (rest bool, err error) {
	var events [][]byte
	recorded := func() {}
	for _, h := range rules {
		for _, a := range h.eval.State.Alerts {
			n := min(len(a.Events), mostEvents-len(events))
			rest = rest || n < len(a.Events)
			if n == 0 {
				continue
			}
			for _, one := range a.Events[:n] {
				events = append(events, []byte(one))
			}
			before := recorded
			recorded = func() { before(); a.Events, h.moved = slices.Delete(a.Events, 0, n), true }
		}
	}
	if len(events) == 0 {
		return false, nil
	}
	if err := p.engine.Recorder.RecordOwn(ctx, []string{p.id}, events...); err != nil {
		return false, fmt.Errorf("events of alerts: %w", err)
	}
	recorded()
	return rest, nil
}

// activities are the ends of the uids of events.
var activities = map[event.FindingActivity]string{event.AlertFired: "fired", event.AlertResolved: "resolved",
	event.AlertGivenUp: "given-up"}

// finding returns the content of the event of an alert.
func (p *project) finding(h *held, a *rule.Alert, activity event.FindingActivity, at int64) event.Finding {
	return event.Finding{UID: a.ID + "-" + activities[activity], Time: time.UnixMilli(at), Project: p.id,
		Activity: activity, Severity: h.rule.Severity.Number(), Alert: a.ID, Rule: h.rule.Name, RuleID: h.rule.ID,
		Text: h.rule.Text(a), Cause: string(a.Cause), Group: h.rule.GroupOf(a), Log: a.Log, Entry: a.Entry,
		First: time.UnixMilli(a.From), Last: time.UnixMilli(max(a.From, a.To)), Query: h.rule.Query,
		Question: link(p.engine.PublicURL, p.id, &h.rule, a)}
}

// remove removes the state of a deleted rule.
func (p *project) remove(ctx context.Context, h *held) error {
	if err := doc.Clean(ctx, p.engine.Bucket, statePrefix(h.rule.ID), h.version); err != nil {
		return err
	}
	_, err := p.engine.Sets.Update(ctx, p.id, func(s *Set) error {
		s.Rules = slices.DeleteFunc(s.Rules, func(r rule.Rule) bool { return r.ID == h.rule.ID && r.Deleted })
		return nil
	})
	if err == nil {
		delete(p.rules, h.rule.ID)
	}
	return err
}
