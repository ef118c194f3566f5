package node

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
)

// auditLog returns the id of the audit log of the workspace demo.
func (r *running) auditLog(t *testing.T) string {
	t.Helper()
	data, err := r.client(t).Fetch(t.Context(), "/api/weir/v1/groups/"+r.creds.project+"/logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Results []struct {
			ID   string `json:"logId"`
			Kind string `json:"kind"`
		} `json:"results"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, l := range all.Results {
		if l.Kind == "audit" {
			return l.ID
		}
	}
	t.Fatal("there is no audit log")
	return ""
}

// unpack writes the files of a ZIP file into a folder, and returns their names.
func unpack(t *testing.T, data []byte, dir string) (names []string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f.Name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	return names
}

// A log and its proof come as one file, as the API has them, and verify against the key. Both reads are events.
func TestThePageSendsALogWithItsProof(t *testing.T) {
	r, b := browse(t, func(c *config.Config) { c.SequenceDelay = 50 * time.Millisecond })
	at := time.Now().Add(-time.Hour)
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, `{"time":%d,"metadata":{"uid":"file-%d"}}`+"\n", at.UnixMilli()+int64(i), i)
	}
	if _, err := r.client(t).Record(t.Context(), r.creds.project, "demo", []byte(lines.String()), false); err != nil {
		t.Fatal(err)
	}
	log := r.auditLog(t)
	b.signIn(r.creds.clientID, r.creds.clientSecret)
	target := func(log string) string {
		return fmt.Sprintf("/web/download/%s/%s?startDate=%d&endDate=%d", r.creds.project, log, at.Unix()-1, at.Unix()+1)
	}
	public, err := proof.ParsePublic(r.creds.verifierKey)
	if err != nil {
		t.Fatal(err)
	}
	check := verify.Check{Keys: &proof.Keys{Trusted: []ed25519.PublicKey{public}}}
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) { // until all is sequenced
		res := b.ask("GET", target(log), "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/zip" ||
			!strings.HasSuffix(res.Header.Get("Content-Disposition"), `log.gz.zip"`) {
			t.Fatalf("%d %v", res.StatusCode, res.Header)
		}
		dir := t.TempDir()
		names := unpack(t, []byte(text(res)), dir)
		if len(names) != 2 || names[1] != names[0]+".proof" || !strings.HasSuffix(names[0], ".gz") {
			t.Fatalf("it has %q", names)
		}
		file := filepath.Join(dir, names[0])
		report, err := check.File(t.Context(), file, file+".proof")
		if err == nil && report.Verdict == verify.Verified && report.Entries >= 100 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", report, err)
		}
	}
	found, err := r.client(t).Download(t.Context(), client.Source{Project: r.creds.project, Workspace: "demo"},
		client.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	data, err := io.ReadAll(found)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := gunzip(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{"downloadLog", "proveDownload"} {
		if !strings.Contains(strings.Join(recorded, ""), `"`+operation+`"`) {
			t.Errorf("no event of %s", operation)
		}
	}
	for name, c := range map[string]struct {
		target  string
		status  int
		headers []string
	}{
		"another site":      {target(log), 403, []string{"Sec-Fetch-Site", "cross-site"}},
		"no such log":       {target("6a793f48c0eb9e7a17712caa"), 404, nil},
		"a bad id":          {target("..%2F..%2Fsession"), 404, nil},
		"a bad parameter":   {target(log) + "&x=1", 400, nil},
		"without a session": {target(log), 401, nil},
	} {
		cookie := b.cookie
		if c.status == 401 {
			b.cookie = nil
		}
		res := b.ask("GET", c.target, "", c.headers...)
		if b.cookie = cookie; res.StatusCode != c.status || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, res.StatusCode, text(res))
		}
	}
}
