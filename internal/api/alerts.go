package api

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/event"
)

// alerts are the operations on the alert rules of projects.
type alerts struct {
	control
	store *alert.Store
}

type ruleView struct {
	rule.Definition
	Created time.Time `json:"createdAt"`
	ID      string    `json:"id"`
	Since   time.Time `json:"evaluatedSince"`
}

func showRule(_ *call, r rule.Rule) ruleView { return ruleView{r.Definition, r.Created, r.ID, r.Since} }

func (h alerts) set(c *call) (*alert.Set, error) {
	return h.store.GetOrEmpty(c.context(), c.scope.project.ID)
}

// find returns the rule in the path.
func (h alerts) find(c *call) (*rule.Rule, error) {
	set, err := h.set(c)
	if err != nil {
		return nil, err
	}
	if r := set.Rule(c.path("alertId")); r != nil {
		return r, nil
	}
	return nil, alertNotFound(c.path("alertId"))
}

func (h alerts) list(c *call) (any, error) {
	set, err := h.set(c)
	if err != nil {
		return nil, err
	}
	return paginate(c, set.Living(), mapEach(c, showRule))
}

func (h alerts) get(c *call) (any, error) {
	r, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return showRule(c, *r), nil
}

// definitionOf parses a definition strictly. An unknown attribute is probably misspelt, and without it the rule would
// match other events.
func definitionOf(data []byte) (rule.Definition, error) {
	d, err := rule.Decode(data)
	if err != nil {
		return d, invalidAttributes(field{"body", err.Error()})
	}
	return d, problems(d.Check())
}

// problems returns an error with the problems, or nil if there are none.
func problems(all []rule.Problem) error {
	var k checks
	for _, p := range all {
		k.check(false, p.Field, "%s", p.Text)
	}
	return k.err()
}

// fits checks a rule's definition against the set: its name must be unique, and the notifiers that it names must exist.
func fits(set *alert.Set, id string, d *rule.Definition) error {
	var k checks
	if other := set.Rule(d.Name); other != nil && other.ID != id {
		return conflict("DUPLICATE_ALERT_NAME", "The project has another rule named %s.", d.Name)
	}
	for _, name := range d.Notify {
		k.check(set.Notifier(name) != nil, "notify", "the project has no notifier named %s", quoted(name))
	}
	return k.err()
}

func (h alerts) create(c *call) (any, error) {
	data, err := decode[json.RawMessage](c)
	if err != nil {
		return nil, err
	}
	d, err := definitionOf(data)
	if err != nil {
		return nil, err
	}
	r := rule.Rule{Definition: d, ID: account.NewID(c.now), Created: c.now.UTC(), Since: c.now.UTC()}
	err = h.change(c, h.changed(c, event.Create, &r), func() (any, any, error) {
		_, err := h.store.UpdateOrCreate(c.detached(), c.scope.project.ID, func(s *alert.Set) error {
			if err := fits(s, r.ID, &d); err != nil {
				return err
			}
			if len(s.Living()) >= alert.MaxRules || len(s.Rules) >= 2*alert.MaxRules {
				return &account.Full{Of: "A project", What: "rules, with those that are still being deleted",
					Most: alert.MaxRules}
			}
			s.Project, s.Rules = c.scope.project.ID, append(s.Rules, r)
			return nil
		})
		return nil, showRule(c, r), err
	})
	if err != nil {
		return nil, err
	}
	return showRule(c, r), nil
}

func (h alerts) changed(c *call, a event.Activity, r *rule.Rule) changed {
	return changed{activity: a, kind: "Alert Rule", id: r.ID, name: r.Name, project: c.scope.project}
}

// update changes the attributes in the body. null removes an attribute.
func (h alerts) update(c *call) (any, error) {
	given, err := decode[map[string]json.RawMessage](c)
	if err != nil {
		return nil, err
	}
	was, err := h.find(c)
	if err != nil {
		return nil, err
	}
	if _, err := changedDefinition(was.Definition, given); err != nil {
		return nil, err
	}
	var now rule.Rule
	err = h.change(c, h.changed(c, event.Update, was), func() (before, after any, err error) {
		_, err = h.store.Update(c.detached(), c.scope.project.ID, func(s *alert.Set) error {
			r := s.Rule(was.ID)
			if r == nil {
				return alertNotFound(was.ID)
			}
			before = showRule(c, *r)
			d, err := changedDefinition(r.Definition, given)
			if err == nil {
				err = fits(s, r.ID, &d)
			}
			if err != nil {
				return err
			}
			if !d.SameLook(&r.Definition) {
				r.Since = c.now.UTC()
			}
			r.Definition, now = d, *r
			now.Definition = d
			return nil
		})
		return before, showRule(c, now), err
	})
	if err != nil {
		return nil, err
	}
	return showRule(c, now), nil
}

