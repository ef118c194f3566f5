// Command bench measures weir: it fills a server with a reproducible corpus, through the API, and compares the cost of
// recording and downloading with that of plain work on the same bytes on this machine. See docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// settings say what is measured.
type settings struct {
	Events     int           `json:"events"`
	Workspaces int           `json:"workspaces"` // small ones, beside the big one
	Days       int           `json:"days"`
	Seed       uint64        `json:"seed"`
	Repeat     int           `json:"repeat"`           // downloads
	For        time.Duration `json:"recordingFor"`     // each of the repetitions of a recording
	Times      int           `json:"recordingRepeats"` // how many they are

	dir, json, tmpfs, profiles string

	only           *regexp.Regexp
	growth, search bool
	most           int // events, with growth and search
	tries          int // that begin with servers that have just started
	tools          tools
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, only := settings{}, ""
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.Events, "events", 1_000_000, "events of the big workspace")
	f.IntVar(&s.Workspaces, "workspaces", 1000, "small workspaces")
	f.IntVar(&s.Days, "days", 30, "that the events are spread over")
	f.Uint64Var(&s.Seed, "seed", 1, "of the corpus")
	f.IntVar(&s.Repeat, "repeat", 15, "how often each download is measured")
	f.DurationVar(&s.For, "record-for", time.Second, "how long each repetition of a recording is")
	f.IntVar(&s.Times, "record-repeat", 3, "how often each recording is measured")
	f.StringVar(&s.dir, "dir", "", "`folder` on the disk to be measured (default: a new one, removed afterwards)")
	f.StringVar(&s.json, "json", "", "`file` for the figures as JSON")
	f.StringVar(&s.tmpfs, "tmpfs", "/dev/shm",
		"`folder` in memory, for recording without durability; empty: leave that out")
	f.StringVar(&s.profiles, "profiles", "",
		"`folder` for profiles of the server, for each row, taken after it was measured")
	f.StringVar(&only, "only", "", "measure only rows whose name `matches`: record/8x5000, download/hour, disk, "+
		"start, gzip")
	f.BoolVar(&s.growth, "growth", false, "measure how cost grows with events and workspaces, instead")
	f.BoolVar(&s.search, "search", false, "measure searches, beside VictoriaLogs, instead")
	f.IntVar(&s.most, "most", 1_000_000, "the most events with -growth, and for the growth of -search")
	f.IntVar(&s.tries, "cold", 5, "how often -search measures what is cold")
	f.StringVar(&s.tools.victoria, "victoria-logs", "victoria-logs", "`program` to compare -search with")
	f.StringVar(&s.tools.versitygw, "versitygw", "versitygw", "`program` that -search takes for S3")
	files := f.String("serve-files", "", "serve this `folder` and nothing else: the yardstick where nginx is missing")
	address := f.String("serve-on", "", "`address` for -serve-files")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *files != "" {
		return http.ListenAndServe(*address, http.FileServer(http.Dir(*files)))
	}
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if s.Events < 1 || s.Days < 1 || s.Workspaces < 0 || s.Repeat < 1 || s.Times < 1 || s.tries < 1 {
		return errors.New("-events, -days, -repeat, -record-repeat and -cold must be positive")
	}
	if s.dir != "" {
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return err
		}
		return s.start(ctx) // what it leaves there can be looked at
	}
	if s.dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	return errors.Join(s.start(ctx), os.RemoveAll(s.dir))
}

func (s settings) start(ctx context.Context) error {
	binary, err := build(ctx, s.dir)
	if err != nil {
		return err
	}
	switch {
	case s.growth:
		return s.measureGrowth(ctx, binary)
	case s.search:
		r, err := s.measureSearch(ctx, binary)
		return errors.Join(err, s.show(r, r.print))
	}
	r, err := s.measure(ctx, binary, filepath.Join(s.dir, "run"))
	if err != nil {
		return err
	}
	r.judge()
	return s.show(r, r.print)
}

// show writes a report to the file for JSON, if there is one, and prints it.
func (s settings) show(report any, print func(io.Writer) error) error {
	if s.json != "" {
		if err := writeJSON(s.json, report); err != nil {
			return err
		}
	}
	return print(os.Stdout)
}

// bench is one filled bucket, being measured.
type bench struct {
	settings
	binary, dir, bucket string
	creds               credentials
	until               time.Time // end of the corpus
	report              report
}

// measure fills a bucket in dir, which must not exist, and measures everything that -only names.
func (s settings) measure(ctx context.Context, binary, dir string) (*report, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("-dir must be a folder without an earlier run: %w", err)
	}
	b := &bench{settings: s, binary: binary, dir: dir, bucket: filepath.Join(dir, "bucket"),
		until: time.Now().Truncate(time.Hour)}
	b.report.Settings = s
	b.report.Machine = thisMachine()
	if err := b.report.Yardsticks.fsyncs(dir); err != nil {
		return nil, err
	}
	if s.only.MatchString("gzip") {
		if err := b.report.Yardsticks.gzip(b.corpus()); err != nil {
			return nil, err
		}
	}
	var err error
	if b.creds, err = initialise(ctx, binary, b.bucket, big); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{b.fill, b.starts, b.downloads, b.recordings, b.volatile} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &b.report, nil
}

func (b *bench) corpus() corpus.Corpus {
	return corpus.Corpus{Events: b.Events, Days: b.Days, Until: b.until, Seed: b.Seed}
}

