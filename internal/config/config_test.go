package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the table of settings into docs/operating.md")

// complete reads settings from a command line, an environment and a file, which may all be empty.
func complete(t *testing.T, arguments []string, environment map[string]string, file string) (Config, error) {
	t.Helper()
	name := ""
	if file != "" {
		name = filepath.Join(t.TempDir(), "weir.yaml")
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Default()
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.AddFlags(f)
	if err := f.Parse(arguments); err != nil {
		return c, err
	}
	return c, c.Complete(f, name, func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	c, err := complete(t, []string{"--listen", "flag:1"}, map[string]string{"WEIR_LISTEN": "env:1",
		"WEIR_ADMIN_LISTEN": "env:2", "WEIR_SECRET": "s"},
		"listen: file:1\nadmin-listen: file:2\nbucket: file\ntrusted-proxies: [10.0.0.0/8, "+
			"192.0.2.1]\nmax-event-bytes: 2MiB\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "flag:1" || c.AdminListen != "env:2" || c.Bucket != "file" || c.Secret != "s" ||
		c.MaxEventBytes != 2<<20 ||
		fmt.Sprint(c.TrustedProxies) != "[10.0.0.0/8 192.0.2.1/32]" || c.Drain != 20*time.Second {
		t.Errorf("%+v", c)
	}
}

// bad has values of each setting that must be refused.
var bad = map[string][]string{
	"bucket":           {"", " ", "s3://", "s3:///prefix", "http://example.com/bucket", "a\x00b"},
	"shards":           {"0", "65", "-1", "many", ""},
	"signing-key-file": {"a\nb"},
	"key-file":         {"a\nb"},
	"s3-endpoint": {"foo", "ftp://example.com", "https://", "https://a?b=c", "http://user:password@a",
		"https://a/bucket"},
	"s3-region":          {"us east", "\x1b"},
	"s3-addressing":      {"", "virtual"},
	"s3-profile":         {"\x07"},
	"s3-ca-file":         {"/does/not/exist", "/", "config_test.go"},
	"role":               {"", "ingest,reed", ","},
	"listen":             {"", "foo", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:65536", ":-1"},
	"admin-listen":       {"foo", "127.0.0.1:65536"},
	"public-url":         {"foo", "//foo", "ftp://foo", "https://", "https://a/#b", "https://a?b"},
	"tls-cert":           {"/does/not/exist", "/"},
	"tls-key":            {"/does/not/exist", "/"},
	"trusted-proxies":    {"foo", "10.0.0.0/33", "10.0.0.1,proxy"},
	"egress-allow":       {"foo", "10.0.0.0/33", "10.0.0.1,host"},
	"dev":                {"maybe", ""},
	"env-file":           {"", "a\nb"},
	"no-web":             {"maybe", ""},
	"pprof":              {"2", ""},
	"log-format":         {"", "xml"},
	"log-level":          {"", "loud"},
	"drain":              {"", "0", "-1s", "20", "forever", "2000h"},
	"idle-timeout":       {"", "0", "-1s", "20"},
	"body-timeout":       {"", "0", "-1s", "20"},
	"max-connections":    {"", "0", "-1", "1.5", "many", "1000001"},
	"download-rate":      {"", "-1", "1.5", "many", "99999999999"},
	"auth-failures":      {"", "-1", "1.5"},
	"token-lifetime":     {"", "0", "-1s", "999ms", "61m", "60"},
	"max-event-bytes":    {"", "0", "1", "-1", "1XB", "1TiB", "NaN"},
	"max-request-bytes":  {"", "0", "1", "1TiB"},
	"max-request-events": {"", "0", "-1", "1e3"},
	"max-memory-bytes":   {"", "0", "1", "-1", "1e300"},
	"max-waiting-bytes":  {"", "0", "1"},
	"wal-interval":       {"", "0", "-1s", "1h"},
	"sequence-delay":     {"", "0", "-1s", "25h"},
	"retention-interval": {"", "0", "1ms", "-1h"},
	"witness":            {"foo", "a+b+c", "a+b+c ftp://x", "name+1+x foo"},
	"cache-dir":          {"a\nb", "config_test.go"},
	"cache-size":         {"", "0", "1", "big"},
	"cache-memory":       {"", "0", "1"},

	"oidc-issuer":             {"login.example.com", "ftp://login.example.com", "https://", "https://a?b", "https://u@a"},
	"oidc-client-secret-file": {"/does/not/exist", "/"},
	"oidc-client-id":          {"a b", "\x07"},
	"oidc-role":               {"groups", "groups=a:GROUP_OWNER", "a:GROUP_OWNER@65a1b2c3d4e5f60718293a4b"},
	"oidc-scopes":             {"a\"b", "\x07"},
}

// names tells whether an error is about a setting.
func names(err error, setting string) bool {
	var e *Error
	return errors.As(err, &e) && e.Setting == setting
}

func TestBadValuesAreRefusedByTheNameOfTheSetting(t *testing.T) {
	c := Default()
	for _, s := range c.settings() {
		if s.secret {
			continue
		}
		if len(bad[s.name]) == 0 {
			t.Errorf("the table has no bad value of --%s", s.name)
		}
		for _, value := range bad[s.name] {
			if _, err := complete(t, []string{"--" + s.name + "=" + value}, nil, ""); err == nil ||
				!strings.Contains(err.Error(), "--"+s.name) {
				t.Errorf("flag --%s=%q: %v", s.name, value, err)
			}
			variable := Variable(s.name)
			if _, err := complete(t, nil, map[string]string{variable: value}, ""); !names(err, s.name) ||
				!strings.Contains(err.Error(), variable) {
				t.Errorf("environment %s=%q: %v", variable, value, err)
			}
			if _, err := complete(t, nil, nil, fmt.Sprintf("%s: %q\n", s.name, value)); !names(err, s.name) ||
				!strings.Contains(err.Error(), "weir.yaml") {
				t.Errorf("file %s: %q: %v", s.name, value, err)
			}
		}
	}
}

func TestFilesOfAnotherFormAreRefused(t *testing.T) {
	for file, setting := range map[string]string{
		"listn: a:1\n": "listn", "listen:\n": "listen", "listen: [a:1, b:2]\n": "listen", "listen: {a: 1}\n": "listen",
		"- listen\n": "config", "listen: a:1\nlisten: b:1\n": "config", "secret: x\n": "secret",
		"drain: [1s]\n": "drain",
	} {
		if _, err := complete(t, nil, nil, file); !names(err, setting) {
			t.Errorf("%q: want an error about %s, got %v", file, setting, err)
		}
	}
	if _, err := complete(t, nil, nil, "a: 1\nb: 2\n"); !strings.Contains(fmt.Sprint(err), "--a") ||
		!strings.Contains(fmt.Sprint(err), "--b") {
		t.Errorf("not all unknown settings are named: %v", err)
	}
}

func TestDevSequencesSoonUnlessTheDelayIsSet(t *testing.T) {
	for _, tt := range []struct {
		arguments []string
		environ   map[string]string
		want      time.Duration
	}{
		{nil, nil, time.Minute},
		{[]string{"--dev"}, nil, 2 * time.Second},
		{nil, map[string]string{"WEIR_DEV": "true"}, 2 * time.Second},
		{[]string{"--dev", "--sequence-delay", "1m"}, nil, time.Minute},
		{[]string{"--dev"}, map[string]string{"WEIR_SEQUENCE_DELAY": "9s"}, 9 * time.Second},
	} {
		if c, err := complete(t, tt.arguments, tt.environ, ""); err != nil || c.SequenceDelay != tt.want {
			t.Errorf("%q %v: %v, %v, want %v", tt.arguments, tt.environ, c.SequenceDelay, err, tt.want)
		}
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for setting, arguments := range map[string][]string{
		"tls-cert":          {"--tls-key", self},
		"tls-key":           {"--tls-cert", self},
		"cache-dir":         {"--cache-dir", "/tmp"},
		"role":              {"--role", "read"},
		"max-request-bytes": {"--max-event-bytes", "2MiB", "--max-request-bytes", "1MiB"},
		"max-memory-bytes":  {"--max-memory-bytes", "32MiB"},
	} {
		if _, err := complete(t, arguments, nil, ""); !names(err, setting) {
			t.Errorf("%v: want an error about %s, got %v", arguments, setting, err)
		}
	}
	if _, err := complete(t, []string{"--dev", "--role=ingest,background"}, nil, ""); !names(err, "role") {
		t.Errorf("--dev without all roles: %v", err)
	}
	c := Default()
	if err := c.Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestPrefixedSettingsAreNamedAsTheyAreWritten(t *testing.T) {
	from, to := Default(), Default()
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	from.AddFlags(f, Store)
	to.AddPrefixedFlags(f, "to-", Store)
	environ := func(name string) (string, bool) {
		v, ok := map[string]string{"WEIR_S3_REGION": "here", "WEIR_TO_S3_REGION": "not here"}[name]
		return v, ok
	}
	if err := from.Complete(f, "", environ); err != nil || from.S3.Region != "here" {
		t.Errorf("%+v, %v", from.S3, err)
	}
	if err := to.Complete(f, "", environ); !names(err, "to-s3-region") || to.S3.Region != "" {
		t.Errorf("%+v, %v", to.S3, err)
	}
}

// TestDocsListTheSettings compares the table in docs/operating.md with the settings. With -update it writes the table.
func TestDocsListTheSettings(t *testing.T) {
	const file, begin, end = "../../docs/operating.md", "<!-- settings -->\n", "<!-- end of settings -->\n"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s does not have %q and %q", file, begin, end)
	}
	if table == Table() {
		return
	}
	if !*update {
		t.Fatalf("the table of settings in %s is old: run go test ./internal/config -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+Table()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzSettings(f *testing.F) {
	for name, values := range bad {
		for _, value := range values {
			f.Add(name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		c := Default()
		for _, s := range c.settings() {
			if s.name != name || s.secret || s.Set(value) != nil {
				continue
			}
			// What was taken is valid, and is taken again as it is written.
			if err := s.check(); err != nil {
				t.Errorf("%s=%q is taken, and not valid: %v", name, value, err)
			}
			if again := Default(); s.Type() != "witness" {
				for _, s2 := range again.settings() {
					if s2.name != name {
						continue
					}
					if written := s.String(); written != "" && (s2.Set(written) != nil || s2.String() != written) {
						t.Errorf("%s=%q is written %q, and that is not taken as the same", name, value, written)
					}
				}
			}
		}
	})
}
