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

// Query selects events. A nil Start or End means the server's default: the last 30 days.
type Query struct {
	Start, End *int64 // seconds since the epoch
	Processor  string // If not empty, only events of this stream processor.
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
	Size int64     // bytes, -1 if the server does not say
	Name string    // that the server suggests, if FileName takes it; else empty
	Date time.Time // the server's clock; zero if it does not say

	Log       string // id of the log that weir says it is of; empty if the server is not weir
	Sequenced int64  // how many entries the log's tree had
	Removed   string // which entries of the range retention has removed, as the server says; empty if none
}

// Source is the log that a download asks for. If Log is empty it is that of the workspace.
type Source struct {
	Project, Workspace string
	Operational        bool   // not the audit log
	Log                string // id of a log of the project, or of the organization
	Organization       string // whose log it is; if empty, it is the project's
}

func (s Source) path() string {
	switch {
	case s.Log != "":
		return s.LogPath(s.Log)
	case s.Operational:
		return "/api/atlas/v2/groups/" + url.PathEscape(s.Project) + "/streams/" + url.PathEscape(s.Workspace) +
			":downloadOperationalLogs"
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

// Download asks for a log. Errors of the server are *Error. The caller closes what it gets.
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
	d := &Download{ReadCloser: resp.Body, Size: resp.ContentLength,
		Name: suggestedName(resp.Header.Get("Content-Disposition")),
		Date: clock(resp.Header), Log: resp.Header.Get("Weir-Log"), Removed: resp.Header.Get("Weir-Removed")}
	if d.Log != "" {
		if d.Sequenced, err = strconv.ParseInt(resp.Header.Get("Weir-Checkpoint-Size"), 10, 64); err != nil {
			resp.Body.Close()
			return nil, fmt.Errorf("the server's reply: Weir-Checkpoint-Size: %w", err)
		}
	}
	return d, nil
}

// clock returns what a server says that the time is; zero if it does not.
func clock(h http.Header) time.Time {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

func auditLogs(project, workspace string) string {
	return fmt.Sprintf("/api/atlas/v2/groups/%s/streams/%s/auditLogs", url.PathEscape(project),
		url.PathEscape(workspace))
}

// suggestedName returns the file name of a Content-Disposition, if it is one.
func suggestedName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	return FileName(params["filename"])
}

// maxName bounds the names of files, in bytes, so that there is room for ".proof".
const maxName = 200

// FileName returns the last part of a path that others gave, if a file may safely be called that: no option of a
// command (-x), nothing hidden (.x), no character that a terminal would not show. Otherwise it returns "".
func FileName(suggested string) string {
	name := path.Base(strings.ReplaceAll(suggested, `\`, "/"))
	if name == "/" || len(name) > maxName || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") ||
		strings.TrimSpace(name) != name || visible.Text(name) != name {
		return ""
	}
	return name
}
