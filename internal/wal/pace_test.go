package wal

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/seal"
)

// Writers that share a limiter of 10 objects a second put at most 10 objects in any second, however many requests there
// are. After a pause the first object does not wait.
func TestWritersShareAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var puts []time.Time
		f := &bucketest.Faulty{Bucket: bucketest.NewMemory(), Before: func(_ context.Context, op bucketest.Op,
			_ string) error {
			mu.Lock()
			defer mu.Unlock()
			if op == bucketest.PutNew {
				puts = append(puts, time.Now())
				if len(puts)%7 == 0 {
					return fmt.Errorf("injected")
				}
			}
			return nil
		}}
		pace := rate.NewLimiter(rate.Every(100*time.Millisecond), 1)
		reader := NewReader(f, seal.NewKey(make([]byte, 32)), 1<<20)
		writers := make([]*Writer, 4)
		for i := range writers {
			writers[i] = NewPacedWriter(f, reader, i, pace, func(int64) {})
		}
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				for j := range 20 {
					if err := writers[i%len(writers)].Append(t.Context(),
						batch("log", fmt.Sprint(i, "-", j))); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(i) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		for i := 10; i < len(puts); i++ {
			if d := puts[i].Sub(puts[i-10]); d < time.Second-time.Millisecond { // the limiter computes in floating point
				t.Errorf("11 puts in %v", d)
			}
		}
		if len(puts) < 30 {
			t.Errorf("only %d puts: nothing was put to the test", len(puts))
		}
		time.Sleep(time.Second)
		start := time.Now()
		if err := writers[0].Append(t.Context(), batch("log", "after a rest")); err != nil || time.Since(start) > 0 {
			t.Errorf("%v, after %v", err, time.Since(start))
		}
		for _, w := range writers {
			w.Close()
		}
	})
}
