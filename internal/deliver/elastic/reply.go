package elastic

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver/post"
)

// filter selects the members of a reply that the server sends: for each event its status and its error.
const filter = "errors,items.*._id,items.*.status,items.*.error"

// result is the result of one event in a reply.
type result struct {
	id     string // empty if the reply does not name it
	status int64
	kind   string // of the error
	reason string
}

func (r result) accepted() bool { return r.status/100 == 2 || r.status == http.StatusConflict }

// refused tells whether the event is refused for itself and for ever. An index that is closed, missing, full or
// forbidden is none of an event's business.
func (r result) refused() bool {
	if r.status != http.StatusBadRequest {
		return false
	}
	for _, about := range []string{"index_", "invalid_index_", "invalid_alias_", "cluster_", "security_"} {
		if strings.HasPrefix(r.kind, about) {
			return false
		}
	}
	return true
}

func (r result) String() string {
	return strings.Trim(fmt.Sprintf("status %d: %s: %s", r.status, post.Excerpt(r.kind), post.Excerpt(r.reason)), ": ")
}

// parse reads the reply to a _bulk of n events.
func parse(body []byte, n int) (results []result, err error) {
	results = make([]result, 0, n)
	err = connect.Members(body, func(name string, value []byte) error {
		if name != "items" {
			return nil
		}
		return connect.Elements(value, func(element []byte) error {
			if len(results) == n {
				return fmt.Errorf("it names more than the %d events that were sent", n)
			}
			r, err := parseItem(element)
			results = append(results, r)
			return err
		})
	})
	if err == nil && len(results) < n {
		err = fmt.Errorf("it names %d of the %d events that were sent", len(results), n)
	}
	return results, err
}

// parseItem reads the object below the name of the action, which may be any.
func parseItem(item []byte) (r result, err error) {
	err = connect.Members(item, func(_ string, action []byte) error {
		return connect.Members(action, func(name string, value []byte) error {
			switch name {
			case "_id":
				r.id, _ = connect.Text(value)
			case "status":
				r.status, _ = connect.Integer(value)
			case "error":
				r.kind, r.reason = parseError(value, 1)
			}
			return nil
		})
	})
	return r, err
}

// parseError reads an error: an object with a type and a reason, or a text. An error's cause follows its reason, so
// many deep.
func parseError(value []byte, causes int) (kind, reason string) {
	if text, ok := connect.Text(value); ok {
		return "", text
	}
	var cause string
	_ = connect.Members(value, func(name string, value []byte) error { // what has no members says nothing
		switch {
		case name == "type":
			kind, _ = connect.Text(value)
		case name == "reason":
			reason, _ = connect.Text(value)
		case name == "caused_by" && causes > 0:
			_, cause = parseError(value, causes-1)
		}
		return nil
	})
	if cause != "" {
		reason += ": " + cause
	}
	return kind, reason
}
