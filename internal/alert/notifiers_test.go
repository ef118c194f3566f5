package alert

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/event"
)

// A notifier that does not answer is asked again, for three days; then an event says so.
func TestNotifierIsAskedAgainUntilItIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(threshold)
		e := w.engine()
		asked, dead := 0, true
		w.phone.fails = func() (bool, bool) { asked++; return dead, false }
		fire := func() {
			for range 3 {
				w.record(0, time.Now(), "anna")
			}
		}
		fire()
		w.pass(e, time.Hour)
		if asked < 10 || asked > 40 {
			t.Errorf("asked %d times in an hour", asked)
		}
		dead = false
		w.pass(e, 10*time.Minute)
		if len(w.phone.heard) != 2 {
			t.Errorf("heard %q", w.phone.heard)
		}
		dead = true
		fire()
		w.pass(e, 75*time.Hour)
		all := w.told()
		if last := all[len(all)-1]; last.Activity != int(event.AlertGivenUp) || !strings.Contains(last.Message,
			"nobody answers") {
			t.Errorf("told %+v", last)
		}
	})
}

// A notifier that hangs keeps neither another one nor the rules from going on, and is asked again.
func TestNotifierThatHangsStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(threshold)
		_, err := w.sets.Update(t.Context(), w.project.ID, func(s *Set) error {
			s.Notifiers = append(s.Notifiers, notify.Notifier{ID: "n2", Name: "dead", Type: notify.Webhook})
			return nil
		})
		w.must(err)
		h := &hanging{phone: w.phone}
		e := w.engine()
		e.Notifier = h
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.Run(ctx) })
		for _, who := range []string{"anna", "ben"} {
			for range 3 {
				w.record(0, time.Now(), who)
			}
			time.Sleep(10 * time.Second)
			w.sequence()
		}
		w.expect("fired", w.fired(), "anna", "ben")
		w.phone.mu.Lock()
		if len(w.phone.heard) != 2 {
			t.Errorf("heard %q", w.phone.heard)
		}
		w.phone.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if n := h.asked.Load(); n < 2 || n > 6 {
			t.Errorf("the one that hangs was asked %d times", n)
		}
		cancel()
		running.Wait()
	})
}

// hanging is a phone beside a notifier that hangs until its time is over.
type hanging struct {
	*phone
	asked atomic.Int32
}

func (h *hanging) Send(ctx context.Context, n *notify.Notifier, messages []notify.Message) (int, error) {
	if n.Name == "phone" {
		return h.phone.Send(ctx, n, messages)
	}
	h.asked.Add(1)
	<-ctx.Done()
	return 0, ctx.Err()
}

// However many alerts last, and however slow an Alertmanager is that has to be told of them again: it is told of each
// one while it lasts, again before it takes it for one that is over, and of its end.
func TestAlertmanagerIsToldOfEachAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		single := threshold
		single.Count = 1
		w.put(single, single, single, single)
		_, err := w.sets.Update(t.Context(), w.project.ID, func(s *Set) error {
			s.Notifiers[0].Type = notify.Alertmanager
			return nil
		})
		w.must(err)
		slow := &slowPhone{phone: w.phone, last: map[string]time.Time{}}
		e := w.engine()
		e.Notifier = slow
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.Run(ctx) })
		for range 4 { // so that the alerts last
			for i := range 90 {
				w.record(0, time.Now(), fmt.Sprint(i))
			}
			time.Sleep(4 * time.Minute)
			slow.mu.Lock()
			if len(slow.last) != 4*90 {
				t.Errorf("it knows %d alerts of %d", len(slow.last), 4*90)
			}
			for id, last := range slow.last {
				if ago := time.Since(last); ago > 3*time.Minute {
					t.Errorf("it was told of %s %v ago", id, ago)
				}
			}
			slow.mu.Unlock()
		}
		time.Sleep(time.Hour)
		slow.mu.Lock()
		if len(slow.last) != 2*4*90 {
			t.Errorf("it knows of %d alerts and ends, not of %d", len(slow.last), 2*4*90)
		}
		slow.mu.Unlock()
		cancel()
		running.Wait()
	})
}

// slowPhone takes 20 seconds for each request.
type slowPhone struct {
	*phone
	mu   sync.Mutex
	last map[string]time.Time // when it was last told, by the id of a message
}

func (p *slowPhone) Send(ctx context.Context, n *notify.Notifier, messages []notify.Message) (int, error) {
	time.Sleep(20 * time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		p.last[m.ID()] = time.Now()
	}
	return p.phone.Send(ctx, n, messages)
}

// However many alerts a notifier does not take, the log and the other notifiers have each of them.
func TestDeadNotifierTakesNoAlertAway(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		single := threshold
		single.Count, single.Within = 1, rule.Duration(time.Minute)
		w.put(single)
		_, err := w.sets.Update(t.Context(), w.project.ID, func(s *Set) error {
			s.Notifiers = append(s.Notifiers, notify.Notifier{ID: "n2", Name: "dead", Type: notify.Webhook})
			return nil
		})
		w.must(err)
		e := w.engine()
		e.Notifier = deadBeside{w.phone}
		var names []string
		const alerts = 420 // in less time than after which a notification is given up
		for i := range alerts {
			names = append(names, fmt.Sprint(i))
			w.record(0, time.Now(), names[i])
			w.pass(e, time.Minute)
		}
		w.pass(e, 20*time.Minute)
		w.expect("fired", w.fired(), names...)
		heard := map[string]bool{}
		for _, id := range w.phone.heard {
			heard[id] = true
		}
		if len(heard) != 2*alerts {
			t.Errorf("the other notifier was told of %d alerts and ends, not of %d", len(heard), 2*alerts)
		}
		givenUp := 0
		for _, one := range w.told() {
			if strings.Contains(one.Message, "needed its place") {
				givenUp++
			}
		}
		if givenUp < alerts-mostWaiting-10 {
			t.Errorf("%d alerts say that they were given up", givenUp)
		}
	})
}

// deadBeside is a phone beside a notifier that takes nothing.
type deadBeside struct{ *phone }

func (d deadBeside) Send(ctx context.Context, n *notify.Notifier, messages []notify.Message) (int, error) {
	if n.Name == "phone" {
		return d.phone.Send(ctx, n, messages)
	}
	return 0, errPhone
}
