package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profiled is how long a profile of a row is.
const profiled = 5 * time.Second

// profile writes a CPU profile of the server into folder while work is repeated, after the row was measured, and then
// what has been allocated since the server's start. The files are named for the row.
func (s *server) profile(ctx context.Context, folder, row string, work func() error) error {
	if folder == "" {
		return nil
	}
	name := filepath.Join(folder, strings.ReplaceAll(row, "/", "-"))
	done := make(chan error, 1)
	go func() {
		done <- s.save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(profiled.Seconds())), name+".cpu.pprof")
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			return s.save(ctx, "/debug/pprof/allocs", name+".allocs.pprof")
		default:
			if err := work(); err != nil {
				<-done
				return err
			}
		}
	}
}

func (s *server) save(ctx context.Context, path, file string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", s.admin+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("profile: %s %s", resp.Status, data)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