// with runs a server on the bucket while do works.
func (b *bench) with(ctx context.Context, bucket string, do func(*server, *client) error) error {
	var flags []string
	if b.profiles != "" {
		flags = []string{"--pprof"}
	}
	s, err := serve(ctx, b.binary, bucket, flags...)
	if err != nil {
		return err
	}
	c, err := newClient(ctx, s.url, b.creds)
	if err == nil {
		err = do(s, c)
	}
	return errors.Join(err, s.stop())
}

func (b *bench) fill(ctx context.Context) error {
	err := b.with(ctx, b.bucket, func(s *server, c *client) error {
		took, err := fill(ctx, c, b.corpus(), b.Workspaces)
		if err != nil {
			return err
		}
		b.report.FillRate = float64(b.Events) / took.Seconds()
		if err := fillSmall(ctx, c, b.Workspaces, b.until); err != nil {
			return err
		}
		return s.quiet(ctx)
	})
	if err != nil || !b.only.MatchString("disk") {
		return err
	}
	d, err := weigh(b.bucket)
	b.report.Disk = &d
	return err
}

// starts measures how the server starts, and its memory.
func (b *bench) starts(ctx context.Context) error {
	if !b.only.MatchString("start") {
		return nil
	}
	const times = 5
	r := &started{Events: b.Events, Workspaces: b.Workspaces, Repeated: times}
	var ready []float64
	for range times {
		err := b.with(ctx, b.bucket, func(s *server, c *client) error {
			ready = append(ready, milliseconds(s.started))
			var err error
			if r.RSS, err = s.memory("VmRSS"); err != nil {
				return err
			}
			all := downloads(b.Days, b.until)[0]
			if _, err := c.fetch(ctx, c.logs(c.project, big)+"?"+all.query.String(), nil); err != nil {
				return err
			}
			r.Peak, err = s.memory("VmHWM")
			return err
		})
		if err != nil {
			return err
		}
	}
	r.Ready = median(ready)
	b.report.Start = r
	return nil
}

func (b *bench) downloads(ctx context.Context) error {
	files, err := startFileServer(ctx, b.dir)
	if err != nil {
		return err
	}
	err = b.with(ctx, b.bucket, func(s *server, c *client) error {
		m := &downloader{server: s, client: c, files: files, repeat: b.Repeat, pause: 5 * time.Millisecond,
			recorder: &recorder{server: s, client: c, workspace: big, seed: b.Seed + 7}}
		for _, d := range downloads(b.Days, b.until) {
			if !b.only.MatchString(d.Name) {
				continue
			}
			d, err := m.measure(ctx, d)
			if err == nil && d.query.processor != "" {
				err = b.opening(&d)
			}
			if err == nil {
				err = s.profile(ctx, b.profiles, d.Name, func() error {
					_, err := c.fetch(ctx, c.logs(c.project, big)+"?"+d.query.String(), nil)
					return err
				})
			}
			if err != nil {
				return err
			}
			b.report.Downloads = append(b.report.Downloads, d)
		}
		return nil
	})
	return errors.Join(err, files.stop())
}

// opening compares a download of one processor with gunzip + gzip -1 of the blocks that it must open.
func (b *bench) opening(d *downloaded) error {
	log, err := weigh(b.bucket)
	if err != nil {
		return err
	}
	o, all, err := blocksWith(log.files, d.query.processor)
	if err != nil {
		return err
	}
	var times []float64
	for range 3 {
		took, err := o.again()
		if err != nil {
			return err
		}
		times = append(times, milliseconds(took))
	}
	d.Yardstick = fmt.Sprintf("gunzip + gzip -1 of %d blocks of %d", len(o.blocks), all)
	d.YardstickMS, d.YardstickCPU = median(times), 0
	return nil
}

func (b *bench) recordings(ctx context.Context) error {
	return b.with(ctx, b.bucket, func(s *server, c *client) error {
		m := &recorder{server: s, client: c, seed: b.Seed + 1, last: b.For, repeat: b.Times}
		for _, r := range recordings() {
			if !b.only.MatchString(r.name()) {
				continue
			}
			m.workspace, m.span = recording, time.Second
			if b.growth {
				m.workspace = big
			}
			if r.Late {
				m.workspace, m.span = big, time.Duration(b.Days)*24*time.Hour
			}
			r, err := m.measure(ctx, r)
			if err == nil {
				err = s.profile(ctx, b.profiles, r.name(), func() error { return m.again(ctx, r) })
			}
			if err != nil {
				return err
			}
			b.report.Recording = append(b.report.Recording, r)
		}
		return nil
	})
}

// volatile measures single events of 64 clients on a bucket in memory, where an fsync costs nothing.
func (b *bench) volatile(ctx context.Context) error {
	r := recorded{Clients: 64, Events: 1}
	if st, err := os.Stat(b.tmpfs); b.tmpfs == "" || err != nil || !st.IsDir() || !b.only.MatchString(r.name()) {
		return nil
	}
	dir, err := os.MkdirTemp(b.tmpfs, "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bucket := filepath.Join(dir, "bucket")
	if b.creds, err = initialise(ctx, b.binary, bucket, recording); err != nil {
		return err
	}
	return b.with(ctx, bucket, func(s *server, c *client) error {
		m := &recorder{server: s, client: c, workspace: recording, seed: b.Seed + 1, span: time.Second, last: b.For,
			repeat: b.Times}
		r, err := m.measure(ctx, r)
		b.report.Volatile = &r
		return err
	})
}
