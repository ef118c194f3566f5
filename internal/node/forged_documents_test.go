package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/follow"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/source"
	"github.com/weirlog/weir/internal/tlog"
)

// writeUnsealed puts v into the bucket as the version of a document, with a digest that fits and without a seal.
func writeUnsealed(ctx context.Context, b bucket.Bucket, prefix string, version int64, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	key := fmt.Sprintf("%s/%010d.json", prefix, version)
	sum := sha256.Sum256(append([]byte(key+"\n"), content...))
	data, err := json.Marshal(map[string]any{"nonce": rand.Text(), "content": json.RawMessage(content),
		"sum": hex.EncodeToString(sum[:])})
	if err != nil {
		return err
	}
	return b.PutNew(ctx, key, data)
}

// forgers are the ways in which an attacker who can write the bucket, and has no secret, puts a version of a document
// there that has the right digest.
var forgers = map[string]func(ctx context.Context, b bucket.Bucket, prefix string, version int64, v any) error{
	"without a seal": writeUnsealed,
	"with another secret's seal": func(ctx context.Context, b bucket.Bucket, prefix string, version int64,
		v any) error {
		return doc.Write(ctx, seal.NewBucket(b, seal.NewKey(make([]byte, 32))), prefix, version-1, v)
	},
	"with a seal of another document": func(ctx context.Context, b bucket.Bucket, prefix string, version int64,
		v any) error {
		if err := writeUnsealed(ctx, b, prefix, version, v); err != nil {
			return err
		}
		key := fmt.Sprintf("%s/%010d.json", prefix, version)
		forged, err := bucket.Read(ctx, b, key, bucket.Range{})
		if err != nil {
			return err
		}
		good, err := bucket.Read(ctx, b, "weir/0000000001.json", bucket.Range{})
		if err != nil {
			return err
		}
		return b.Put(ctx, key, append(forged, good[bytes.LastIndexByte(bytes.TrimSpace(good), '\n'):]...))
	},
}