// changedDefinition returns a definition with the given attributes changed.
func changedDefinition(d rule.Definition, given map[string]json.RawMessage) (rule.Definition, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return d, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &all); err != nil {
		return d, err
	}
	maps.Copy(all, given)
	maps.DeleteFunc(all, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	if data, err = json.Marshal(all); err != nil {
		return d, err
	}
	return definitionOf(data)
}

// delete marks a rule as deleted. The node that evaluates it then ends its alerts and removes it.
func (h alerts) delete(c *call) (any, error) {
	was, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return nil, h.change(c, h.changed(c, event.Delete, was), func() (any, any, error) {
		_, err := h.store.Update(c.detached(), c.scope.project.ID, func(s *alert.Set) error {
			r := s.Rule(was.ID)
			if r == nil {
				return alertNotFound(was.ID)
			}
			r.Deleted = true
			return nil
		})
		return showRule(c, *was), nil, err
	})
}

// States of a rule.
const (
	ruleDisabled = "DISABLED"
	rulePending  = "PENDING" // no node has evaluated it yet
	ruleTrouble  = "TROUBLE" // it cannot be evaluated as defined
	ruleFiring   = "FIRING"
	ruleQuiet    = "QUIET"
)

type ruleStatus struct {
	Alerts  []alertView `json:"alerts"` // alerts that last, or about which a notifier has not been told
	Groups  int         `json:"groups"` // number of groups that the rule remembers
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Next    []nextEntry `json:"logs"`
	Crowded bool        `json:"crowded"`
	Read    *time.Time  `json:"evaluatedTo"` // everything sequenced before this time was counted; null if nothing was
	State   string      `json:"state"`
}

type nextEntry struct {
	Log  string `json:"logId"`
	Next int64  `json:"nextEntry"`
}

// alertView shows no value of an event. Those are in the event of the alert, for callers that may read the project's
// log.
type alertView struct {
	Cause    rule.Cause   `json:"cause"`
	Fired    *time.Time   `json:"firedAt"`
	From     *time.Time   `json:"from"`
	ID       string       `json:"id"`
	Resolved *time.Time   `json:"resolvedAt"` // null if it lasts
	Sent     []noticeView `json:"notifications"`
	Text     string       `json:"text,omitempty"` // describes the trouble
	To       *time.Time   `json:"to"`
}

type noticeView struct {
	At       *time.Time `json:"at"`
	Error    string     `json:"error,omitempty"`
	GivenUp  bool       `json:"givenUp"`
	Notifier string     `json:"notifier"`
	State    string     `json:"state"` // WAITING, FIRED or RESOLVED: the last state that the notifier has accepted
}

func msOrNil(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}

func (h alerts) status(c *call) (any, error) {
	set, err := h.set(c)
	if err != nil {
		return nil, err
	}
	r := set.Rule(c.path("alertId"))
	if r == nil {
		return nil, alertNotFound(c.path("alertId"))
	}
	s, err := h.store.State(c.context(), r)
	if err != nil {
		return nil, err
	}
	v := ruleStatus{ID: r.ID, Name: r.Name, State: rulePending, Alerts: []alertView{}, Next: []nextEntry{}}
	if s != nil {
		v.fill(set, s, c.now)
	}
	if r.Disabled {
		v.State = ruleDisabled
	}
	return v, nil
}

func (v *ruleStatus) fill(set *alert.Set, s *rule.State, now time.Time) {
	v.State, v.Groups, v.Read, v.Crowded = ruleQuiet, len(s.Groups), msOrNil(s.Read), s.Crowded > now.UnixMilli()
	for _, log := range slices.Sorted(maps.Keys(s.Next)) {
		v.Next = append(v.Next, nextEntry{log, s.Next[log]})
	}
	for _, a := range s.Alerts {
		switch {
		case a.Lasts() && a.Cause == rule.Trouble:
			v.State = ruleTrouble
		case a.Lasts() && v.State != ruleTrouble:
			v.State = ruleFiring
		}
		shown := alertView{Cause: a.Cause, Fired: msOrNil(a.Fired), From: msOrNil(a.From), ID: a.ID,
			Resolved: msOrNil(a.Resolved), Sent: []noticeView{}, Text: a.Text, To: msOrNil(a.To)}
		for _, id := range slices.Sorted(maps.Keys(a.Sent)) {
			if n := set.Notifier(id); n != nil {
				sent := a.Sent[id]
				at := sent.At.UTC()
				shown.Sent = append(shown.Sent, noticeView{&at, sent.Error, sent.Given, n.Name,
					[]string{"WAITING", "FIRED", "RESOLVED"}[min(max(sent.Count, 0), 2)]})
			}
		}
		v.Alerts = append(v.Alerts, shown)
	}
}
