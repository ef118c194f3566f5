package api

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"
)

// link is the URL of a related resource.
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

// page returns the page number and the page size that the query asks for.
func (c *call) page() (number, items int) {
	return int(c.integer("pageNum", 1)), int(c.integer("itemsPerPage", defaultItems))
}

// paginate returns the page of all that the query asks for. show makes the view of the items of the page.
func paginate[T, V any](c *call, all []T, show func([]T) ([]V, error)) (any, error) {
	number, items := c.page()
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
	if c.query.Get("includeCount") != "false" {
		n := len(all)
		l.Total = &n
	}
	return l, nil
}

// mapEach makes a show function for paginate from one for a single item.
func mapEach[T, V any](c *call, show func(*call, T) V) func([]T) ([]V, error) {
	return func(items []T) ([]V, error) {
		views := make([]V, len(items))
		for i, item := range items {
			views[i] = show(c, item)
		}
		return views, nil
	}
}

func (c *call) pageLink(number, items int, rel string) link {
	query := maps.Clone(c.query)
	query.Set("pageNum", strconv.Itoa(number))
	query.Set("itemsPerPage", strconv.Itoa(items))
	return link{c.baseURL + c.r.URL.EscapedPath() + "?" + query.Encode(), rel}
}

// self returns the link to a resource by its path.
func (c *call) self(format string, names ...any) []link {
	for i, n := range names {
		names[i] = url.PathEscape(fmt.Sprint(n))
	}
	return []link{{c.baseURL + fmt.Sprintf(format, names...), "self"}}
}
