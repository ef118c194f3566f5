// Package config is everything that can be set. Each setting is described once, in settings.go: its name, default,
// bounds and meaning. Flags, environment variables, the YAML file, validation, help texts and the table in
// docs/operating.md all come from there.
package config

import (
	"net/netip"
	"strings"
	"time"
)

// Config is the settings of weir. settings.go describes each one. A Config is made by Default.
type Config struct {
	// Where the state is.
	Bucket string
	S3     S3
	Shards int // 0 if it is not set

	// Secrets, which are never in the bucket. Those that come from the environment win over the files.
	Secret         string // text of the nodes' secret, from the environment
	SecretFile     string
	SigningKeys    string // text of the signing keys, from the environment
	SigningKeyFile string

	// The node's roles, and where it can be reached.
	Roles          Roles
	Listen         string
	AdminListen    string
	PublicURL      string
	TLSCert        string
	TLSKey         string
	TrustedProxies []netip.Prefix
	EgressAllow    []netip.Prefix // see Egress
	MaxConnections int            // 0 if it is to follow the limit of open files
	Dev            bool
	EnvFile        string
	NoWeb          bool

	// Who vouches for people.
	OIDC OIDC

	// Limits.
	Drain            time.Duration
	IdleTimeout      time.Duration
	BodyTimeout      time.Duration
	DownloadRate     int // a minute
	AuthFailures     int // a minute
	TokenLifetime    time.Duration
	MaxEventBytes    int64
	MaxRequestBytes  int64
	MaxRequestEvents int
	MaxMemoryBytes   int64
	MaxWaitingBytes  int64

	// Background work.
	WALInterval       time.Duration
	SequenceDelay     time.Duration
	RetentionInterval time.Duration
	Witnesses         []string

	// The cache before a bucket on S3.
	CacheDir    string
	CacheSize   int64 // bytes
	CacheMemory int64 // bytes

	// Profiles and the node's log, for an operator.
	Pprof     bool
	LogFormat string
	LogLevel  string

	prefix  string            // of the names of all settings
	sources map[string]string // where a setting comes from, by its name, unless it is a flag or the default
}

// S3 says how to reach a bucket on S3.
type S3 struct {
	Endpoint, Region, Addressing, Profile, CAFile string
}

// OIDC says how people sign in at an OpenID provider. If the issuer is empty, none do.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret string // from the environment; it wins over the file
	SecretFile   string
	Scopes       []string // beside openid
	Rules        []string // claim=value:ROLE@id, see auth.ParseRule
}

// Default returns the defaults.
func Default() Config {
	var c Config
	for _, s := range c.settings() {
		s.reset()
	}
	return c
}

// OnS3 tells whether a location is a bucket on S3. Any other location is a folder.
func OnS3(location string) bool { return strings.HasPrefix(location, "s3://") }

// OnS3 tells whether the bucket is on S3.
func (c *Config) OnS3() bool { return OnS3(c.Bucket) }

// devSequenceDelay is the default of --sequence-delay with --dev, so that recorded events can be proven at once.
const devSequenceDelay = 2 * time.Second

// loopback is the machine's own addresses.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// Egress returns the networks that projects may have weir connect to beside public addresses.
func (c *Config) Egress() []netip.Prefix {
	if c.Dev && len(c.EgressAllow) == 0 {
		return loopback
	}
	return c.EgressAllow
}

// BucketShards returns the number of shards of a bucket that is about to be filled.
func (c *Config) BucketShards() int {
	switch {
	case c.Shards > 0:
		return c.Shards
	case c.OnS3():
		return 8
	}
	return 1
}

// SigningKeyPath returns the file with the keys that sign logs.
func (c *Config) SigningKeyPath() (string, error) {
	return c.beside(c.SigningKeyFile, ".signing-key", "signing-key-file", "WEIR_SIGNING_KEY")
}

// SecretPath returns the file with the nodes' secret.
func (c *Config) SecretPath() (string, error) {
	return c.beside(c.SecretFile, ".key", "key-file", "WEIR_SECRET")
}

// SecretsNamed returns an *Error if it cannot be told where a secret is. Commands that need none do not ask.
func (c *Config) SecretsNamed() error {
	if c.SigningKeys == "" {
		if _, err := c.SigningKeyPath(); err != nil {
			return err
		}
	}
	if c.Secret == "" {
		if _, err := c.SecretPath(); err != nil {
			return err
		}
	}
	return nil
}

// beside returns file if it is set, and else a name beside the bucket's folder. A bucket on S3 has nothing beside it.
func (c *Config) beside(file, extension, setting, variable string) (string, error) {
	switch {
	case file != "":
		return file, nil
	case c.OnS3():
		return "", c.Invalid(setting, "must be set, or "+variable+" in the environment: "+
			"the bucket is on S3, and secrets must not be in it")
	}
	return strings.TrimRight(c.Bucket, "/") + extension, nil
}