// TestForgedDocumentsAreNeverUsed: a document of each kind that somebody else than a node wrote is never used, and the
// error says so. An intent is left where it is, and no log has its event. A cursor is repeated from the beginning.
func TestForgedDocumentsAreNeverUsed(t *testing.T) {
	for how, forge := range forgers {
		t.Run(how, func(t *testing.T) {
			memory, n := filledNode(t)
			ctx, now := t.Context(), time.Now()
			org, project := onlyOrganization(t, n), onlyProject(t, n)
			key, _ := account.NewAPIKey(org.ID, "thief", []account.Grant{{Org: org.ID, Role: account.OrgOwner}},
				now)
			stolen := *project
			stolen.Retention.Days = 1
			noLonger := *org
			noLonger.Deleted = now.AddDate(-1, 0, 0)
			tried := map[layout.Name]bool{layout.Cursor: true} // below
			cursor := "cursors/f/" + org.Log
			for _, d := range []struct {
				kind    layout.Name
				prefix  string
				content any
				read    func(*account.Directory) error
			}{
				{layout.Credential, "credentials/" + key.ID, key, func(a *account.Directory) error {
					_, err := a.Credential(ctx, key.ID)
					return err
				}},
				{layout.Project, "projects/" + project.ID, stolen, func(a *account.Directory) error {
					_, err := a.LatestProject(ctx, project.ID)
					return err
				}},
				{layout.Organization, "orgs/" + org.ID, noLonger, func(a *account.Directory) error {
					_, err := a.Organization(ctx, org.ID)
					return err
				}},
				{layout.Publication, "publications/" + org.Log, account.Publication{Public: true, Owner: org.ID},
					func(a *account.Directory) error {
						_, err := a.Publication(ctx, org.Log)
						return err
					}},
				{layout.ProjectNames, "directory/" + org.ID + "/projects/00",
					map[string]any{"entries": map[string]any{}}, func(a *account.Directory) error {
						_, err := a.ProjectIDs(ctx, org.ID, "")
						return err
					}},
				{layout.UserNames, "directory/" + org.ID + "/users/00", map[string]any{"entries": map[string]any{}},
					func(a *account.Directory) error {
						_, err := a.Credentials(ctx, org.ID, account.APIKey)
						return err
					}},
				{layout.Alerts, "alerts/" + project.ID, alert.Set{Project: project.ID}, func(*account.Directory) error {
					_, err := alert.NewStore(n.sealed).GetOrEmpty(ctx, project.ID)
					return err
				}},
				{layout.AlertState, "alertstate/" + org.ID, rule.State{}, func(*account.Directory) error {
					_, err := alert.NewStore(n.sealed).State(ctx, &rule.Rule{ID: org.ID})
					return err
				}},
				{layout.Sources, "sources/" + project.ID, map[string]any{"sources": []any{}},
					func(*account.Directory) error {
						_, err := source.NewDirectory(n.sealed, n.box).List(ctx, project.ID)
						return err
					}},
				{layout.SourceState, "sourcestate/" + org.ID, map[string]any{"units": map[string]any{}},
					func(*account.Directory) error {
						_, err := source.NewDirectory(n.sealed, n.box).State(ctx, org.ID)
						return err
					}},
				{layout.Deliveries, "deliveries/" + project.ID, deliver.Set{Project: project.ID},
					func(*account.Directory) error {
						_, err := setup.New(setup.Parts{Bucket: n.sealed}).Of(ctx, project.ID)
						return err
					}},
				{layout.DeliveryState, "deliverystate/" + org.ID + "/" + project.ID, deliver.State{},
					func(*account.Directory) error {
						_, err := deliver.ReadState(ctx, n.sealed, org.ID, project.ID)
						return err
					}},
				{layout.Settings, "weir", account.Settings{Format: 1, Shards: 1, Origin: "thief"},
					func(a *account.Directory) error {
						_, err := a.Settings(ctx)
						return err
					}},
			} {
				tried[d.kind] = true
				highest, err := doc.Highest(ctx, memory, d.prefix, 0)
				if err == nil {
					err = forge(ctx, memory, d.prefix, highest+1, d.content)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := d.read(account.NewDirectory(n.sealed)); !errors.Is(err, seal.ErrForged) {
					t.Errorf("%s: %v", d.kind, err)
				} else if !strings.Contains(err.Error(), d.prefix) {
					t.Errorf("%s: the error does not name it: %v", d.kind, err)
				}
			}
			for _, k := range layout.Kinds {
				if k.Check == layout.AsDocument && !tried[k.Name] {
					t.Errorf("no %s was forged", k.Name)
				}
			}
			if _, _, err := n.auth.Issue(ctx, key.ID, "secret", netip.MustParseAddr("192.0.2.1")); err == nil {
				t.Error("a forged credential signs in")
			}
			n.accounts = account.NewDirectory(n.sealed) // as once the cache is too old
			if err := n.retain(ctx); !errors.Is(err, seal.ErrForged) {
				t.Errorf("retention: %v", err)
			}

			if err := forge(ctx, memory, cursor, 1, map[string]int64{"next": 3}); err != nil {
				t.Fatal(err)
			}
			recordSome(t, n, org.Log, 5)
			h := &counting{}
			f := &follow.Follower{Name: "f", Bucket: n.sealed, Logs: n.logs, Handler: h}
			for range 2 {
				if err := f.Follow(ctx, org.Log); err != nil || h.entries != 5 {
					t.Errorf("a follower with a forged cursor was given %d entries of 5; %v", h.entries, err)
				}
			}
		})
	}
}

// TestForgedIntentsAreNeverReported: see TestForgedDocumentsAreNeverUsed. Changes that nodes announced are reported all
// the same.
func TestForgedIntentsAreNeverReported(t *testing.T) {
	memory, n := filledNode(t)
	ctx, org := t.Context(), onlyOrganization(t, n)
	line := func(uid string) string {
		return fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%s"}}`, time.Now().UnixMilli(), uid)
	}
	const forged = "intents/0000000000000001-FORGED"
	data, err := json.Marshal(map[string]any{"logs": []string{org.Log}, "line": line("forged")})
	if err != nil {
		t.Fatal(err)
	}
	if err := memory.PutNew(ctx, forged, data); err != nil {
		t.Fatal(err)
	}
	if _, err := n.recorder.Intend(ctx, []string{org.Log}, []byte(line("announced"))); err != nil {
		t.Fatal(err)
	}
	if err := n.recorder.Unreported(ctx, -time.Minute); !errors.Is(err, seal.ErrForged) ||
		!strings.Contains(err.Error(), forged) {
		t.Errorf("the forged intent is not named: %v", err)
	}
	sequenceAll(t, n)
	r, err := n.logs.Read(ctx, org.Log, tlog.All)
	if err != nil || r.Next() != 1 {
		t.Errorf("the log has %d events, want that of the announced deed; %v", r.Next(), err)
	}
	var left []string
	for info := range memory.List(ctx, "intents/", "") {
		left = append(left, info.Key)
	}
	if len(left) != 1 || left[0] != forged {
		t.Errorf("left are %q", left)
	}
}

// filledNode returns a node on a bucket in memory with an organization and a project.
func filledNode(t *testing.T) (*bucketest.Memory, *node) {
	t.Helper()
	c, dir, b := config.Default(), t.TempDir(), bucketest.NewMemory()
	c.Bucket = filepath.Join(dir, "bucket")
	c.SigningKeyFile, c.SecretFile = filepath.Join(dir, "signing-key"), filepath.Join(dir, "key")
	accounts, err := documents(t.Context(), b, &c)
	if err == nil {
		_, err = fill(t.Context(), accounts, Setup{Organization: "o", Project: "p"})
	}
	if err == nil {
		err = initialise(t.Context(), b, &c, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	n, err := openOn(t.Context(), kept{b}, c, tuning{}, slog.New(slog.NewTextHandler(io.Discard, nil)),
		prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.close() })
	return b, n
}

func onlyOrganization(t *testing.T, n *node) *account.Organization {
	t.Helper()
	for o, err := range n.accounts.AllOrganizations(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Fatal("no organization")
	return nil
}

func onlyProject(t *testing.T, n *node) *account.Project {
	t.Helper()
	for p, err := range n.accounts.AllProjects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatal("no project")
	return nil
}

// recordSome makes some events of a log durable, and sequences them.
func recordSome(t *testing.T, n *node, log string, events int) {
	t.Helper()
	if _, err := n.recorder.Record(t.Context(), batch(log, 1, events, time.Now())); err != nil {
		t.Fatal(err)
	}
	sequenceAll(t, n)
}

func sequenceAll(t *testing.T, n *node) {
	t.Helper()
	for shard := range n.writers {
		if _, err := n.sequencers.Shard(shard).Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
}

// counting counts the entries that a follower gives it.
type counting struct{ entries int }

func (h *counting) Entries(_ context.Context, _ string, entries []tlog.Indexed) error {
	h.entries += len(entries)
	return nil
}

func (h *counting) Gap(context.Context, string, int64, int64) error { return nil }
