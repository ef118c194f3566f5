package profile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func account(url string) Profile {
	return Profile{URL: url, ClientID: "mdb_sa_id_1", ClientSecret: "secret of " + url, Organization: "o", Project: "p",
		Workspace: "w"}
}

func TestProfilesAreKept(t *testing.T) {
	f := File{filepath.Join(t.TempDir(), "config", "weir", "profiles.json")}
	if all, err := f.Load(); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	a, b := account("https://a"), Profile{URL: "https://b", PublicKey: "abcdefgh", PrivateKey: "x", CAFile: "/ca.pem"}
	for name, p := range map[string]Profile{"a": account("https://old"), "b": b} {
		if err := f.Put(name, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Put("a", a); err != nil {
		t.Fatal(err)
	}
	if all, err := f.Load(); err != nil || !reflect.DeepEqual(all, map[string]Profile{"a": a, "b": b}) {
		t.Errorf("%+v, %v", all, err)
	}
	if err := f.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove("a"); !errors.Is(err, ErrNone) {
		t.Errorf("removed twice: %v", err)
	}
	if all, err := f.Load(); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	for name, p := range map[string]Profile{"": a, "a/b": a, "a b": a, "-a": a, strings.Repeat("a", 65): a,
		"no-url": {ClientID: "a", ClientSecret: "b"}, "no-secret": {URL: "https://a", ClientID: "a"},
		"mixed": {URL: "https://a", ClientID: "a", PrivateKey: "b"},
		"both":  {URL: "https://a", ClientID: "a", ClientSecret: "b", PublicKey: "a", PrivateKey: "b"}} {
		if err := f.Put(name, p); err == nil {
			t.Errorf("%q, %+v is taken", name, p)
		}
	}
}

func TestOthersCannotReadOrReplaceProfiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "weir")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	f := File{filepath.Join(folder, "profiles.json")}
	if err := f.Put("a", account("https://a")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{folder: 0o700, f.Name: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %o", name, info.Mode(), err, want)
		}
	}
	for _, tt := range []struct {
		name      string
		mode, was os.FileMode
	}{{f.Name, 0o640, 0o600}, {f.Name, 0o604, 0o600}, {f.Name, 0o602, 0o600}, {folder, 0o770, 0o700},
		{folder, 0o702, 0o700}} {
		if err := os.Chmod(tt.name, tt.mode); err != nil {
			t.Fatal(err)
		}
		if all, err := f.Load(); err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s with mode %o: %v, %v", tt.name, tt.mode, all, err)
		}
		if err := os.Chmod(tt.name, tt.was); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Load(); err != nil {
		t.Error(err)
	}
}

func TestDamagedProfilesAreRefused(t *testing.T) {
	f := File{filepath.Join(t.TempDir(), "profiles.json")}
	for _, text := range []string{"", "[]", `{"profiles":{"a":{"url":"https://a","clientSecret":"b","id":"c"}}}`,
		`{"profiles":{"a":{"url":"https://a","clientId":"b"}}}`, `{"profiles":{"a b":{}}}`,
		`{"profiles":{}, "x":"` + strings.Repeat("x", maxFile) + `"}`} {
		if err := os.WriteFile(f.Name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := f.Load(); err == nil || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("%.60q: %v, %v", text, all, err)
		}
	}
}
