package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
)

var (
	soakFor = flag.Duration("soak.for", 6*time.Second, "how long TestSoak loads a server; with -short at most 2s")
	readers = flag.Int("slow.readers", 1000, "how many slow readers TestSlowReaders has; with -short at most 50")
)

// use is what a process uses at a moment. Its memory is what is reachable on the heap, and the stacks, in bytes. What
// the process holds of the machine's memory depends on when the garbage collector last ran, hence on the load of the
// machine.
type use struct{ memory, goroutines, files float64 }

// metrics reads a server's own figures, right after a garbage collection.
func metrics(t *testing.T, admin string) use {
	t.Helper()
	if profile, err := http.Get("http://" + admin + "/debug/pprof/heap?gc=1"); err != nil {
		t.Fatal(err)
	} else if _, err = io.Copy(io.Discard, profile.Body); err != nil || profile.StatusCode != http.StatusOK {
		t.Fatalf("heap profile: %s, %v", profile.Status, err)
	} else {
		profile.Body.Close()
	}
	r, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = v
		}
	}
	memory := values["go_memstats_heap_alloc_bytes"] + values["go_memstats_stack_inuse_bytes"]
	if memory == 0 {
		t.Fatal("the server has no figures of its memory")
	}
	return use{memory, values["go_goroutines"], values["process_open_fds"]}
}

