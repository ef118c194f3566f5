package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// downloaded is the result of one kind of download: medians, but the mean for allocations.
type downloaded struct {
	Name      string  `json:"name"`
	Bytes     int64   `json:"bytes"`
	Wall      float64 `json:"wallMilliseconds"`
	First     float64 `json:"firstByteMilliseconds"`
	CPU       float64 `json:"serverCPUMilliseconds"`
	Allocated float64 `json:"allocatedKiB"` // by the server
	Repeated  int     `json:"repeated"`

	Yardstick    string  `json:"yardstick"`
	YardstickMS  float64 `json:"yardstickMilliseconds"`
	YardstickCPU float64 `json:"yardstickCPUMilliseconds,omitempty"`

	query     query
	recording bool // while recording goes on
}

// downloads are the kinds that are measured, of a corpus that ends at until.
func downloads(days int, until time.Time) []downloaded {
	all := query{start: until.Unix() - int64(days)*24*3600, end: until.Unix() - 1}
	middle := until.Unix() - int64(days)*12*3600
	hour := query{start: middle, end: middle + 3599}
	live, brief := all, all
	live.processor, brief.processor = corpus.Processor(7), corpus.Processor(corpus.Processors/2+4)
	return []downloaded{
		{Name: "download/all", query: all},
		{Name: "download/hour", query: hour},
		{Name: "download/minute", query: query{start: middle + 1800, end: middle + 1859}},
		{Name: "download/processor", query: live},
		{Name: "download/brief-processor", query: brief},
		{Name: "download/hour-while-recording", query: hour, recording: true},
	}
}

// downloader measures downloads of one workspace.
type downloader struct {
	server   *server
	client   *client
	recorder *recorder
	files    *fileServer
	repeat   int
	pause    time.Duration
}

// measure fills in how d goes, and how the same bytes go from the file server.
func (m *downloader) measure(ctx context.Context, d downloaded) (downloaded, error) {
	url := m.client.logs(m.client.project, big) + "?" + d.query.String()
	file := filepath.Base(d.Name) + ".gz"
	if err := m.keep(ctx, url, file); err != nil {
		return d, fmt.Errorf("%s: %w", d.Name, err)
	}
	if err := m.server.quiet(ctx); err != nil {
		return d, err
	}
	while, stop := context.WithCancel(ctx)
	defer stop()
	group := new(errgroup.Group)
	if d.recording {
		group.Go(func() error { return m.recorder.steadily(while) })
	}
	ours, err := m.repeated(ctx, m.client, url, m.server.process)
	if err != nil {
		return d, fmt.Errorf("%s: %w", d.Name, err)
	}
	if d.Allocated, err = m.allocated(ctx, url); err != nil {
		return d, err
	}
	theirs, err := m.repeated(ctx, m.files.client, m.files.client.base+"/"+file, m.files.process)
	if err != nil {
		return d, fmt.Errorf("%s: %w", d.Name, err)
	}
	stop()
	if err := group.Wait(); err != nil {
		return d, err
	}
	d.Bytes, d.Wall, d.First, d.CPU, d.Repeated = ours.bytes, median(ours.wall), median(ours.first),
		median(ours.cpu), m.repeat
	if d.recording {
		d.CPU = 0 // recording's, mostly
	}
	d.Yardstick, d.YardstickMS, d.YardstickCPU = m.files.name, median(theirs.wall), median(theirs.cpu)
	return d, nil
}

// keep saves a download where the file server finds it.
func (m *downloader) keep(ctx context.Context, url, file string) error {
	f, err := os.Create(filepath.Join(m.files.dir, file))
	if err != nil {
		return err
	}
	_, err = m.client.fetch(ctx, url, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

type series struct {
	wall, first, cpu []float64 // milliseconds
	bytes            int64
}

func (m *downloader) repeated(ctx context.Context, c *client, url string, p *process) (series, error) {
	var s series
	for range m.repeat {
		before := p.cpu()
		f, err := c.fetch(ctx, url, nil)
		if err != nil {
			return s, err
		}
		s.cpu = append(s.cpu, milliseconds(p.cpu()-before))
		s.wall, s.first, s.bytes = append(s.wall, milliseconds(f.wall)), append(s.first, milliseconds(f.first)), f.bytes
		time.Sleep(m.pause) // so that work after a download is not counted with the next
	}
	return s, nil
}

// allocated returns the memory that the server allocates for a download, in KiB, its event included.
func (m *downloader) allocated(ctx context.Context, url string) (float64, error) {
	var counts [3]int64 // the first two differ by the cost of asking
	for i := range counts {
		if i == 2 {
			for range m.repeat {
				if _, err := m.client.fetch(ctx, url, nil); err != nil {
					return 0, err
				}
			}
		}
		var err error
		if counts[i], err = m.server.allocated(); err != nil {
			return 0, err
		}
	}
	asking := counts[1] - counts[0]
	return max(0, float64(counts[2]-counts[1]-asking)/1024/float64(m.repeat)), nil
}
