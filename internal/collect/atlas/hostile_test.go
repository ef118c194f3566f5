package atlas

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"strings"
	"testing"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
)

// listing returns a source at a server that lists one project with some workspaces.
func listing(t *testing.T, workspaces string) *Source {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/oauth/token":
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
		case strings.HasSuffix(r.URL.Path, "/streams") && r.URL.Query().Get("pageNum") == "1":
			fmt.Fprintf(w, `{"results":[%s]}`, workspaces)
		case strings.HasSuffix(r.URL.Path, "/streams"):
			io.WriteString(w, `{"results":[]}`)
		default:
			fmt.Fprintf(w, `{"results":[{"id":%q,"name":"shop"}]}`, groupID)
		}
	}))
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{URL: s.URL, ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Client: c, Pace: NewPace(PerMinute), Kinds: []Kind{Audit, Operational}})
}

// workspaces returns the list of some workspaces, of which each stands there so many times.
func workspaces(n, times int) string {
	var all []string
	for i := range n * times {
		all = append(all, fmt.Sprintf(`{"_id":"%024x","name":"w%d"}`, i/times, i/times))
	}
	return strings.Join(all, ",")
}

// Whatever a server lists, a source has no more units than a round takes, each once.
func TestListsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name, list string
		units      int
		want       error
	}{
		{"a few", workspaces(3, 1), 6, nil},
		{"one that stands there many times", workspaces(2, 2000), 4, nil},
		{"more than a round takes", workspaces(1500, 1), maxUnits, errTooMany},
		{"more than is read", workspaces(maxListed+1, 1), maxUnits, collect.ErrTooMuch},
		{"no workspaces", `{"_id":"x"}`, 0, collect.ErrIncomplete},
	} {
		units, err := listing(t, c.list).Units(t.Context())
		if len(units) != c.units || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %d units, %v", c.name, len(units), err)
		}
	}
}

// An item that is not an object is found before the next one is in memory.
func TestItemsAreReadOneByOne(t *testing.T) {
	list := strings.Repeat("0,", 4<<20) + "0"
	s := listing(t, list)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	units, err := s.Units(t.Context())
	runtime.ReadMemStats(&after)
	if len(units) > 0 || !errors.Is(err, collect.ErrIncomplete) {
		t.Errorf("%d units, %v", len(units), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(16*len(list)) {
		t.Errorf("a list of %d bytes took %d bytes", len(list), took)
	}
}

// serving returns a source at a server that replies so.
func serving(t *testing.T, reply http.HandlerFunc) *Source {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/oauth/token" {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
			return
		}
		reply(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{URL: s.URL, ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Client: c, Pace: NewPace(10_000_000), Kinds: Kinds()})
}

func placeOf(name string) collect.Place {
	return collect.Place{ProjectID: groupID, Project: "shop", Name: name}
}

// window is a day.
var window = collect.Window{Start: 1795158062, End: 1795158062 + 24*3600}

// fetchAll asks a feed for a day.
func fetchAll(t *testing.T, feed collect.Feed, to io.Writer) error {
	_, err := feed.Fetch(t.Context(), window, to)
	return err
}

func isIncomplete(err error) bool { return errors.Is(err, collect.ErrIncomplete) }
func isTooMuch(err error) bool    { return errors.Is(err, collect.ErrTooMuch) }
func isBounded(err error) bool    { return isIncomplete(err) || isTooMuch(err) }

// A source has no more clusters and hosts than a round takes, and only those whose names can be parts of paths.
func TestListsOfClustersAreBounded(t *testing.T) {
	items := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	for _, c := range []struct {
		name, clusters, hosts string
		units                 int
		want                  error
	}{
		{"a few", items(2, `{"name":"c%d"}`), items(3, `{"hostname":"h%d","typeName":"SHARD_MONGOS"}`), 5, nil},
		{"many hosts", "", items(maxUnits+1, `{"hostname":"h%d"}`), maxUnits, errTooMany},
		{"more than is read", items(maxListed+1, `{"name":"c%d"}`), "", 0, collect.ErrTooMuch},
		{"no hosts", "", `{"hostname":"a/b"}`, 0, collect.ErrIncomplete},
		{"no clusters", `{"name":".."}`, "", 0, collect.ErrIncomplete},
	} {
		s := serving(t, func(w http.ResponseWriter, r *http.Request) {
			list := ""
			if r.URL.Query().Get("pageNum") == "1" {
				list = map[string]string{"groups": `{"id":"` + groupID + `","name":"shop"}`, "clusters": c.clusters,
					"processes": c.hosts}[path.Base(r.URL.Path)]
			}
			fmt.Fprintf(w, `{"results":[%s]}`, list)
		})
		s.options.Kinds = []Kind{DatabaseAccess, ClusterAudit}
		units, err := s.Units(t.Context())
		wrong := len(units) != c.units && c.want != collect.ErrTooMuch
		if wrong || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %d units, %v", c.name, len(units), err)
		}
		for _, u := range units {
			again, err := s.Again(t.Context(), u.ID, u.Place)
			if err != nil || again.Label != u.Label || again.Place != u.Place {
				t.Errorf("%+v is %+v when it is asked for again", u, again)
			}
		}
	}
}

// Where nothing is new, each list and each feed is asked for once.
func TestFeedsWithNothingNewAreAskedOnce(t *testing.T) {
	asked := map[string]int{}
	s := serving(t, func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		switch path.Base(r.URL.Path) {
		case "groups", "orgs":
			fmt.Fprintf(w, `{"results":[{"id":%q,"name":"shop"}]}`, groupID)
		case "clusters":
			io.WriteString(w, `{"results":[{"name":"c0"}]}`)
		case "processes":
			io.WriteString(w, `{"results":[{"hostname":"h0"}]}`)
		case "events":
			io.WriteString(w, `{"results":[],"totalCount":0}`)
		case "c0":
			io.WriteString(w, `{"accessLogs":[]}`)
		default:
			z := gzip.NewWriter(w)
			z.Close()
		}
	})
	s.options.Kinds = []Kind{ProjectEvents, OrganizationEvents, DatabaseAccess, ClusterAudit}
	units, err := s.Units(t.Context())
	if err != nil || len(units) != 4 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	for _, u := range units {
		if err := fetchAll(t, u.Feed, io.Discard); err != nil {
			t.Errorf("%s: %v", u.Label, err)
		}
	}
	for place, n := range asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", place, n)
		}
	}
	if lists := 4; len(asked) != lists+len(units) {
		t.Errorf("%v was asked for", asked)
	}
}
