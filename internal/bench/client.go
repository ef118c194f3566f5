package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// credentials are the values that weir init wrote.
type credentials struct{ org, project, id, secret string }

func readCredentials(file string) (credentials, error) {
	var c credentials
	data, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		value = strings.Trim(value, "'")
		switch name {
		case "MONGODB_ATLAS_ORG_ID":
			c.org = value
		case "MONGODB_ATLAS_PROJECT_ID":
			c.project = value
		case "MONGODB_ATLAS_CLIENT_ID":
			c.id = value
		case "MONGODB_ATLAS_CLIENT_SECRET":
			c.secret = value
		}
	}
	return c, nil
}

// client asks one server, with connections that are kept.
type client struct {
	credentials
	base, token string
	http        *http.Client
}

func newClient(ctx context.Context, base string, c credentials) (*client, error) {
	cl := &client{credentials: c, base: base, http: &http.Client{Transport: &http.Transport{DisableCompression: true,
		MaxIdleConnsPerHost: 128}}}
	req, err := http.NewRequestWithContext(ctx, "POST", base+"/api/oauth/token",
		strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(c.id, c.secret)
	var reply struct {
		Token string `json:"access_token"`
	}
	if err := cl.do(req, &reply); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	cl.token = reply.Token
	return cl, nil
}

// do sends a request and reads the JSON of its reply.
func (c *client) do(req *http.Request, reply any) error {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusServiceUnavailable:
		return errBusy
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s: %s", resp.Status, data)
	}
	return json.Unmarshal(data, reply)
}

var errBusy = errors.New("503: the server has too much to do")

// create posts JSON to a collection and returns the id of the new resource.
func (c *client) create(ctx context.Context, path string, body any) (string, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", c.base+path, bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
	var made struct {
		ID string `json:"id"`
	}
	if err := c.do(req, &made); err != nil {
		return "", fmt.Errorf("create %s: %w", path, err)
	}
	return made.ID, nil
}

func (c *client) logs(project, workspace string) string {
	return fmt.Sprintf("%s/api/atlas/v2/groups/%s/streams/%s/auditLogs", c.base, project, workspace)
}

// record records lines; while the server is busy it tries again. It returns how long the request that was taken took.
func (c *client) record(ctx context.Context, project, workspace string, lines []byte) (took time.Duration, busy int,
	err error) {
	for {
		req, err := http.NewRequestWithContext(ctx, "POST", c.logs(project, workspace), bytes.NewReader(lines))
		if err != nil {
			return 0, busy, err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		var reply struct{ Recorded, Duplicates int }
		begin := time.Now()
		err = c.do(req, &reply)
		if errors.Is(err, errBusy) {
			busy++
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err == nil && (reply.Duplicates > 0 && busy == 0 || reply.Recorded == 0) {
			err = fmt.Errorf("recorded %d events, %d of them again", reply.Recorded, reply.Duplicates)
		}
		return time.Since(begin), busy, err
	}
}

// query selects what is downloaded.
type query struct {
	start, end int64 // seconds, both included
	processor  string
}

func (q query) String() string {
	v := url.Values{"startDate": {fmt.Sprint(q.start)}, "endDate": {fmt.Sprint(q.end)}}
	if q.processor != "" {
		v.Set("spName", q.processor)
	}
	return v.Encode()
}

// fetched is how one download went.
type fetched struct {
	first, wall time.Duration // until the first byte of the body, and the last
	bytes       int64
}

// fetch gets a URL and writes the body to w. If w is nil, it drops the body.
func (c *client) fetch(ctx context.Context, url string, w io.Writer) (fetched, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return fetched{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
		req.Header.Set("Accept", "application/vnd.atlas.2025-03-12+gzip")
	}
	begin := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return fetched{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fetched{}, fmt.Errorf("GET %s: %s %s", url, resp.Status, text)
	}
	var f fetched
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 && f.bytes == 0 {
			f.first = time.Since(begin)
		}
		f.bytes += int64(n)
		if w != nil {
			w.Write(buf[:n]) // to memory or a file whose Close tells
		}
		if errors.Is(err, io.EOF) {
			f.wall = time.Since(begin)
			return f, nil
		}
		if err != nil {
			return f, fmt.Errorf("GET %s: %w", url, err)
		}
	}
}
