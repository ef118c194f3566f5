package client

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/visible"
)

const (
	fileType = "application/vnd.atlas.2025-03-12+gzip"
	jsonType = "application/vnd.atlas.2023-02-01+json"
)

// Query selects events. If Start or End is nil, the server's default holds: the last 30 days.
type Query struct {
	Start, End *int64 // seconds since the epoch
	Processor  string // if not empty, only events of this stream processor
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
	Size int64     // bytes; -1 if the server does not report it
	Name string    // file name that the server suggests; empty if there is none or FileName rejects it
	Date time.Time // the server's clock; zero if the server does not report it

	Log       string // id of the log; empty if the server is not weir
	Sequenced int64  // number of entries in the log's tree
	Removed   string // the entries of the range that retention has removed, as the server describes them; empty if none
}

// Source is the log that a download requests. If Log is empty, it is a log of the workspace.
type Source struct {
	Project, Workspace string // id of the project, name of the workspace
	Operational        bool   // the operational log of the workspace, instead of its audit log
	Log                string // id of a log of the project, or of the organization
	Organization       string // owner of Log; if empty, the project is its owner
}

func (s Source) path() string {
	switch {
	case s.Log != "":
		return s.LogPath(s.Log)
	case s.Operational:
		return streams(s.Project, s.Workspace) + ":downloadOperationalLogs"
	}
	return auditLogs(s.Project, s.Workspace)
}

// LogPath returns the path of the log with an id. The proofs of weir are below this path.
func (s Source) LogPath(log string) string {
	owner := "/groups/" + url.PathEscape(s.Project)
	if s.Organization != "" {
		owner = "/orgs/" + url.PathEscape(s.Organization)
	}
	return "/api/weir/v1" + owner + "/logs/" + url.PathEscape(log)
}

// Download requests a log. An error reply of the server is an *Error. The caller closes the Download.
func (c *Client) Download(ctx context.Context, s Source, q Query) (*Download, error) {
	d, resp, err := c.get(ctx, s.path(), q.values(), fileType)
	if err != nil {
		return nil, err
	}
	d.Log, d.Removed = resp.Header.Get("Weir-Log"), resp.Header.Get("Weir-Removed")
	if d.Log != "" {
		if d.Sequenced, err = strconv.ParseInt(resp.Header.Get("Weir-Checkpoint-Size"), 10, 64); err != nil {
			resp.Body.Close()
			return nil, fmt.Errorf("the server's reply: Weir-Checkpoint-Size: %w", err)
		}
	}
	return d, nil
}

// GetFile requests another gzip file at a path of the API. An error reply of the server is an *Error. The caller closes
// the Download.
func (c *Client) GetFile(ctx context.Context, path string, query url.Values) (*Download, error) {
	d, _, err := c.get(ctx, path, query, fileType)
	return d, err
}

// GetJSON is GetFile for JSON. The caller bounds what it reads.
func (c *Client) GetJSON(ctx context.Context, path string, query url.Values) (*Download, error) {
	d, _, err := c.get(ctx, path, query, adminType)
	return d, err
}

func (c *Client) get(ctx context.Context, path string, query url.Values, accept string) (*Download, *http.Response,
	error) {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, nil, err
	}
	req.URL.RawQuery = query.Encode()
	req.Header.Set("Accept", accept)
	resp, err := c.do(req)
	if err != nil {
		return nil, nil, err
	}
	return &Download{ReadCloser: resp.Body, Size: resp.ContentLength,
		Name: suggestedName(resp.Header.Get("Content-Disposition")), Date: clock(resp.Header)}, resp, nil
}

// clock returns the server's time; zero if the reply does not have it.
func clock(h http.Header) time.Time {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

func auditLogs(project, workspace string) string {
	return streams(project, workspace) + "/auditLogs"
}

// streams returns the path of a workspace.
func streams(project, workspace string) string {
	return fmt.Sprintf("/api/atlas/v2/groups/%s/streams/%s", url.PathEscape(project), url.PathEscape(workspace))
}

// suggestedName returns the file name in a Content-Disposition header; empty if there is none or FileName rejects it.
func suggestedName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	return FileName(params["filename"])
}

// maxName bounds file names, in bytes, so that ".proof" can still be appended.
const maxName = 200

// FileName returns the last element of a path that comes from outside, if it is safe as a file name: it is not an
// option of a command (-x), it is not hidden (.x), and a terminal shows all its characters. Otherwise it returns "".
func FileName(suggested string) string {
	name := path.Base(strings.ReplaceAll(suggested, `\`, "/"))
	if name == "/" || len(name) > maxName || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") ||
		strings.TrimSpace(name) != name || visible.Text(name) != name {
		return ""
	}
	return name
}
