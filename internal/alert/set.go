// Package alert evaluates the rules of projects on the entries of their logs, and tells of alerts: in the project's own
// log, and by notifiers.
//
// The rules and notifiers of a project are one document (Set). The counts of a rule, up to which entry of each log it
// has counted, and its alerts are another (rule.State), so that they never contradict each other. The state is written
// before anybody is told of an alert, and the messages follow from the state alone. So a crash makes a node count and
// tell again, with the same ids, and miss nothing. If two nodes evaluate the same rule, one of them finds that the
// other has written the state, forgets what it counted, and goes on from there.
package alert

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"

	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
)

// Limits of a project.
const (
	MaxRules     = rule.MaxRules
	MaxNotifiers = 20
)

// Set is the rules and notifiers of a project.
type Set struct {
	Project   string            `json:"project"` // its id
	Rules     []rule.Rule       `json:"rules"`
	Notifiers []notify.Notifier `json:"notifiers"`
}

// Sets are the documents of all projects, by the project's id.
type Sets = doc.Cache[Set]

// maxCached is how many documents are kept in memory.
const maxCached = 10_000

// NewSets returns the sets that lie in a bucket.
func NewSets(b bucket.Bucket) *Sets { return doc.NewCache[Set](b, layout.Alerts.Prefix(), maxCached) }

// Living returns the rules that are not deleted.
func (s *Set) Living() (all []rule.Rule) {
	for _, r := range s.Rules {
		if !r.Deleted {
			all = append(all, r)
		}
	}
	return all
}

// Rule returns the rule with an id or a name, unless it is deleted; nil if there is none. No name has the form of an
// id.
func (s *Set) Rule(idOrName string) *rule.Rule {
	i := slices.IndexFunc(s.Rules, func(r rule.Rule) bool {
		return !r.Deleted && (r.ID == idOrName || r.Name == idOrName)
	})
	if i < 0 {
		return nil
	}
	return &s.Rules[i]
}

// Notifier returns the notifier with an id or a name; nil if there is none.
func (s *Set) Notifier(idOrName string) *notify.Notifier {
	i := slices.IndexFunc(s.Notifiers, func(n notify.Notifier) bool { return n.ID == idOrName || n.Name == idOrName })
	if i < 0 {
		return nil
	}
	return &s.Notifiers[i]
}

// notifiersOf returns the notifiers that a rule names, or all.
func (s *Set) notifiersOf(r *rule.Rule) (all []*notify.Notifier) {
	for i := range s.Notifiers {
		if n := &s.Notifiers[i]; len(r.Notify) == 0 || slices.Contains(r.Notify, n.Name) {
			all = append(all, n)
		}
	}
	return all
}

// Clone returns a copy whose rules and notifiers may be changed.
func (s *Set) Clone() *Set {
	c := *s
	c.Rules, c.Notifiers = slices.Clone(s.Rules), slices.Clone(s.Notifiers)
	return &c
}

// Store is the documents of rules, as the API needs them.
type Store struct {
	*Sets
	bucket bucket.Bucket
}

// NewStore returns the documents that lie in a bucket.
func NewStore(b bucket.Bucket) *Store { return &Store{NewSets(b), b} }

// State returns the state of a rule, as the node that evaluates it has written it: at most some minutes old. It is nil
// if no node has written it, or none since the rule was changed.
func (s *Store) State(ctx context.Context, r *rule.Rule) (*rule.State, error) {
	state := rule.NewState(r)
	_, err := doc.Read(ctx, s.bucket, statePrefix(r.ID), state)
	if errors.Is(err, bucket.ErrNotExist) || err == nil && !state.Since.Equal(r.Since) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return state, nil
}

// Projects yields the ids of the projects that have rules or notifiers.
func (s *Store) Projects(ctx context.Context) iter.Seq2[string, error] {
	return s.Names(ctx, func(set *Set) string {
		if len(set.Rules)+len(set.Notifiers) == 0 {
			return ""
		}
		return set.Project
	})
}

// Drop removes all rules and notifiers of a project, and the states of the rules.
func (s *Store) Drop(ctx context.Context, project string) error {
	set, err := s.GetOrEmpty(ctx, project)
	if err != nil {
		return err
	}
	for _, r := range set.Rules {
		if err := doc.Clean(ctx, s.bucket, statePrefix(r.ID), math.MaxInt64); err != nil {
			return err
		}
	}
	_, err = s.Update(ctx, project, func(set *Set) error {
		set.Rules, set.Notifiers = nil, nil
		return nil
	})
	return err
}

// statePrefix is where the state of a rule lies.
func statePrefix(rule string) string { return layout.AlertState.Prefix() + rule }
