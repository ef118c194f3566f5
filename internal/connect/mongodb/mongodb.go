// Package mongodb makes events of the formats of MongoDB and Atlas: events of Atlas's projects and organizations,
// accesses to databases, and lines of a server's audit log.
//
// The event of a record depends on its bytes only, so that a record that is fetched again is recognised. All its
// members stay in unmapped, so a search finds also those without a field of OCSF.
package mongodb

import (
	"errors"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/connect"
)

// fields reads members of an object that are texts. A name with dots leads into objects. Members that are not texts are
// left out.
func fields(object []byte, of map[string]*string) error {
	inner := map[string]map[string]*string{}
	for name, to := range of {
		if first, rest, ok := strings.Cut(name, "."); ok {
			if inner[first] == nil {
				inner[first] = map[string]*string{}
			}
			inner[first][rest] = to
		}
	}
	return connect.Members(object, func(name string, value []byte) error {
		if to := of[name]; to != nil {
			*to, _ = connect.Text(value)
		}
		if more := inner[name]; more != nil && value[0] == '{' {
			return fields(value, more)
		}
		return nil
	})
}

// layouts are the forms of times that Atlas and MongoDB's servers write.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05.999999999Z0700", "Mon Jan _2 15:04:05 MST 2006"}

// instant returns a time in milliseconds since the epoch.
func instant(text string) (ms int64, err error) {
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UnixMilli(), nil
		}
	}
	return 0, errors.New("its time is not in a form that MongoDB writes")
}

// product appends the metadata with the product that made the event. It leaves their object open.
func product(dst []byte, name string) []byte {
	dst = append(connect.Name(dst, "metadata"), `{"version":"1.8.0","product":{"name":`...)
	return append(connect.String(dst, name), `,"vendor_name":"MongoDB"}`...)
}

// activityOf returns the number that OCSF's Entity Management has for a kind of event of Atlas, or 99 and a name.
func activityOf(kind string) (int, string) {
	for _, of := range []struct {
		suffix   string
		activity int
	}{{"_CREATED", 1}, {"_ADDED", 1}, {"_VIEWED", 2}, {"_LISTED", 2}, {"_LOGS", 2}, {"_UPDATED", 3}, {"_MODIFIED", 3},
		{"_DELETED", 4}, {"_REMOVED", 4}, {"_DROPPED", 4}, {"_STARTED", 10}, {"_STOPPED", 11}} {
		if strings.HasSuffix(kind, of.suffix) {
			return of.activity, ""
		}
	}
	return 99, kind
}
