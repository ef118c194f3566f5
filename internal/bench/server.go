package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is a weir process.
type server struct {
	*process
	url, admin string
	started    time.Duration // from its start until /readyz
}

// build compiles weir and returns the binary's path.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "weir")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary,
		"github.com/weirlog/weir/cmd/weir").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, out)
	}
	return binary, nil
}

// initialise makes a bucket with the workspace named workspace.
func initialise(ctx context.Context, binary, bucket, workspace string) (credentials, error) {
	env := bucket + ".env"
	out, err := exec.CommandContext(ctx, binary, "init", "--bucket", bucket, "--workspace", workspace, "--env-file",
		env).CombinedOutput()
	if err != nil {
		return credentials{}, fmt.Errorf("weir init: %w\n%s", err, out)
	}
	return readCredentials(env)
}

// serve starts weir on a bucket. It is told to sequence soon, so that measurements need not wait for long. Its log goes
// to a file, as it would in earnest.
func serve(ctx context.Context, binary, bucket string, flags ...string) (*server, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(bucket+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, append([]string{"serve", "--bucket", bucket, "--listen", listen,
		"--admin-listen", admin,
		"--download-rate", "0", "--sequence-delay", "2s", "--log-format", "json"}, flags...)...)
	cmd.Stderr = log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start weir: %w", err)
	}
	s := &server{process: &process{cmd: cmd}, url: "http://" + listen, admin: "http://" + admin}
	for time.Since(begin) < time.Minute {
		if resp, err := http.Get(s.admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				s.started = time.Since(begin)
				return s, nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("weir does not get ready; see %s", log.Name()), s.stop())
}

// metric returns the sum of a metric's values.
func (s *server) metric(name string) (float64, error) {
	resp, err := http.Get(s.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s: %w", name, errors.Join(lines.Err()))
	}
	return sum, nil
}

// quiet waits until everything is sequenced, and the server does nothing any more.
func (s *server) quiet(ctx context.Context) error {
	const look, idle = 300 * time.Millisecond, 10 * time.Millisecond
	calm := 0
	for calm < 3 {
		before := s.cpu()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		used := s.cpu() - before
		waiting, err := s.metric("weir_wal_waiting_bytes")
		if err != nil {
			return err
		}
		if calm++; waiting > 0 || used > idle {
			calm = 0
		}
	}
	return nil
}

// allocated returns the bytes that the server has allocated since its start.
func (s *server) allocated() (int64, error) {
	v, err := s.metric("go_memstats_alloc_bytes_total")
	return int64(v), err
}

// process is another process that is measured.
type process struct{ cmd *exec.Cmd }

// stop ends the process and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.cmd.Wait()
}

// cpu returns the processor time that the process and its children have used.
func (p *process) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

// cpuOf sums what the kernel's scheduler counts of each thread, in nanoseconds: /proc/<pid>/stat is too coarse for one
// download. A thread that has ended is not counted; Go ends none in normal work.
func cpuOf(pid int) time.Duration {
	var sum time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid)) // the pattern is well-formed
	for _, task := range tasks {
		if text, err := os.ReadFile(filepath.Join(task, "schedstat")); err == nil {
			ran, _, _ := strings.Cut(string(text), " ")
			n, _ := strconv.ParseInt(ran, 10, 64)
			sum += time.Duration(n)
		}
		children, err := os.ReadFile(filepath.Join(task, "children"))
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(children)) {
			if n, err := strconv.Atoi(child); err == nil {
				sum += cpuOf(n)
			}
		}
	}
	return sum
}

// memory returns a line of /proc/<pid>/status, such as VmRSS, in bytes.
func (p *process) memory(line string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), line+":")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("there is no %s of the process", line)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}
