package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/proof"
)

// A setting that cannot be right ends a command with status 2 and the name of the setting, and leaves nothing behind.
func TestBadSettingsEndCommandsWithStatus2(t *testing.T) {
	for _, tt := range []struct {
		setting, arguments string
		environ            map[string]string
	}{
		{setting: "public-url", arguments: "serve --public-url foo"},
		{setting: "public-url", arguments: "serve", environ: map[string]string{"WEIR_PUBLIC_URL": "foo"}},
		{setting: "max-memory-bytes", arguments: "serve --max-memory-bytes 1"},
		{setting: "max-request-bytes", arguments: "serve --max-event-bytes 2MiB --max-request-bytes 1MiB"},
		{setting: "listen", arguments: "serve --listen here"},
		{setting: "bucket", arguments: "serve --bucket typo"},
		{setting: "bucket", arguments: "serve --bucket no/such/folder"},
		{setting: "bucket", arguments: "serve --bucket s4://name"},
		{setting: "bucket", arguments: "init --bucket="},
		{setting: "signing-key-file", arguments: "serve --bucket s3://name"},
		{setting: "signing-key-file", arguments: "init --bucket s3://name"},
		{setting: "s3-endpoint", arguments: "init --s3-endpoint foo"},
		{setting: "s3-endpoint", arguments: "bucket check . --s3-endpoint foo"},
		{setting: "to-s3-addressing", arguments: "bucket copy a b --to-s3-addressing up"},
		{setting: "s3-ca-file", arguments: "verify . --s3-ca-file missing.pem"},
		{setting: "s3-ca-file", arguments: "verify . --s3-ca-file " + executable(t)},
		{setting: "s3-endpoint", arguments: "init --s3-endpoint https://store.example.com/bucket"},
		{setting: "tls-cert", arguments: fmt.Sprintf("serve --dev --tls-cert %[1]s --tls-key %[1]s", executable(t))},
		{setting: "cache-dir", arguments: "serve --bucket s3://name --s3-endpoint http://127.0.0.1:9 --cache-dir " +
			executable(t), environ: map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
			"WEIR_SIGNING_KEY": "k", "WEIR_SECRET": "s"}},
		{setting: "origin", arguments: "init --origin a+b"},
		{setting: "workspace", arguments: "init --workspace a+b"},
		{setting: "shards", arguments: "init --shards 65"},
		{setting: "key-file", arguments: "key show", environ: map[string]string{"WEIR_KEY_FILE": "a\x01"}},
		{setting: "max-connections", arguments: "serve --max-connections 0"},
		{setting: "retention-days", arguments: "admin project set --retention-days 0",
			environ: map[string]string{"MONGODB_ATLAS_PROJECT_ID": "p"}},
		{setting: "retention-days", arguments: "admin project set --retention-days never",
			environ: map[string]string{"MONGODB_ATLAS_PROJECT_ID": "p"}},
		{setting: "deleted-log-retention-days", arguments: "admin project set --deleted-log-retention-days forever",
			environ: map[string]string{"MONGODB_ATLAS_PROJECT_ID": "p"}},
		{setting: "config", arguments: "serve --config missing.yaml"},
	} {
		t.Run(tt.arguments, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for name, value := range tt.environ {
				t.Setenv(name, value)
			}
			var stderr bytes.Buffer
			if code := run(t.Context(), strings.Fields(tt.arguments), io.Discard, &stderr); code != 2 {
				t.Errorf("status %d, want 2", code)
			}
			if !strings.Contains(stderr.String(), "--"+tt.setting) {
				t.Errorf("%q does not name --%s", stderr.String(), tt.setting)
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// executable returns the name of a file that is neither a folder nor PEM.
func executable(t *testing.T) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A command that is given a bucket, or a file of keys, that is not there ends with status 2, names it, and leaves
// nothing behind: neither the folder, nor one that it would copy to.
func TestMissingBucketsEndCommandsWithStatus2(t *testing.T) {
	// Commands that make what they are given, or have nothing to do with a bucket.
	others := []string{"weir init", "weir key generate", "weir download", "weir record",
		"weir collect", "weir prove", "weir watch",
		"weir search", "weir summary", "weir export", "weir tail", "weir follow", "weir version", "weir login", "weir logout",
		"weir profile list", "weir alert test"}
	arguments := []string{"serve --bucket typo", "serve --bucket no/typo", "init --recover-owner --bucket typo",
		"bucket check typo", "bucket check no/typo", "bucket check --repair typo", "bucket check ~ typo",
		"bucket keys 6a793f48c0eb9e7a17712f00 typo", "bucket copy typo copy",
		"bucket copy no/typo no/copy", "bucket copy ~ typo no/copy", "verify ~ typo", "verify ~ no/typo",
		"verify ~ typo/logs/6a793f48c0eb9e7a17712f00", "verify ~ typo.gz", "key show typo",
		"key show --bucket typo", "key rotate typo", "key retire typo", "key rotate --bucket no/typo"}
	public := verifierKey(t)
	tried := map[string]bool{}
	for _, line := range arguments {
		t.Run(line, func(t *testing.T) {
			t.Chdir(t.TempDir())
			args := strings.Fields(strings.Replace(line, "~", "--key "+public, 1))
			var stderr bytes.Buffer
			if code := run(t.Context(), args, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), "typo") {
				t.Errorf("status %d: %s", code, &stderr)
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			cmd, _, err := rootCommand().Find(args)
			if err != nil {
				t.Fatal(err)
			}
			tried[cmd.CommandPath()] = true
		})
	}
	for _, cmd := range commands(rootCommand()) {
		name := cmd.CommandPath()
		if cmd.Runnable() && !cmd.HasSubCommands() && !strings.HasPrefix(name, "weir admin") && !tried[name] &&
			!slices.Contains(others, name) {
			t.Errorf("%s was not tried", name)
		}
	}
}

// verifierKey returns a public key.
func verifierKey(t *testing.T) string {
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := proof.VerifierKey("example.org", proof.NewKeys(key).Trusted[0])
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The number of shards is fixed when a bucket is filled.
func TestShardsOfAFilledBucketAreNotChanged(t *testing.T) {
	t.Chdir(t.TempDir())
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"init", "--env-file", "env"}, io.Discard, &stderr); code != 0 {
		t.Fatalf("status %d: %s", code, &stderr)
	}
	code := run(t.Context(), []string{"serve", "--shards", "4", "--listen", "127.0.0.1:0", "--admin-listen="},
		io.Discard, &stderr)
	if code != 2 || !strings.Contains(stderr.String(), "--shards") {
		t.Errorf("status %d: %s", code, &stderr)
	}
}
