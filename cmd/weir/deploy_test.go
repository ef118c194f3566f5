package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
)

// What deploy/ gives is well formed, and every setting and metric that it names is one of weir's.
func TestDeployFiles(t *testing.T) {
	files, err := filepath.Glob("../../deploy/*")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	settings := config.Default()
	settings.AddFlags(flags)
	exported := exportedMetrics(t)
	variable, option := regexp.MustCompile(`\bWEIR_[A-Z0-9_]+`),
		regexp.MustCompile(`(?:^|[\s\[",'])--([a-z0-9][a-z0-9-]+)`)
	// Options of other programs, and of weir's other commands.
	others := []string{"config", "help", "workspace", "if-empty", "rm", "read-only", "ignore-existing", "from-literal",
		"from", "chown"}
	metric := regexp.MustCompile(`\bweir_[a-z_]+`)
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue // Rules of alerts are read by their own test.
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		switch filepath.Ext(name) {
		case ".json":
			if !json.Valid(data) {
				t.Errorf("%s is not JSON", name)
			}
		case ".yaml":
			for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
				var document any
				if err := decoder.Decode(&document); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		for _, v := range variable.FindAllString(text, -1) {
			flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(v, "WEIR_"), "_", "-"))
			if v != "WEIR_SECRET" && v != "WEIR_SIGNING_KEY" && flags.Lookup(flag) == nil {
				t.Errorf("%s names %s, which sets nothing", name, v)
			}
		}
		for _, m := range metric.FindAllString(text, -1) {
			base := strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_count")
			if !exported[m] && !exported[base] {
				t.Errorf("%s names %s, which is no metric of weir's", name, m)
			}
		}
		for _, o := range option.FindAllStringSubmatch(text, -1) {
			if flags.Lookup(o[1]) == nil && !slices.Contains(others, o[1]) {
				t.Errorf("%s names --%s, which is no setting of weir's", name, o[1])
			}
		}
	}
}

// The settings that the packages bring are taken, and are those of the unit's folder.
func TestPackagedSettingsAreTaken(t *testing.T) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	settings := config.Default()
	settings.AddFlags(flags)
	none := func(string) (string, bool) { return "", false }
	if err := settings.Complete(flags, "../../deploy/weir.yaml", none); err != nil {
		t.Fatal(err)
	}
	if settings.Bucket != "/var/lib/weir/bucket" {
		t.Errorf("the bucket is %s", settings.Bucket)
	}
}

// trustedProxies finds the value of the setting in an environment, in YAML or in an argument.
var trustedProxies = regexp.MustCompile(`(?i)trusted[_-]proxies"?(?:[:= ]|, *value: *)[ "']*([0-9a-f.:/,]+)`)

// deploy/ and the documents show single addresses of proxies as trusted, never a network that clients may be in:
// a client in it could claim any address. Nodes behind a proxy trust that proxy.
func TestExamplesTrustSingleProxies(t *testing.T) {
	for text, want := range map[string]string{"WEIR_TRUSTED_PROXIES: 10.0.0.0/8 # x": "10.0.0.0/8",
		"# - {name: WEIR_TRUSTED_PROXIES, value: 192.0.2.10}": "192.0.2.10",
		"--trusted-proxies=172.16.0.0/12,::1":                 "172.16.0.0/12,::1",
		"trusted-proxies: '192.0.2.1'":                        "192.0.2.1", "WEIR_TRUSTED_PROXIES=::/0": "::/0"} {
		if m := trustedProxies.FindStringSubmatch(text); m == nil || m[1] != want {
			t.Fatalf("%s: found %q", text, m)
		}
	}
	var files []string
	for _, pattern := range []string{"../../deploy/*", "../../deploy/alerts/*", "../../docs/*.md", "../../README.md"} {
		some, err := filepath.Glob(pattern)
		if err != nil || len(some) == 0 {
			t.Fatal(pattern, some, err)
		}
		files = append(files, slices.DeleteFunc(some, isFolder)...)
	}
	where := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range trustedProxies.FindAllStringSubmatch(string(text), -1) {
			where[filepath.Base(name)] = true
			for _, proxy := range strings.Split(m[1], ",") {
				network, err := netip.ParsePrefix(proxy)
				if address, addressErr := netip.ParseAddr(proxy); addressErr == nil {
					network, err = address.Prefix(address.BitLen())
				}
				if err != nil || !network.IsSingleIP() {
					t.Errorf("%s trusts %s as proxies", name, proxy)
				}
			}
		}
	}
	for _, name := range []string{"compose.yaml", "kubernetes.yaml"} {
		if !where[name] {
			t.Errorf("%s names no proxy", name)
		}
	}
}

// exportedMetrics returns the names of all metrics that a node on S3 has.
func exportedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	store := httptest.NewServer(&bucketest.S3Server{Name: "weir"})
	defer store.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "weirtest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "weirtestsecret")
	dir, admin := t.TempDir(), freeAddress(t)
	s3 := []string{"--bucket", "s3://weir", "--s3-endpoint", store.URL, "--signing-key-file",
		filepath.Join(dir, "signing-key"), "--key-file", filepath.Join(dir, "key")}
	weir := func(arguments ...string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], append(arguments, s3...)...)
		cmd.Env = append(os.Environ(), "WEIR_TEST_BE_WEIR=1")
		return cmd
	}
	for range 2 { // the second time there is nothing to do
		if out, err := weir("init", "--workspace", "demo", "--if-empty").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	server := weir("serve", "--listen", "127.0.0.1:0", "--admin-listen", admin, "--log-level", "error")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	names := map[string]bool{"weir_witness_requests_total": true} // with a witness only
	until(t, "metrics", func(int) bool {
		pause(t.Context(), 50*time.Millisecond)
		r, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
	r, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, help := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(text), -1) {
		names[help[1]] = true
	}
	for _, vector := range []string{"weir_http_requests_total", "weir_http_request_duration_seconds",
		"weir_cache_parts_total"} {
		// these appear with the first request; docs/operating.md and internal/api/metrics.go have them
		names[vector] = true
	}
	return names
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
