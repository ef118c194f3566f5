package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirlog/weir/internal/config"
)

// runTasks runs tasks for some time, waits until they have ended, and returns what was logged.
func runTasks(t *testing.T, roles config.Roles, last time.Duration, tasks func(*runner) []task) (*runner, string) {
	var log bytes.Buffer
	r := newRunner(slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry(), false)
	ctx, stop := context.WithCancel(t.Context())
	r.start(ctx, roles, tasks(r))
	time.Sleep(last)
	stop()
	r.wait()
	return r, log.String()
}

func TestTaskThatFailsIsStartedAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errors.New("broken") },
		"panic":  func() error { panic("broken") },
		"return": func() error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var began []time.Time
				r, log := runTasks(t, config.AllRoles, time.Hour, func(*runner) []task {
					return []task{{name: "weak", run: func(context.Context) error {
						began = append(began, time.Now())
						return fail()
					}}}
				})
				if len(began) < 30 || len(began) > 200 { // pauses have grown to about a minute
					t.Errorf("started %d times in an hour", len(began))
				}
				if early := began[1].Sub(began[0]); early > 2*time.Second {
					t.Errorf("first started again after %v", early)
				}
				if n := testutil.ToFloat64(r.failures.WithLabelValues("weak")); int(n) < len(began)-1 {
					t.Errorf("%v failures counted, %d starts", n, len(began))
				}
				if n := strings.Count(log, "task=weak"); n == 0 || n > 10 {
					t.Errorf("the log names the task %d times: %.300s", n, log)
				}
			})
		})
	}
}

func TestTasksRunByRoleAndAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran []string
		slow := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute) // work that must come to its end
				ran = append(ran, name)
				return nil
			}
		}
		r, log := runTasks(t, config.Roles{Read: true}, time.Hour, func(*runner) []task {
			return []task{
				{name: "all", run: slow("all")},
				{name: "background", role: inBackground, run: slow("background")},
			}
		})
		if len(ran) != 1 || ran[0] != "all" || log != "" {
			t.Errorf("ran %v; log %q", ran, log)
		}
		if testutil.ToFloat64(r.running.WithLabelValues("all")) != 0 {
			t.Error("it is said to run still")
		}
	})
}

func TestPeriodicTaskGoesOnAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 0
		r, log := runTasks(t, config.AllRoles, time.Hour, func(r *runner) []task {
			return []task{r.periodic(task{name: "often"}, time.Minute, 10*time.Minute, func(context.Context) error {
				if times++; times == 2 {
					return errors.New("broken")
				}
				return nil
			})}
		})
		if times != 6 || testutil.ToFloat64(r.failures.WithLabelValues("often")) != 1 ||
			!strings.Contains(log, "broken") {
			t.Errorf("done %d times; log %q", times, log)
		}
	})
}

func TestTaskWaitsUntilItMayBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, began := make(chan struct{}), time.Time{}
		start := time.Now()
		time.AfterFunc(time.Minute, func() { close(ready) })
		runTasks(t, config.AllRoles, time.Hour, func(*runner) []task {
			return []task{afterwards(ready, task{name: "late", run: func(ctx context.Context) error {
				began = time.Now()
				<-ctx.Done()
				return nil
			}})}
		})
		if began.Sub(start) != time.Minute {
			t.Errorf("began after %v", began.Sub(start))
		}
	})
}
