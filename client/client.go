// Package client speaks the audit log API of weir and of MongoDB Atlas.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/mongodb-forks/digest"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Config says whom to ask, and as whom. Set either the client id and secret of a service account or an API key; the
// service account wins.
type Config struct {
	URL                    string // such as https://cloud.mongodb.com
	ClientID, ClientSecret string
	PublicKey, PrivateKey  string
	UserAgent              string
}

// FromEnvironment reads the variables that Atlas's tools use, and WEIR_URL, which wins over
// MONGODB_ATLAS_OPS_MANAGER_URL.
func FromEnvironment(getenv func(string) string) (Config, error) {
	c := Config{
		URL:      getenv("WEIR_URL"),
		ClientID: getenv("MONGODB_ATLAS_CLIENT_ID"), ClientSecret: getenv("MONGODB_ATLAS_CLIENT_SECRET"),
		PublicKey: getenv("MONGODB_ATLAS_PUBLIC_API_KEY"), PrivateKey: getenv("MONGODB_ATLAS_PRIVATE_API_KEY"),
		UserAgent: "weir",
	}
	if c.URL == "" {
		c.URL = getenv("MONGODB_ATLAS_OPS_MANAGER_URL")
	}
	if c.URL == "" {
		c.URL = "https://cloud.mongodb.com"
	}
	if (c.ClientID == "" || c.ClientSecret == "") && (c.PublicKey == "" || c.PrivateKey == "") {
		return c, errors.New("no credentials: set MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET, or MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY")
	}
	return c, nil
}

// Client asks one server. It may be used concurrently.
type Client struct {
	base      string
	userAgent string
	http      *http.Client
}

// New returns a Client.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a server", c.URL)
	}
	base := strings.TrimRight(c.URL, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // the body is a .gz file, and must stay one
	transport.ResponseHeaderTimeout = 2 * time.Minute
	cl := &Client{base: base, userAgent: c.UserAgent}
	if c.ClientID != "" && c.ClientSecret != "" {
		config := &clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret,
			TokenURL: base + "/api/oauth/token", AuthStyle: oauth2.AuthStyleInHeader}
		ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: transport, Timeout: time.Minute})
		cl.http = &http.Client{Transport: &oauth2.Transport{Source: config.TokenSource(ctx), Base: transport}}
	} else {
		cl.http = &http.Client{Transport: &digest.Transport{Username: c.PublicKey, Password: c.PrivateKey, Transport: transport}}
	}
	return cl, nil
}

// URL returns the address of the server, without '/' at its end.
func (c *Client) URL() string { return c.base }

