package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/proof"
)

// state is the state of a bucket before a node starts on it.
type state string

const (
	empty      state = "empty"
	filled     state = "filled"
	signed     state = "signed logs"
	noSettings state = "signed logs without settings"
)

// given says which secret a node has: none, another bucket's, or this bucket's.
type given string

const (
	none    given = "none"
	foreign given = "foreign"
	known   given = "known"
)

// bucketIn returns a bucket in a state, and the configuration of a node on it, whose secrets are in files.
func bucketIn(t *testing.T, s state) (*bucketest.Memory, config.Config) {
	t.Helper()
	b, c := bucketest.NewMemory(), secretsIn(t)
	if s == empty {
		return b, c
	}
	if err := initialise(t.Context(), b, &c, 1); err != nil {
		t.Fatal(err)
	}
	if s == filled {
		return b, c
	}
	n, err := openOn(t.Context(), kept{b}, c, tuning{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.recorder.Record(t.Context(), batch("0123456789abcdef01234567", 1, 3, time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err := n.sequencers.Shard(0).Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	if s == noSettings {
		for info, err := range b.List(t.Context(), "weir/", "") {
			if err == nil {
				err = b.Delete(t.Context(), info.Key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return b, c
}

// secretsIn returns a configuration with names of files that do not exist.
func secretsIn(t *testing.T) config.Config {
	c := config.Default()
	c.Bucket, c.EnvFile = "s3://memory", filepath.Join(t.TempDir(), "env")
	c.SigningKeyFile, c.SecretFile = filepath.Join(t.TempDir(), "signing-key"), filepath.Join(t.TempDir(), "key")
	return c
}

// swap makes a file what a node has been given.
func swap(t *testing.T, file string, g given, other string) {
	t.Helper()
	var err error
	switch g {
	case none:
		err = os.Remove(file)
	case foreign:
		err = os.Rename(other, file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// On a bucket in use a node starts with the keys that the bucket knows and with no others, says which it wants, and
// makes none. On an empty bucket it makes what it was not given.
func TestNodesStartWithTheSecretsOfTheirBucketOnly(t *testing.T) {
	for _, s := range []state{empty, filled, signed, noSettings} {
		for _, key := range []given{none, foreign, known} {
			for _, secret := range []given{none, foreign, known} {
				t.Run(strings.Join([]string{string(s), "key " + string(key), "secret " + string(secret)}, "/"),
					func(t *testing.T) {
						b, c := bucketIn(t, s)
						others := secretsIn(t)
						if _, err := newSecrets(t.Context(), &others, bucketest.NewMemory()); err != nil {
							t.Fatal(err)
						}
						swap(t, c.SigningKeyFile, key, others.SigningKeyFile)
						swap(t, c.SecretFile, secret, others.SecretFile)
						c.Dev = s == empty || s == noSettings
						n, err := openOn(t.Context(), kept{b}, c, tuning{}, slog.New(slog.DiscardHandler),
							prometheus.NewRegistry())
						if err == nil {
							defer n.close()
						}
						for _, file := range []string{c.SigningKeyFile, c.SecretFile} {
							was := map[string]given{c.SigningKeyFile: key, c.SecretFile: secret}[file]
							if _, statErr := os.Stat(file); (statErr == nil) != (s == empty || was != none) {
								t.Errorf("%s: %v", file, statErr)
							}
						}
						checkStart(t, s, key, secret, err)
					})
			}
		}
	}
}

// checkStart checks whether a node started, and what it said if not.
func checkStart(t *testing.T, s state, key, secret given, err error) {
	t.Helper()
	var wrong *config.Error
	switch {
	case s == empty:
		if err != nil {
			t.Errorf("it does not start on an empty bucket: %v", err)
		}
	case s == noSettings && (key == none || secret == none):
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	case s == noSettings: // which key is known cannot be told without the settings
	case key == none || key == foreign && s == signed:
		if !errors.As(err, &wrong) || wrong.Setting != "signing-key-file" {
			t.Fatalf("got %v, want an error about --signing-key-file", err)
		}
		if names := strings.Count(err.Error(), "example.org/0123456789abcdef01234567+"); s == signed &&
			names != map[given]int{none: 1, foreign: 2}[key] {
			t.Errorf("%q does not say which key is wanted and which was given", err)
		}
	case secret != known:
		if !errors.As(err, &wrong) || wrong.Setting != "key-file" {
			t.Fatalf("got %v, want an error about --key-file", err)
		}
	case err != nil:
		t.Errorf("it does not start: %v", err)
	}
}

// A rotation leaves a bucket with keys that it knows.
func TestNodesStartAfterAKeyRotation(t *testing.T) {
	b, c := bucketIn(t, signed)
	for _, change := range []func(string) error{
		func(file string) error { _, err := proof.RotateKeys(file); return err },
		proof.RetireKeys,
	} {
		if err := change(c.SigningKeyFile); err != nil {
			t.Fatal(err)
		}
		n, err := openOn(t.Context(), kept{b}, c, tuning{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecretsThatOthersCanReadAreBadSettings: the error names the setting, so that the exit status is 2; and so is a
// bucket that nobody has filled.
func TestSecretsThatOthersCanReadAreBadSettings(t *testing.T) {
	for setting, file := range map[string]func(*config.Config) string{
		"key-file":         func(c *config.Config) string { return c.SecretFile },
		"signing-key-file": func(c *config.Config) string { return c.SigningKeyFile },
		"bucket":           nil,
	} {
		in := filled
		if file == nil {
			in = empty
		}
		b, c := bucketIn(t, in)
		if file != nil {
			if err := os.Chmod(file(&c), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := openOn(t.Context(), kept{b}, c, tuning{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if bad := new(config.Error); !errors.As(err, &bad) || bad.Setting != setting {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
