package client

import (
	"bytes"
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

// Call sends a request to a path of the API, with body as JSON (nil: none), and returns the reply's JSON; nil if it has none.
// Errors of the server are *Error.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, body any) (json.RawMessage, error) {
	var r io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	req.Header.Set("Accept", adminType)
	req.Header.Set("User-Agent", c.userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("the server's reply: %w", err)
	}
	if len(data) > 0 && !json.Valid(data) {
		return nil, fmt.Errorf("the server's reply is not JSON: %.100q", data)
	}
	return data, nil
}

// maxPage bounds the pages of lists that are read, in bytes.
const maxPage = 64 << 20

// itemsPerPage is the most that the API allows.
const itemsPerPage = 500

// List returns all items of a list, page by page.
func (c *Client) List(ctx context.Context, path string, query url.Values) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
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
		if all = append(all, page.Results...); len(page.Results) < itemsPerPage {
			return all, nil
		}
	}
}
