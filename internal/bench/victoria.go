package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// victoria is a VictoriaLogs that is asked the same as weir.
type victoria struct {
	*process
	program, folder string
	client          *client
}

// findVictoria returns VictoriaLogs with a folder of its own; nil if the program is not there.
func findVictoria(program, dir string) *victoria {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil
	}
	return &victoria{program: path, folder: filepath.Join(dir, "victoria")}
}

// start starts it, and waits until it answers.
func (v *victoria) start(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(v.folder+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, v.program, "-httpListenAddr", address, "-storageDataPath", v.folder,
		"-retentionPeriod", "100d", "-loggerLevel", "WARN")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start VictoriaLogs: %w", err)
	}
	v.process = &process{cmd}
	v.client = &client{base: "http://" + address, http: &http.Client{Transport: &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: 128}}}
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if resp, err := http.Get(v.client.base + "/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return errors.Join(fmt.Errorf("VictoriaLogs does not answer; see %s", log.Name()), v.stop())
}

// fill sends it the lines of a corpus, and waits until all can be found. All are of one stream: one workspace.
func (v *victoria) fill(ctx context.Context, all corpus.Corpus) error {
	into := v.client.base + "/insert/jsonline?" + url.Values{"_time_field": {"time"}, "_msg_field": {"message"},
		"_stream_fields": {"metadata.log_name"}}.Encode()
	for b := all.NewBody(perRequest); b.Count() > 0; b = all.NewBody(perRequest) {
		if err := v.post(ctx, into, b.Lines); err != nil {
			return err
		}
	}
	return v.post(ctx, v.client.base+"/internal/force_flush", nil)
}

func (v *victoria) post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := v.client.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("VictoriaLogs: %s: %.300s", resp.Status, text)
	}
	return err
}
