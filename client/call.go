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

// adminType asks for the newest release of each resource.
const adminType = "application/vnd.atlas.2025-03-12+json"

// Call sends a request to a path of the API. If body is not nil, it is sent as JSON. Call returns the JSON of the
// reply, or nil if the reply has no body. An error reply of the server is an *Error.
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

// readReply reads at most most bytes of a reply. If the reply breaks off, the error is a *url.Error, so that Retry
// tries again.
func readReply(resp *http.Response, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, &url.Error{Op: "read the reply of", URL: place(resp.Request.URL), Err: err}
	}
	return data, nil
}

// maxPage is the default of Config.MaxReply, in bytes.
const maxPage = 64 << 20

// itemsPerPage is the largest page size that the API allows.
const itemsPerPage = 500

// maxPages bounds a list: all of it may have at most maxPages times the size of the largest page.
const maxPages = 4

// List returns all items of a list, which it requests page by page. It fails if the list has more than four times
// Config.MaxReply bytes (default 256 MiB).
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
