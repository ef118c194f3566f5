package alert

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/retry"
)

const day = 24 * time.Hour

const (
	giveUpAfter = 3 * day         // for which a notification is tried again
	sendTime    = 2 * time.Minute // for the messages of a pass to one notifier
	mostAtOnce  = 20              // of these messages, if each is sent by itself
	mostInOne   = 1000            // of them, if a notifier takes all with one request: some 1 MiB
	repeatEvery = time.Minute     // for a notifier that has to be told again while an alert lasts
	leastShown  = 2 * time.Minute // between telling such a notifier of an alert and of its end
)

// usualPauses are the pauses after a failure of a notifier.
var usualPauses = retry.Policy{First: 10 * time.Second, Longest: 5 * time.Minute}

// outbox tells the notifiers of a project. A notifier is told by one goroutine at a time, so that one that hangs keeps
// neither the others nor the rules from going on.
type outbox struct {
	engine *Engine

	mu    sync.Mutex
	lines map[string]*line // by the id of a notifier
}

// line is the state of one notifier.
type line struct {
	busy     bool
	next     time.Time // before which nothing is sent
	pauses   *retry.Pauses
	results  []result
	repeated map[string]time.Time // when the notifier was last told of an alert that lasts
}

// result is the result of sending a message.
type result struct {
	message notify.Message
	at      time.Time
	err     error // If nil, it was accepted.
}

func newOutbox(e *Engine) *outbox { return &outbox{engine: e, lines: map[string]*line{}} }

// note notes the results of messages in the states. It runs before the states are written, so that they have the
// results, and the next messages need not wait for another pass.
func (o *outbox) note(rules []*held) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, l := range o.lines {
		for _, r := range l.results {
			note(id, r, rules)
		}
		l.results = nil
	}
}

// send begins to send the messages that are due.
func (o *outbox) send(ctx context.Context, set *Set, rules []*held, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	there := map[string]bool{}
	for i := range set.Notifiers {
		n := set.Notifiers[i]
		there[n.ID] = true
		l := o.lines[n.ID]
		if l == nil {
			l = &line{pauses: o.engine.Pauses.Pauses(), repeated: map[string]time.Time{}}
			o.lines[n.ID] = l
		}
		if l.busy || now.Before(l.next) {
			continue
		}
		if messages := o.due(set, &n, l, rules, now); len(messages) > 0 {
			l.busy = true
			o.engine.sending.Go(func() { o.deliver(ctx, l, &n, messages) })
		}
	}
	for id, l := range o.lines {
		if !there[id] && !l.busy {
			delete(o.lines, id)
		}
	}
}

// due returns the messages for a notifier that are due, in order: first new ones, then repeated ones, the oldest first,
// so that repeated messages never delay new ones. It leaves out alerts whose state is not written yet.
func (o *outbox) due(set *Set, n *notify.Notifier, l *line, rules []*held, now time.Time) (all []notify.Message) {
	var repeats []notify.Message
	lasting := map[string]bool{}
	for _, h := range rules {
		if h.urgent || !slices.ContainsFunc(set.notifiersOf(&h.rule), func(of *notify.Notifier) bool {
			return of.ID == n.ID
		}) {
			continue
		}
		for _, a := range h.eval.State.Alerts {
			sent := a.Sent[n.ID]
			if sent.Given {
				continue
			}
			lasting[a.ID] = a.Lasts()
			switch again := n.Repeats() && a.Lasts() && now.Sub(l.repeated[a.ID]) >= repeatEvery; {
			case sent.Count == 0:
				all = append(all, o.message(set, h, a, false))
			case again:
				repeats = append(repeats, o.message(set, h, a, false))
			}
			if shown := !n.Repeats() || sent.Count > 0 && now.Sub(sent.At) >= leastShown; shown && !a.Lasts() &&
				sent.Count < 2 {
				all = append(all, o.message(set, h, a, true))
			}
		}
	}
	for id := range l.repeated {
		if !lasting[id] {
			delete(l.repeated, id)
		}
	}
	slices.SortStableFunc(repeats, func(a, b notify.Message) int {
		return l.repeated[a.Alert.ID].Compare(l.repeated[b.Alert.ID])
	})
	most := mostAtOnce
	if n.Repeats() {
		most = mostInOne
	}
	all = append(all, repeats...)
	return all[:min(len(all), most)]
}

func (o *outbox) message(set *Set, h *held, a *rule.Alert, resolved bool) notify.Message {
	return notify.Message{Project: set.Project, Rule: h.rule, Alert: *a, Resolved: resolved,
		URL: link(o.engine.PublicURL, set.Project, &h.rule, a)}
}

// deliver sends messages.
func (o *outbox) deliver(ctx context.Context, l *line, n *notify.Notifier, messages []notify.Message) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	accepted, err := o.engine.Notifier.Send(ctx, n, messages)
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	l.busy = false
	for i, m := range messages {
		switch {
		case i < accepted:
			l.results = append(l.results, result{m, now, nil})
			l.repeated[m.Alert.ID] = now
			o.engine.metrics.sent.WithLabelValues(string(n.Type), "accepted").Inc()
		case err != nil:
			l.results = append(l.results, result{m, now, err})
		}
	}
	if err == nil {
		l.pauses.Reset()
		return
	}
	l.next = now.Add(l.pauses.Next(err))
	o.engine.metrics.sent.WithLabelValues(string(n.Type), "failed").Inc()
}

// note notes in the state of a rule what became of a message.
func note(notifier string, r result, rules []*held) {
	for _, h := range rules {
		if h.rule.ID != r.message.Rule.ID {
			continue
		}
		for _, a := range h.eval.State.Alerts {
			if a.ID != r.message.Alert.ID {
				continue
			}
			sent, changed := after(a, a.Sent[notifier], r)
			if !changed {
				continue
			}
			if a.Sent == nil {
				a.Sent = map[string]rule.Sent{}
			}
			a.Sent[notifier] = sent
			h.moved, h.urgent = true, h.urgent || r.err == nil
		}
	}
}

// after returns the state of an alert's notifications to one notifier, after one more result.
func after(a *rule.Alert, sent rule.Sent, r result) (now rule.Sent, changed bool) {
	count := 1
	if r.message.Resolved {
		count = 2
	}
	if sent.Count >= count && (r.err == nil) == (sent.Error == "") {
		return sent, false // it was told again
	}
	sent.At = r.at.UTC()
	if r.err == nil {
		sent.Count, sent.Error = max(sent.Count, count), ""
		return sent, true
	}
	sent.Error = notify.Shown(r.err)
	since := max(a.Fired, a.Resolved)
	sent.Given = sent.Count < count && r.at.Sub(time.UnixMilli(since)) > giveUpAfter
	return sent, true
}
