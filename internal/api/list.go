package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// link is where else something is found.
type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// list is one page of a list.
type list struct {
	Links   []link `json:"links"`
	Results any    `json:"results"`
	Total   *int   `json:"totalCount,omitempty"`
}

const (
	defaultItems = 100
	maxItems     = 500
)

// page returns which items of a list the query asks for.
func (c *call) page() (number, items int, err error) {
	query := c.r.URL.Query()
	var wrong []field
	read := func(name string, value, max int) int {
		if !query.Has(name) {
			return value
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 1 || n > max {
			wrong = append(wrong, field{name, fmt.Sprintf("must be an integer from 1 to %d, not %.40q", max, query.Get(name))})
		}
		return n
	}
	number, items = read("pageNum", 1, 1<<31-1), read("itemsPerPage", defaultItems, maxItems)
	if len(wrong) > 0 {
		return 0, 0, invalidQuery(wrong...)
	}
	return number, items, nil
}

// paginate returns the page of all that the query asks for, each shown by show.
func paginate[T, V any](c *call, all []T, show func([]T) ([]V, error)) (any, error) {
	number, items, err := c.page()
	if err != nil {
		return nil, err
	}
	start := min(int64(number-1)*int64(items), int64(len(all)))
	end := min(start+int64(items), int64(len(all)))
	results, err := show(all[start:end])
	if err != nil {
		return nil, err
	}
	if results == nil {
		results = []V{}
	}
	l := list{Links: []link{c.pageLink(number, items, "self")}, Results: results}
	if number > 1 {
		l.Links = append(l.Links, c.pageLink(number-1, items, "previous"))
	}
	if end < int64(len(all)) {
		l.Links = append(l.Links, c.pageLink(number+1, items, "next"))
	}
	if c.r.URL.Query().Get("includeCount") != "false" {
		n := len(all)
		l.Total = &n
	}
	return l, nil
}

// each shows items one by one.
func each[T, V any](show func(T) V) func([]T) ([]V, error) {
	return func(items []T) ([]V, error) {
		views := make([]V, len(items))
		for i, item := range items {
			views[i] = show(item)
		}
		return views, nil
	}
}

func (c *call) pageLink(number, items int, rel string) link {
	query := c.r.URL.Query()
	query.Set("pageNum", strconv.Itoa(number))
	query.Set("itemsPerPage", strconv.Itoa(items))
	return link{c.baseURL() + c.r.URL.EscapedPath() + "?" + query.Encode(), rel}
}

// self returns the link to something by its path.
func (c *call) self(format string, names ...any) []link {
	for i, n := range names {
		names[i] = url.PathEscape(fmt.Sprint(n))
	}
	return []link{{c.baseURL() + fmt.Sprintf(format, names...), "self"}}
}

// baseURL returns how clients reach this server: as it is configured, else as the request came.
func (c *call) baseURL() string {
	if c.server.options.PublicURL != "" {
		return c.server.options.PublicURL
	}
	scheme := "http"
	if c.r.TLS != nil || trustedPeer(c.r, c.server.options.TrustedProxies) && c.r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host
}

// checkFlags refuses flags of the query that are neither true nor false.
func (c *call) checkFlags() error {
	var wrong []field
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalidQuery(field{"query", err.Error()})
	}
	for _, name := range []string{"envelope", "pretty", "includeCount"} {
		if v := query.Get(name); v != "" && v != "true" && v != "false" {
			wrong = append(wrong, field{name, fmt.Sprintf("must be true or false, not %.40q", v)})
		}
	}
	if len(wrong) > 0 {
		return invalidQuery(wrong...)
	}
	return nil
}

func invalidQuery(fields ...field) *problem {
	return &problem{status: http.StatusBadRequest, code: "INVALID_QUERY_PARAMETER", parameters: []any{fields[0].Field},
		detail: "Query parameters are invalid: " + names(fields) + ".", fields: fields}
}
