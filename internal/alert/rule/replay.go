package rule

import "time"

// Replay evaluates a rule on events of the past, as if each had been recorded when it happened.
type Replay struct {
	evaluator *Evaluator
	step      int64
	now       int64
}

// NewReplay returns the replay of a rule that was made at a time. The events from Start on are wanted.
func NewReplay(d Definition, since time.Time) (*Replay, error) {
	d.Disabled = false
	r := &Rule{Definition: d, ID: "replay", Since: since}
	e, err := New(r, NewState(r))
	if err != nil {
		return nil, err
	}
	step := min(max(r.window()/10, 30_000), 3600_000)
	return &Replay{evaluator: e, step: step, now: r.Start()}, nil
}

// Start returns the time of the oldest events that are wanted, in milliseconds since 1970.
func (p *Replay) Start() int64 { return p.evaluator.Rule.Start() }

// Event counts the next event in the order of time, and returns the alerts that have fired.
func (p *Replay) Event(x Event) ([]Alert, error) {
	fired := p.Until(x.Time)
	if err := p.evaluator.Count(x, p.now); err != nil {
		return fired, err
	}
	return append(fired, p.fired()...), nil
}

// Until lets the time pass, and returns the alerts that have fired.
func (p *Replay) Until(time int64) (fired []Alert) {
	for p.now < time {
		if p.evaluator.Rule.Kind == Absence {
			p.now = min(p.now+p.step, time)
		} else {
			p.now = time
		}
		p.evaluator.State.Read = p.now
		p.evaluator.Tick(p.now)
		fired = append(fired, p.fired()...)
	}
	return fired
}

// fired returns the alerts that are new, and forgets those that are over.
func (p *Replay) fired() (fired []Alert) {
	for _, a := range p.evaluator.State.Alerts {
		if a.Said == 0 {
			a.Said = 1
			fired = append(fired, *a)
		}
	}
	p.evaluator.State.Forget(func(*Alert) bool { return true })
	return fired
}