func median(all []use, of func(use) float64) float64 {
	var values []float64
	for _, u := range all {
		values = append(values, of(u))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// startWithAdmin starts a server whose metrics are at an address that it returns.
func startWithAdmin(t *testing.T, arguments ...string) (*server, string) {
	t.Helper()
	s := &server{dir: t.TempDir(), arguments: append([]string{"--sequence-delay", "500ms", "--pprof"}, arguments...),
		admin: freeAddress(t)}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s, s.admin
}

// TestSoak loads one server with all that it is for, and looks whether what it uses stays what it was: the medians of
// the last quarter against those of the second one.
func TestSoak(t *testing.T) {
	last := *soakFor
	if testing.Short() {
		last = min(last, 2*time.Second)
	}
	s, admin := startWithAdmin(t)
	h := &history{sent: map[string]bool{}, acked: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var work sync.WaitGroup
	var downloads atomic.Int64
	for i := range 3 {
		work.Go(func() { produce(ctx, s, h, fmt.Sprintf("p%d", i)) })
	}
	lately := time.Now().Add(-10 * time.Second).Unix()
	for _, q := range []client.Query{{Start: &lately}, {Processor: "orders-enrich"}} {
		work.Go(func() {
			c, err := client.New(s.config)
			for err == nil && ctx.Err() == nil {
				if downloadTo(ctx, c, s.project, q, io.Discard) == nil {
					downloads.Add(1)
				}
			}
		})
	}
	work.Go(func() {
		c, err := client.New(s.config)
		for err == nil && ctx.Err() == nil {
			_, err = c.List(ctx, "/api/weir/v1/groups/"+s.project+"/logs", nil)
		}
	})
	var samples []use
	for end := time.Now().Add(last); ctx.Err() == nil; pause(ctx, last/200) {
		samples = append(samples, metrics(t, admin))
		if time.Now().After(end) && len(samples) >= 40 && downloads.Load() > 0 && len(h.copyOf(h.acked)) > 0 {
			stop() // A busy machine takes longer until there is something to look at.
		}
	}
	work.Wait()
	quarter := len(samples) / 4
	early, late := samples[quarter:2*quarter], samples[3*quarter:]
	for name, of := range map[string]func(use) float64{
		"memory": func(u use) float64 { return u.memory }, "goroutines": func(u use) float64 { return u.goroutines },
		"files": func(u use) float64 { return u.files },
	} {
		before, after := median(early, of), median(late, of)
		t.Logf("%s: %.0f, then %.0f", name, before, after)
		// A cache fills, a garbage collector lags: what leaks grows with the load, so without end.
		if room := map[string]float64{"memory": 48 << 20, "goroutines": 30,
			"files": 30}[name]; after > before*1.25+room && (memoryIsReal || name != "memory") {
			t.Errorf("%s grew from %.0f to %.0f", name, before, after)
		}
	}
	t.Logf("%d events acknowledged, %d downloads in %v", len(h.acked), downloads.Load(), last)
}

func downloadTo(ctx context.Context, c *client.Client, project string, q client.Query, w io.Writer) error {
	d, err := c.Download(ctx, client.Source{Project: project, Workspace: "demo"}, q)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = io.Copy(w, d)
	return err
}

// slowReaderBytes is what a slow reader may cost a server in memory: a goroutine or two, the places of what waits to be
// sequenced, and one section or block that is held while it is sent, here of one event of half a megabyte. A
// connection's buffers in the kernel are not the server's own.
const slowReaderBytes = 256<<10 + 512<<10

// TestSlowReaders has many readers that take a large download at 1 KB a second. They cost a bounded amount of memory
// each, while others record and download as if they were not there.
func TestSlowReaders(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < 8192 {
		limit.Cur = min(limit.Max, 8192)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	if !memoryIsReal {
		*readers = min(*readers, 100)
	}
	if testing.Short() {
		*readers = min(*readers, 50)
	}
	s, admin := startWithAdmin(t)
	h := &history{sent: map[string]bool{}, acked: map[string]bool{}}
	for n := range 40 { // half a megabyte each that hardly compresses
		if err := recordOne(t.Context(), s, h, fmt.Sprintf("big-%d", n), 512<<10); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fetch(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	waitUntilSequenced(t, admin)
	before := metrics(t, admin)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var reading atomic.Int64
	started := make(chan struct{}, *readers)
	for range *readers {
		work.Go(func() { readSlowly(ctx, s, &reading, started) })
	}
	for range *readers {
		<-started
	}
	for n := range 100 {
		if err := recordOne(t.Context(), s, h, fmt.Sprintf("meanwhile-%d", n), 100); err != nil {
			t.Fatalf("recording beside %d slow readers: %v", *readers, err)
		}
	}
	for range 5 {
		got, err := fetch(t.Context(), s)
		if err != nil {
			t.Fatalf("a download beside %d slow readers: %v", *readers, err)
		}
		check(t, h, h.acked, got)
	}
	after := metrics(t, admin)
	t.Logf("%d of %d readers are reading; memory %.0f, then %.0f: %.0f KiB for each", reading.Load(), *readers,
		before.memory, after.memory,
		(after.memory-before.memory)/float64(*readers)/1024)
	if n := reading.Load(); n < int64(*readers)*9/10 {
		t.Errorf("only %d of %d readers were being served: this has shown nothing", n, *readers)
	}
	if memoryIsReal && after.memory-before.memory > float64(*readers)*slowReaderBytes+64<<20 {
		t.Errorf("memory grew from %.0f to %.0f", before.memory, after.memory)
	}
	stop()
	work.Wait()
}

// waitUntilSequenced waits until nothing is in the write-ahead log. A download of what waits there holds a whole
// section.
func waitUntilSequenced(t *testing.T, admin string) {
	t.Helper()
	for {
		r, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nweir_wal_waiting_bytes 0\n") {
			return
		}
		pause(t.Context(), 50*time.Millisecond)
	}
}

// readSlowly downloads at 1 KB a second until ctx ends.
func readSlowly(ctx context.Context, s *server, reading *atomic.Int64, started chan<- struct{}) {
	c, err := client.New(s.config)
	var d *client.Download
	if err == nil {
		d, err = c.Download(ctx, client.Source{Project: s.project, Workspace: "demo"}, client.Query{})
	}
	if err != nil {
		started <- struct{}{}
		return
	}
	defer d.Close()
	reading.Add(1)
	for piece, first := make([]byte, 1<<10), true; ctx.Err() == nil; first = false {
		if _, err := io.ReadFull(d, piece); err != nil {
			reading.Add(-1)
			return
		}
		if first {
			started <- struct{}{}
		}
		pause(ctx, time.Second)
	}
}
