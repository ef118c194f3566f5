package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// adminType asks for the newest release of whatever is asked for.
const adminType = "application/vnd.atlas.2025-03-12+json"

// Call sends a request to a path of the API, with body as JSON if it is not nil, and returns the reply's JSON, nil if
// it has none. Errors of the server are *Error.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, body any) (json.RawMessage, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := c.request(ctx, method, path, content)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	req.Header.Set("Accept", adminType)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := readReply(resp, c.maxPage)
	if err != nil {
		return nil, err
	}
	if len(data) > 0 && !json.Valid(data) {
		return nil, fmt.Errorf("the server's reply is not JSON: %.100q", data)
	}
	return data, nil
}

// readReply reads at most so many bytes of a reply. If it breaks off, the connection is what failed, so Retry asks
// again.
func readReply(resp *http.Response, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, &url.Error{Op: "read the reply of", URL: place(resp.Request.URL), Err: err}
	}
	return data, nil
}

// maxPage bounds the pages of lists that are read, in bytes, unless Config.MaxReply does.
const maxPage = 64 << 20

// itemsPerPage is the most that the API allows.
const itemsPerPage = 500

// maxPages bounds a list: it has at most so many bytes as so many of the largest pages.
const maxPages = 4

// List returns all items of a list, which it asks for page by page. It fails for more than 256 MiB, or four times
// Config.MaxReply.
func (c *Client) List(ctx context.Context, path string, query url.Values) ([]json.RawMessage, error) {
	all, size := []json.RawMessage{}, int64(0)
	for number := 1; ; number++ {
		asked := url.Values{"itemsPerPage": {strconv.Itoa(itemsPerPage)}, "pageNum": {strconv.Itoa(number)}}
		for name, values := range query {
			asked[name] = values
		}
		data, err := c.Call(ctx, http.MethodGet, path, asked, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Results []json.RawMessage `json:"results"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, fmt.Errorf("the server's reply: %w", err)
		}
		if size += int64(len(data)); size > maxPages*c.maxPage {
			return nil, fmt.Errorf("the server's reply: the list %s has more than %d bytes", path, maxPages*c.maxPage)
		}
		if all = append(all, page.Results...); len(page.Results) < itemsPerPage {
			return all, nil
		}
	}
}
