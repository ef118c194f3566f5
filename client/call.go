package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// maxItems bounds a list that List returns.
const maxItems = 100_000

// List returns all items of a list, which it requests page by page. It fails if the list has more than 100,000 items,
// or more than four times Config.MaxReply bytes (default 256 MiB).
func (c *Client) List(ctx context.Context, path string, query url.Values) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	err := c.Each(ctx, path, query, func(item json.RawMessage) error {
		if len(all) == maxItems {
			return fmt.Errorf("the server's reply: the list %s has more than %d items", path, maxItems)
		}
		all = append(all, bytes.Clone(item))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Each calls fn with the items of a list, one after another; each is valid during the call only. It holds one page at a
// time. An error of fn ends it, and is returned. It fails if the list has more than four times Config.MaxReply bytes.
func (c *Client) Each(ctx context.Context, path string, query url.Values, fn func(item json.RawMessage) error) error {
	for number, size := 1, int64(0); ; number++ {
		asked := url.Values{"itemsPerPage": {strconv.Itoa(itemsPerPage)}, "pageNum": {strconv.Itoa(number)}}
		for name, values := range query {
			asked[name] = values
		}
		data, err := c.Call(ctx, http.MethodGet, path, asked, nil)
		if err != nil {
			return err
		}
		if size += int64(len(data)); size > maxPages*c.maxPage {
			return fmt.Errorf("the server's reply: the list %s has more than %d bytes", path,
				maxPages*c.maxPage)
		}
		if n, err := eachResult(data, fn); err != nil || n < itemsPerPage {
			return err
		}
	}
}

// eachResult calls fn with the items of a page, and returns how many there are.
func eachResult(page []byte, fn func(json.RawMessage) error) (n int, err error) {
	var list struct {
		Results json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(page, &list); err != nil {
		return 0, fmt.Errorf("the server's reply: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(list.Results))
	if first, err := d.Token(); errors.Is(err, io.EOF) || first == nil && err == nil {
		return 0, nil // The page has no results, or they are null.
	} else if err != nil || first != json.Delim('[') {
		return 0, errors.New("the server's reply: its results are not a list")
	}
	for item := json.RawMessage(nil); d.More(); n++ {
		if err := d.Decode(&item); err != nil {
			return n, fmt.Errorf("the server's reply: %w", err)
		}
		if err := fn(item); err != nil {
			return n, err
		}
	}
	return n, nil
}
