package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// tools are programs of others, found by name or path; what needs one that is not there is left out.
type tools struct{ victoria, versitygw string }

// searching measures searches of one log.
type searching struct {
	*bench
	uid    string // of an event in the middle
	log    string // id
	theirs *victoria
	report *searchReport
}

// answered is how long one question takes: medians, in milliseconds; 0 if it was not asked.
type answered struct {
	Name         string  `json:"name"`
	Found        int64   `json:"found"`
	Warm         float64 `json:"warmMilliseconds"`
	Cold         float64 `json:"coldMilliseconds"` // the first question of a server that has just started, disk not cached
	Victoria     float64 `json:"victoriaLogsMilliseconds"`
	VictoriaCold float64 `json:"victoriaLogsColdMilliseconds"`

	question question
}

// measureSearch measures searches and nothing else.
func (s settings) measureSearch(ctx context.Context, binary string) (*searchReport, error) {
	r := &searchReport{Settings: s, Machine: thisMachine()} // It is shown also if a step fails.
	m, err := s.newSearching(ctx, binary, "search", r)
	if err != nil {
		return r, err
	}
	if m.theirs = findVictoria(s.tools.victoria, m.dir); m.theirs == nil {
		fmt.Fprintf(os.Stderr, "bench: there is no %s: VictoriaLogs is left out\n", s.tools.victoria)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"search/fill", m.fill}, {"search/warm", m.warm}, {"search/cold", m.cold}, {"search/beside", m.beside},
		{"search/fields", m.fields}, {"search/check", m.check}, {"search/s3", m.remote},
		{"search/irregular", m.irregular}, {"search/growth", m.growth},
	} {
		if step.name != "search/fill" && !s.only.MatchString(step.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", step.name)
		if err := step.do(ctx); err != nil {
			return r, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return r, nil
}

// newSearching makes a bucket for a log to be searched.
func (s settings) newSearching(ctx context.Context, binary, name string, r *searchReport) (*searching, error) {
	b := &bench{settings: s, binary: binary, dir: filepath.Join(s.dir, name),
		until: time.Now().Truncate(time.Hour)}
	b.bucket = filepath.Join(b.dir, "bucket")
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return nil, fmt.Errorf("-dir must be a folder without an earlier run: %w", err)
	}
	var err error
	b.creds, err = initialise(ctx, binary, b.bucket, big)
	return &searching{bench: b, report: r}, err
}

func (m *searching) corpus() corpus.Corpus {
	c := m.bench.corpus()
	c.Sought = true
	return c
}

func (m *searching) span() span {
	return span{m.until.Add(-time.Duration(m.Days) * 24 * time.Hour).Unix(), m.until.Unix()}
}

// fill records the corpus in weir, and the same lines in VictoriaLogs.
func (m *searching) fill(ctx context.Context) error {
	all := m.corpus()
	var line []byte
	for range (m.Events + 1) / 2 {
		line, _ = all.Next(line[:0])
	}
	_, rest, _ := bytes.Cut(line, []byte(`"vendor_name":"MongoDB"},"uid":"`))
	m.uid = string(rest[:36])
	err := m.with(ctx, m.bucket, func(s *server, c *client) error {
		if _, err := fill(ctx, c, m.corpus(), 0); err != nil {
			return err
		}
		return s.quiet(ctx)
	})
	if err != nil {
		return err
	}
	if m.log, err = logOf(m.bucket, big); err != nil {
		return err
	}
	d, err := weigh(m.bucket)
	if err != nil {
		return err
	}
	m.report.Disk = append(m.report.Disk, searchDisk{Name: "weir", All: d.All, Index: d.Beside})
	if m.theirs == nil {
		return nil
	}
	if err := m.theirs.start(ctx); err != nil {
		return err
	}
	if err := errors.Join(m.theirs.fill(ctx, m.corpus()), m.theirs.stop()); err != nil { // Its end writes all out.
		return err
	}
	n, err := folderSize(m.theirs.folder)
	m.report.Disk = append(m.report.Disk, searchDisk{Name: "VictoriaLogs", All: float64(n) / float64(m.Events)})
	return err
}

// both runs weir and VictoriaLogs, if it is there.
func (m *searching) both(ctx context.Context, do func(*server, *client) error) error {
	return m.with(ctx, m.bucket, func(s *server, c *client) error {
		if m.theirs == nil {
			return do(s, c)
		}
		if err := m.theirs.start(ctx); err != nil {
			return err
		}
		return errors.Join(do(s, c), m.theirs.stop())
	})
}

// warm asks each question again and again, weir and VictoriaLogs in turn, and compares what they say.
func (m *searching) warm(ctx context.Context) error {
	return m.both(ctx, func(s *server, c *client) error {
		for _, q := range questions(m.uid) {
			a, err := m.warmOf(ctx, c, q)
			if err == nil {
				err = s.profile(ctx, m.profiles, q.Name, func() error { _, _, err := m.ask(ctx, c, q); return err })
			}
			if err != nil {
				return fmt.Errorf("%s: %w", q.Name, err)
			}
			m.report.Answers = append(m.report.Answers, a)
		}
		return nil
	})
}

func (m *searching) warmOf(ctx context.Context, c *client, q question) (answered, error) {
	a := answered{Name: q.Name, question: q}
	var ours, others []float64
	for i := range m.Repeat + 1 { // the first warms up, and is compared
		body, took, err := m.ask(ctx, c, q)
		if err != nil {
			return a, err
		}
		var their []byte
		var theirTook time.Duration
		if m.theirs != nil {
			path, v := q.askVictoria(m.span())
			if their, theirTook, err = m.theirs.client.get(ctx, path, v); err != nil {
				return a, err
			}
		}
		if i > 0 {
			ours, others = append(ours, milliseconds(took)), append(others, milliseconds(theirTook))
			continue
		}
		if a.Found, err = m.compare(q, body, their); err != nil {
			return a, err
		}
	}
	a.Warm, a.Victoria = median(ours), median(others)
	return a, nil
}

func (m *searching) ask(ctx context.Context, c *client, q question) ([]byte, time.Duration, error) {
	path, v := q.ask(c.project, m.log, m.span())
	return c.get(ctx, path, v)
}

// compare returns how much weir has found. It fails if VictoriaLogs, if it was asked, says something else.
func (m *searching) compare(q question, body, their []byte) (int64, error) {
	ours, err := readAnswer(q.shape, body)
	if err != nil {
		return 0, fmt.Errorf("weir's reply: %w", err)
	}
	if m.theirs == nil {
		return ours.size(), nil
	}
	theirs, err := readVictoria(q.shape, their)
	if err != nil {
		return 0, fmt.Errorf("VictoriaLogs' reply: %w", err)
	}
	if d := ours.differs(theirs); d != "" {
		return 0, fmt.Errorf("weir and VictoriaLogs give other answers: %s", d)
	}
	return ours.size(), nil
}

// cold asks each question of servers that have just started, with nothing of their files in the cache of the disk.
func (m *searching) cold(ctx context.Context) error {
	for _, q := range questions(m.uid) {
		var ours, others []float64
		for range m.tries {
			if err := m.forget(); err != nil {
				return err
			}
			err := m.both(ctx, func(_ *server, c *client) error {
				_, took, err := m.ask(ctx, c, q)
				ours = append(ours, milliseconds(took))
				if err != nil || m.theirs == nil {
					return err
				}
				path, v := q.askVictoria(m.span())
				_, took, err = m.theirs.client.get(ctx, path, v)
				others = append(others, milliseconds(took))
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", q.Name, err)
			}
		}
		a := m.report.answer(q)
		a.Cold, a.VictoriaCold = median(ours), median(others)
	}
	return nil
}

// forget has the system forget what it holds of the files of both.
func (m *searching) forget() error {
	unix.Sync()
	dirs := []string{m.bucket}
	if m.theirs != nil {
		dirs = append(dirs, m.theirs.folder)
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// get returns the body of a reply, and how long it took.
func (c *client) get(ctx context.Context, path string, v url.Values) ([]byte, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", c.base+path+"?"+v.Encode(), nil)
	if err != nil {
		return nil, 0, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	begin := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	took := time.Since(begin)
	switch {
	case err != nil:
		return nil, took, err
	case resp.StatusCode == http.StatusTooManyRequests:
		return nil, took, errBusy
	case resp.StatusCode != http.StatusOK:
		return nil, took, fmt.Errorf("GET %s: %s %.500s", path, resp.Status, body)
	}
	return body, took, nil
}