// HTTP returns what sends requests with the client's credentials, for requests to that server only: it follows no redirects,
// whose targets would be given the credentials too.
func (c *Client) HTTP() *http.Client {
	own := *c.http
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

const (
	fileType = "application/vnd.atlas.2025-03-12+gzip"
	jsonType = "application/vnd.atlas.2023-02-01+json"
)

// Query selects events. Nil means the server's default: the last 30 days.
type Query struct {
	Start, End *int64 // seconds since the epoch
	Processor  string // only events of this stream processor; empty: all
}

func (q Query) values() url.Values {
	values := url.Values{}
	if q.Start != nil {
		values.Set("startDate", strconv.FormatInt(*q.Start, 10))
	}
	if q.End != nil {
		values.Set("endDate", strconv.FormatInt(*q.End, 10))
	}
	if q.Processor != "" {
		values.Set("spName", q.Processor)
	}
	return values
}

// Download is the body of a download: a gzip file.
type Download struct {
	io.ReadCloser
	Size int64  // bytes, -1 if the server does not say
	Name string // that the server suggests, without folders; perhaps empty

	Log       string // id of the log that weir says it is of; empty: the server is not weir
	Sequenced int64  // how many entries the log's tree had
	Removed   string // which entries of the range retention has removed; empty: none
}

// Source is the log that a download asks for. Where Log is empty it is the one of the workspace.
type Source struct {
	Project, Workspace string
	Operational        bool   // not the audit log
	Log                string // id of a log of the project, or of the organization
	Organization       string // whose log it is; empty: the project's
}

func (s Source) path() string {
	switch {
	case s.Log != "":
		return s.LogPath(s.Log)
	case s.Operational:
		return "/api/atlas/v2/groups/" + url.PathEscape(s.Project) + "/streams/" + url.PathEscape(s.Workspace) + ":downloadOperationalLogs"
	}
	return auditLogs(s.Project, s.Workspace)
}

// LogPath returns the path of a log by its id, below which is what weir proves of it.
func (s Source) LogPath(log string) string {
	owner := "/groups/" + url.PathEscape(s.Project)
	if s.Organization != "" {
		owner = "/orgs/" + url.PathEscape(s.Organization)
	}
	return "/api/weir/v1" + owner + "/logs/" + url.PathEscape(log)
}

// Download asks for a log. Errors of the server are *Error.
func (c *Client) Download(ctx context.Context, s Source, q Query) (*Download, error) {
	req, err := c.request(ctx, http.MethodGet, s.path(), nil)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = q.values().Encode()
	req.Header.Set("Accept", fileType)
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	d := &Download{ReadCloser: resp.Body, Size: resp.ContentLength, Name: suggestedName(resp.Header.Get("Content-Disposition")),
		Log: resp.Header.Get("Weir-Log"), Removed: resp.Header.Get("Weir-Removed")}
	if d.Log != "" {
		if d.Sequenced, err = strconv.ParseInt(resp.Header.Get("Weir-Checkpoint-Size"), 10, 64); err != nil {
			resp.Body.Close()
			return nil, fmt.Errorf("the server's reply: Weir-Checkpoint-Size: %w", err)
		}
	}
	return d, nil
}

func auditLogs(project, workspace string) string {
	return fmt.Sprintf("/api/atlas/v2/groups/%s/streams/%s/auditLogs", url.PathEscape(project), url.PathEscape(workspace))
}

// suggestedName returns the file name of a Content-Disposition, if it is one.
func suggestedName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	name := path.Base(strings.ReplaceAll(params["filename"], `\`, "/"))
	if err != nil || name == "." || name == ".." || name == "/" || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return ""
	}
	return name
}

// Recorded is what became of the events of one request.
type Recorded struct {
	Recorded   int `json:"recorded"`
	Duplicates int `json:"duplicates"`
	Rejected   int `json:"rejected"`
	BadRequest struct {
		Fields []Field `json:"fields"`
	} `json:"badRequestDetail"`
}

// Record records events, one on each line. If partial is set, good ones are recorded although others are refused.
func (c *Client) Record(ctx context.Context, project, workspace string, lines []byte, partial bool) (Recorded, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err == nil {
		_, err = z.Write(lines)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return Recorded{}, err
	}
	req, err := c.request(ctx, http.MethodPost, auditLogs(project, workspace), packed.Bytes())
	if err != nil {
		return Recorded{}, err
	}
	if partial {
		req.URL.RawQuery = "partial=true"
	}
	req.Header.Set("Accept", jsonType)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := c.do(req)
	if err != nil {
		return Recorded{}, err
	}
	defer resp.Body.Close()
	var r Recorded
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&r); err != nil {
		return Recorded{}, fmt.Errorf("the server's reply: %w", err)
	}
	return r, nil
}

// maxReply bounds the JSON replies that are read, in bytes.
const maxReply = 1 << 20

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body) // which the request can read again, for digest's second try
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err == nil && c.userAgent != "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	return req, err
}

func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, connectionError(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, newError(resp)
}

// connectionError makes an *Error of a token that was refused.
func connectionError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return err
	}
	e := &Error{Status: refused.Response.StatusCode, Code: refused.ErrorCode, Detail: refused.ErrorDescription,
		RequestID: refused.Response.Header.Get("X-Request-Id"), RetryAfter: retryAfter(refused.Response.Header)}
	if e.Detail == "" {
		e.Detail = "no token was issued"
	}
	return e
}

// Field names one bad thing in a request.
type Field struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// Error is an error that the server replied.
type Error struct {
	Status     int           // HTTP status
	Code       string        // Atlas's errorCode
	Detail     string        // for people
	Fields     []Field       // of a bad request
	RequestID  string        // for who runs the server
	RetryAfter time.Duration // 0: not said
}

func (e *Error) Error() string {
	text := fmt.Sprintf("the server says %d %s: %s", e.Status, e.Code, e.Detail)
	for i, f := range e.Fields {
		if i == 5 {
			text += fmt.Sprintf("; and %d more", len(e.Fields)-i)
			break
		}
		text += fmt.Sprintf("; %s: %s", f.Field, f.Description)
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

func newError(resp *http.Response) *Error {
	var body struct {
		Detail           string `json:"detail"`
		ErrorCode        string `json:"errorCode"`
		BadRequestDetail struct {
			Fields []Field `json:"fields"`
		} `json:"badRequestDetail"`
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil || json.Unmarshal(data, &body) != nil || body.Detail == "" {
		body.Detail = strings.TrimSpace(string(data[:min(len(data), 200)]))
	}
	if body.Detail == "" {
		body.Detail = http.StatusText(resp.StatusCode)
	}
	return &Error{Status: resp.StatusCode, Code: body.ErrorCode, Detail: body.Detail, Fields: body.BadRequestDetail.Fields,
		RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retryAfter(resp.Header)}
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// Retry runs try until it succeeds, fails for good, or most has passed: with growing pauses, or those that the server asks
// for. Only what may succeed later is tried again: connections that fail, 429, and errors of the server.
func Retry(ctx context.Context, most time.Duration, try func() error) error {
	pause := 250 * time.Millisecond
	for deadline := time.Now().Add(most); ; {
		err := try()
		if err == nil || !mayRetry(err) || ctx.Err() != nil {
			return err
		}
		wait := pause
		var e *Error
		if errors.As(err, &e) && e.RetryAfter > 0 {
			wait = e.RetryAfter
		}
		if time.Now().Add(wait).After(deadline) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
		pause = min(2*pause, 30*time.Second)
	}
}

func mayRetry(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusTooManyRequests || e.Status >= 500
	}
	var u *url.Error
	return errors.As(err, &u)
}
