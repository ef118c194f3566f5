package node

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/tlog"
)

// lines returns the events of a log.
func (n *node) lines(t *testing.T, log string) string {
	d, err := n.logs.Download(t.Context(), log, tlog.Query{End: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	if err := d.WriteTo(t.Context(), &zipped); err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(&zipped)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An operator with the bucket and the nodes' secret gets back in, and the organization's log says so; without the
// secret nothing is done.
func TestRecoverOwner(t *testing.T) {
	c := config.Default()
	c.Bucket = filepath.Join(t.TempDir(), "data")
	var out bytes.Buffer
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, &out); err != nil {
		t.Fatal(err)
	}
	without := c
	without.SecretFile = filepath.Join(t.TempDir(), "missing")
	if err := RecoverOwner(t.Context(), without, Recovery{}, "test", &out); err == nil ||
		!strings.Contains(err.Error(), "secret") {
		t.Errorf("without a secret: %v", err)
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := RecoverOwner(t.Context(), c, Recovery{EnvFile: file}, "test", &out); err != nil {
		t.Fatal(err)
	}
	creds, err := readFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := open(t.Context(), c, tuning{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	for _, id := range []string{creds.clientID, creds.publicKey} {
		made, err := n.accounts.Credential(t.Context(), id)
		if err != nil || !made.MayInOrg(account.OwnOrg, creds.org) || !made.MaySignIn(time.Now()) {
			t.Errorf("%s does not own the organization: %v", id, err)
		}
	}
	org, err := n.accounts.Organization(t.Context(), creds.org)
	if err != nil {
		t.Fatal(err)
	}
	events := n.lines(t, org.Log)
	for _, id := range []string{creds.clientID, creds.publicKey} {
		if strings.Count(events, `"comment":"recoverOwner"`) != 2 || !strings.Contains(events, id) {
			t.Errorf("the organization's log does not have the recovery of %s:\n%s", id, events)
		}
	}
	if strings.Contains(events, creds.clientSecret) || strings.Contains(events, creds.privateKey) {
		t.Error("the log has a secret")
	}
	if err := RecoverOwner(t.Context(), c, Recovery{Organization: strings.Repeat("0", 24)}, "test", &out); err == nil {
		t.Error("an organization that does not exist has an owner")
	}
}

func TestExpiryIsWarnedOf(t *testing.T) {
	accounts := account.NewDirectory(bucketest.NewMemory())
	if err := accounts.CreateOrganization(t.Context(), account.Organization{ID: "o"}); err != nil {
		t.Fatal(err)
	}
	for range maxExpiryLogs + 5 {
		c, _ := account.NewServiceAccount("o", "", nil, time.Now(), time.Hour)
		if err := accounts.CreateCredential(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	owner, _ := account.NewServiceAccount("o", "", []account.Grant{{Org: "o", Role: account.OrgOwner}},
		time.Now(), time.Hour)
	if err := accounts.CreateCredential(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	e := newExpiry(accounts, slog.New(slog.NewTextHandler(&log, nil)), registry)
	if err := e.warn(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"weir_service_accounts_expiring": maxExpiryLogs + 6, "weir_last_owners_expiring": 1}
	for _, f := range families {
		if got := f.GetMetric()[0].GetGauge().GetValue(); got != want[f.GetName()] {
			t.Errorf("%s is %v, want %v", f.GetName(), got, want[f.GetName()])
		}
	}
	if first, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(first, owner.ID) {
		t.Errorf("the last owner is not the first to be named: %s", first)
	}
	if lines := strings.Count(log.String(), "\n"); lines > maxExpiryLogs+1 {
		t.Errorf("%d lines", lines)
	}
}
