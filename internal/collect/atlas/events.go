package atlas

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/connect"
)

// eventList is the events of a project or an organization: pages of a list.
type eventList struct {
	*Source
	path string
}

// Bounds on pages.
const (
	eventsPerPage = 500
	pageBytes     = 4 << 20
	maxPages      = 200          // of a second
	maxItems      = mostAccesses // of a reply, however many were asked for
	maxReadings   = 6            // of the pages of a second, until two in a row have the same
)

var errTooManyItems = fmt.Errorf("it has more than %d items", maxItems)

// isoSeconds is how Atlas writes times in queries.
const isoSeconds = "2006-01-02T15:04:05Z"

// read implements itemList. One page is asked for, and a second one if the first says that there are more than it has.
func (l *eventList) read(ctx context.Context, s slice) (reply, error) {
	r, total, err := l.page(ctx, s, 1)
	if err != nil || r.more || len(r.items) == 0 || total <= len(r.items) {
		return r, err
	}
	second, _, err := l.page(ctx, s, 2)
	r.more = len(second.items) > 0
	return r, err
}

// readShortest implements itemList. Pages shift while they are read, so they are read until nothing new comes.
func (l *eventList) readShortest(ctx context.Context, s slice) (reply, error) {
	all, seen, size := reply{}, map[[32]byte]bool{}, 0
	for range maxReadings {
		known := len(seen)
		for number := 1; ; number++ {
			if number > maxPages {
				return all, fmt.Errorf("%w: a second has more than %d pages", collect.ErrTooMuch, maxPages)
			}
			r, _, err := l.page(ctx, s, number)
			if err != nil {
				return all, err
			}
			all.now = earlier(all.now, r.now)
			for _, item := range r.items {
				if key := sha256.Sum256(item); !seen[key] {
					seen[key] = true
					all.items = append(all.items, item)
					size += len(item)
				}
			}
			if size > mostBytes {
				return all, fmt.Errorf("%w: a second has events of more than %d bytes", collect.ErrTooMuch, mostBytes)
			}
			if len(r.items) == 0 {
				break
			}
		}
		if known > 0 && len(seen) == known || len(seen) == 0 {
			inOrder(all.items)
			return all, nil
		}
	}
	return all, fmt.Errorf("%w: the pages of a second change again and again", collect.ErrIncomplete)
}

// page returns a page of the events in a slice, and how many there are in all as far as the server says.
func (l *eventList) page(ctx context.Context, s slice, number int) (r reply, total int, err error) {
	q := url.Values{"itemsPerPage": {strconv.Itoa(eventsPerPage)}, "pageNum": {strconv.Itoa(number)},
		"minDate": {time.Unix(s.from-margin, 0).UTC().Format(isoSeconds)}}
	if !s.open {
		q.Set("maxDate", time.Unix(s.to+margin, 0).UTC().Format(isoSeconds))
	}
	members, now, err := l.readMembers(ctx, pageBytes, func(ctx context.Context) (*client.Download, error) {
		return l.client.GetJSON(ctx, l.path, q)
	})
	if err != nil {
		return r, 0, err
	}
	r.now = now
	if err := connect.Elements(members["results"], func(item []byte) error {
		if len(r.items) == maxItems {
			return errTooManyItems
		}
		r.items = append(r.items, settled(item))
		return nil
	}); err != nil {
		return r, 0, fmt.Errorf("%w: the results of a page: %w", collect.ErrIncomplete, err)
	}
	inOrder(r.items)
	n, _ := connect.Integer(members["totalCount"])
	r.more = len(r.items) >= eventsPerPage || hasNext(members["links"])
	return r, int(n), nil
}

// hasNext tells whether the links of a page lead to a next one.
func hasNext(links []byte) (has bool) {
	_ = connect.Elements(links, func(link []byte) error { // If it is not a list, there is no next page.
		return connect.Members(link, func(name string, value []byte) error {
			text, _ := connect.Text(value)
			has = has || name == "rel" && text == "next"
			return nil
		})
	})
	return has
}

// settled returns an item as it is whenever it is asked for: on one line, with its members in the order of their names,
// and without its links, which are the server's paths to it.
func settled(item []byte) []byte {
	v := jsontext.Value(bytes.Clone(item))
	if err := v.Format(jsontext.ReorderRawObjects(true), jsontext.AllowDuplicateNames(true),
		jsontext.PreserveRawStrings(true)); err != nil {
		return bytes.ReplaceAll(item, []byte("\n"), []byte(" "))
	}
	kept := []byte{'{'}
	err := connect.Members(v, func(name string, value []byte) error {
		if name != "links" {
			kept = append(connect.Name(kept, name), value...)
		}
		return nil
	})
	if err != nil {
		return v // It is no object.
	}
	return append(kept, '}')
}

// inOrder sorts events by their time. Events of the same time keep their order; items without a time come first.
func inOrder(items [][]byte) {
	type timed struct {
		created string
		item    []byte
	}
	all := make([]timed, len(items))
	for i, item := range items {
		all[i].item = item
		_ = connect.Members(item, func(name string, value []byte) error { // An item that is not an object has no time.
			if name == "created" {
				all[i].created, _ = connect.Text(value)
			}
			return nil
		})
	}
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(a.created, b.created) })
	for i := range all {
		items[i] = all[i].item
	}
}
