package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/gzipmember"
	stored "github.com/weirlog/weir/internal/segment"
)

// fileServer sends files as they are: nginx, or Go's http.FileServer in a process of its own.
type fileServer struct {
	*process
	name, dir string
	client    *client
}

const nginxConfig = `daemon off; pid %[1]s/pid; error_log %[1]s/log; worker_processes 1;
%[3]s
events { worker_connections 256; }
http {
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server { listen %[2]s; root %[1]s/files; }
}
`

// startFileServer serves dir/files.
func startFileServer(ctx context.Context, dir string) (*fileServer, error) {
	f := &fileServer{name: "nginx", dir: filepath.Join(dir, "files")}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var cmd *exec.Cmd
	if nginx, err := exec.LookPath("nginx"); err == nil {
		user := ""
		if os.Geteuid() == 0 {
			user = "user root;"
		}
		config := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, address, user), 0o600); err != nil {
			return nil, err
		}
		cmd = exec.CommandContext(ctx, nginx, "-c", config, "-p", dir)
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		f.name = "http.FileServer"
		cmd = exec.CommandContext(ctx, self, "-serve-files", f.dir, "-serve-on", address)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", f.name, err)
	}
	f.process = &process{cmd}
	f.client = &client{base: "http://" + address,
		http: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		if resp, err := http.Get(f.client.base + "/"); err == nil {
			resp.Body.Close()
			return f, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s does not answer", f.name), f.stop())
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// yardsticks are the speeds of the machine, measured in the same run.
type yardsticks struct {
	Append   float64 `json:"appendFsyncMilliseconds"`  // 1 KiB to the end of a file, fsync
	New      float64 `json:"newFileFsyncMilliseconds"` // 1 KiB in a new file, fsync, a name for it, fsync of the folder
	Gzip     float64 `json:"gzip6BytesPerEvent"`
	GzipTime float64 `json:"gzip6MicrosecondsPerEvent"`
	Raw      float64 `json:"rawBytesPerEvent"`
}

// fsyncs measures the disk of dir.
func (y *yardsticks) fsyncs(dir string) error {
	const times = 300
	block := make([]byte, 1024)
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	var appended, created []float64
	for i := range times {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		appended = append(appended, milliseconds(time.Since(begin)))
		begin = time.Now()
		name := filepath.Join(dir, fmt.Sprintf("fsync-%d", i))
		if err := newFile(name, block, folder); err != nil {
			return err
		}
		created = append(created, milliseconds(time.Since(begin)))
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	y.Append, y.New = median(appended), median(created)
	return nil
}

func newFile(name string, data []byte, folder *os.File) error {
	f, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(name+".tmp", name)); err != nil {
		return err
	}
	return folder.Sync()
}

// gzipped is how many events are compressed for the yardstick.
const gzipped = 200_000

// gzip measures gzip -6 of the corpus in one file.
func (y *yardsticks) gzip(all corpus.Corpus) error {
	var count counter
	z, err := gzip.NewWriterLevel(&count, 6)
	if err != nil {
		return err
	}
	var line []byte
	var raw int64
	var took time.Duration
	n := 0
	for ok := true; n < gzipped; n++ {
		if line, ok = all.Next(line[:0]); !ok {
			break
		}
		raw += int64(len(line))
		begin := time.Now()
		if _, err := z.Write(line); err != nil {
			return err
		}
		took += time.Since(begin)
	}
	if err := z.Close(); err != nil {
		return err
	}
	y.Gzip, y.Raw, y.GzipTime = float64(count)/float64(n), float64(raw)/float64(n),
		float64(took.Microseconds())/float64(n)
	return nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// opened are the blocks of segments that hold events of a processor, each as a gzip file: what a download of it must
// open.
type opened struct {
	blocks [][]byte
	raw    int64
}

// blocksWith reads the blocks of segments and keeps those that name a processor.
func blocksWith(files []string, processor string) (o opened, all int, err error) {
	want := []byte(`"` + processor + `"`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return o, all, err
		}
		index, err := indexOf(data)
		if err != nil {
			return o, all, fmt.Errorf("%s: %w", file, err)
		}
		for i := range index.Blocks {
			b := &index.Blocks[i]
			piece := data[b.Offset:b.Span.End()]
			lines, err := b.Decode(nil, piece)
			if err != nil {
				return o, all, fmt.Errorf("%s: %w", file, err)
			}
			all++
			if bytes.Contains(lines, want) {
				member := append([]byte(gzipmember.Head), piece...)
				o.blocks = append(o.blocks, gzipmember.AppendTail(member, b.Lines()))
				o.raw += b.Raw
			}
		}
	}
	return o, all, nil
}

// indexOf returns the index of a segment.
func indexOf(data []byte) (*stored.Index, error) {
	size := int64(len(data))
	info, err := stored.DecodeTrailer(data[max(0, size-stored.TrailerSize):], size)
	if err != nil {
		return nil, err
	}
	at := info.IndexSpan()
	return stored.DecodeIndex(info, data[at.Offset:at.End()])
}

// again returns the time of gunzip + gzip -1 of the blocks.
func (o opened) again() (time.Duration, error) {
	begin := time.Now()
	var z gzip.Reader
	w, err := gzip.NewWriterLevel(io.Discard, 1)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 128<<10)
	for _, block := range o.blocks {
		if err := z.Reset(bytes.NewReader(block)); err != nil {
			return 0, err
		}
		w.Reset(io.Discard)
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{&z}, buf); err != nil {
			return 0, err
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}

// machine describes where it was measured.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Load   string `json:"loadBefore"` // of the last minute, before the run
	Go     string `json:"go"`
}

func firstMatch(file, before string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, before); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, " \t:"))
		}
	}
	return "unknown"
}
