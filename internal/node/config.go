package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/bucket/s3"
	"github.com/weirlog/weir/internal/lease"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/tlog"
)

// Config is everything that can be set. Each field has a flag; what the command line leaves out is taken from the
// environment (--admin-listen is WEIR_ADMIN_LISTEN), then from the YAML file (admin-listen: …), then from DefaultConfig.
type Config struct {
	Bucket      string // with all state: a folder, or s3://name/prefix
	S3          s3.Options
	CacheDir    string // folder for parts of objects that are read often, of a bucket on S3; empty: none
	CacheSize   int64  // of that folder, bytes
	CacheMemory int64  // for such parts, of a bucket on S3, bytes
	Shards      int    // of a bucket that is about to be filled; 0: 1 in a folder, 8 on S3
	Listen      string // address of the API
	AdminListen string // address of /healthz, /readyz and /metrics; empty: nowhere
	KeyFile     string // the node's secret; empty: the bucket's path with .key. WEIR_SECRET in the environment wins.
	SigningKey  string // file with the keys that sign logs; empty: the bucket's path with .signing-key. WEIR_SIGNING_KEY in the environment wins.
	Roles       Roles  // what the node does
	Dev         bool   // make what is missing for a first try, and print how to use it
	EnvFile     string // where --dev writes how to reach it

	TLSCert        string         // PEM file; with TLSKey: serve HTTPS. Both are read again when they change.
	TLSKey         string         // PEM file
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed

	Drain            time.Duration // how long requests may go on after SIGTERM
	IdleTimeout      time.Duration // a client that takes or sends nothing for so long is dropped
	BodyTimeout      time.Duration // within which a request's body must have arrived
	DownloadRate     int           // downloads a minute for each credential; 0: unlimited
	AuthFailures     int           // wrong credentials a minute for each address and credential that it claims, ten times as many for each address; 0: unlimited
	MaxEventBytes    int           // of one event
	MaxRequestBytes  int64         // of a request's events, after decompression
	MaxRequestEvents int           // in one request
	MaxMemoryBytes   int64         // of all request bodies at one time; past it, 503
	MaxWaitingBytes  int64         // of the write-ahead log; past it, 503
	PublicURL        string        // under which clients reach the API, for links in replies; empty: as each request came

	Witnesses         []string      // "<verifier key> <URL>" of those that are asked to cosign checkpoints
	RetentionInterval time.Duration // how often what is no longer to be kept is looked for

	WALInterval   time.Duration // on S3, between two objects of the node's write-ahead log, over all shards: what arrives meanwhile shares one
	SequenceDelay time.Duration // an event is in its log after so long at the latest
	Pprof         bool          // profiles on AdminListen, below /debug/pprof/
	LogFormat     string        // text, json, or auto: text on a terminal
	LogLevel      string        // debug, info, warn, error

	// Only for benchmarks and simulations: what differs from the defaults.
	logs       tlog.Options
	sequencing sequence.Options
	leases     lease.Options
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Bucket: "./weir-data", Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", EnvFile: "weir-dev.env", Roles: everything,
		S3: s3.Options{Addressing: "auto"}, CacheSize: 10 << 30, CacheMemory: 64 << 20,
		Drain: 20 * time.Second, IdleTimeout: time.Minute, BodyTimeout: 2 * time.Minute,
		DownloadRate: 1200, AuthFailures: 60,
		MaxEventBytes: 1 << 20, MaxRequestBytes: 64 << 20, MaxRequestEvents: 100_000,
		MaxMemoryBytes: 512 << 20, MaxWaitingBytes: 256 << 20,
		WALInterval: 100 * time.Millisecond, SequenceDelay: time.Minute, RetentionInterval: time.Hour, LogFormat: "auto", LogLevel: "info",
	}
}

// AddFlags binds the fields to flags.
func (c *Config) AddFlags(f *pflag.FlagSet) {
	c.AddBucketFlags(f)
	f.StringVar(&c.Listen, "listen", c.Listen, "`address` of the API; port 0 takes a free one")
	f.StringVar(&c.AdminListen, "admin-listen", c.AdminListen, "`address` of /healthz, /readyz and /metrics; empty: nowhere")
	f.Var(&c.Roles, "role", "comma-separated `roles` of the node: ingest takes events, read serves logs, background sequences them and removes old ones; or all")
	f.StringVar(&c.CacheDir, "cache-dir", c.CacheDir, "`folder` on a local disk that keeps what is read often of a bucket on S3 (default: none)")
	f.Var((*size)(&c.CacheSize), "cache-size", "`size` of --cache-dir, such as 500MB or 20GiB")
	f.Var((*size)(&c.CacheMemory), "cache-memory", "`size` of memory for what is read often of a bucket on S3")
	f.BoolVar(&c.Dev, "dev", c.Dev, "make a project, a workspace, credentials and sample events in an empty bucket, and print how to use them")
	f.StringVar(&c.EnvFile, "env-file", c.EnvFile, "`file` that --dev writes addresses and credentials to")
	f.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "PEM `file` with the certificate chain; read again when it changes")
	f.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "PEM `file` with the certificate's key")
	f.Var((*prefixes)(&c.TrustedProxies), "trusted-proxies", "comma-separated `networks` whose X-Forwarded-For is believed")
	f.DurationVar(&c.Drain, "drain", c.Drain, "how long requests may go on after SIGTERM")
	f.DurationVar(&c.IdleTimeout, "idle-timeout", c.IdleTimeout, "a client that takes or sends nothing for so long is dropped")
	f.DurationVar(&c.BodyTimeout, "body-timeout", c.BodyTimeout, "within which a request's body must have arrived")
	f.IntVar(&c.DownloadRate, "download-rate", c.DownloadRate, "downloads a minute for each credential; 0: unlimited")
	f.IntVar(&c.AuthFailures, "auth-failures", c.AuthFailures, "wrong credentials a minute for each address and credential that it claims, ten times as many for each address; 0: unlimited")
	f.IntVar(&c.MaxEventBytes, "max-event-bytes", c.MaxEventBytes, "size of one event")
	f.Int64Var(&c.MaxRequestBytes, "max-request-bytes", c.MaxRequestBytes, "size of the events of one request, after decompression")
	f.IntVar(&c.MaxRequestEvents, "max-request-events", c.MaxRequestEvents, "events in one request")
	f.Int64Var(&c.MaxMemoryBytes, "max-memory-bytes", c.MaxMemoryBytes, "size of all request bodies at one time; past it, 503")
	f.Int64Var(&c.MaxWaitingBytes, "max-waiting-bytes", c.MaxWaitingBytes, "size of the write-ahead log; past it, 503")
	f.DurationVar(&c.WALInterval, "wal-interval", c.WALInterval, "on S3, the least time between two write-ahead log objects of this node: a request to record waits up to so long, and each object is a request to pay for")
	f.DurationVar(&c.SequenceDelay, "sequence-delay", c.SequenceDelay, "an event is in its log after so long at the latest; with --dev 2s if it is not set")
	f.Var((*list)(&c.Witnesses), "witness", "`\"key URL\"` of a witness (c2sp.org/tlog-witness) that is asked to cosign each checkpoint; may be repeated")
	f.DurationVar(&c.RetentionInterval, "retention-interval", c.RetentionInterval, "how often events and logs that are no longer to be kept are looked for")
	f.StringVar(&c.PublicURL, "public-url", c.PublicURL, "`URL` under which clients reach the API, for links in replies (default: as each request came)")
	f.BoolVar(&c.Pprof, "pprof", c.Pprof, "serve Go's profiles below /debug/pprof/ on --admin-listen")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text, json, or auto: text on a terminal")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
}

// AddBucketFlags binds the fields that say where the state is.
func (c *Config) AddBucketFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Bucket, "bucket", c.Bucket, "`folder` with all state, or s3://name/prefix; S3 credentials come from AWS's environment, shared file or role")
	c.AddS3Flags(f)
	f.IntVar(&c.Shards, "shards", c.Shards, "parts, 1 to 64, of a bucket that is about to be filled, fixed for ever (default: 1 in a folder, 8 on S3)")
	f.StringVar(&c.SigningKey, "signing-key-file", c.SigningKey, "`file` with the keys that sign logs (default: the bucket's path with .signing-key; WEIR_SIGNING_KEY in the environment wins)")
	f.StringVar(&c.KeyFile, "key-file", c.KeyFile, "`file` with the node's secret (default: the bucket's path with .key; WEIR_SECRET in the environment wins)")
}

// AddS3Flags binds the fields that say how to reach a bucket on S3.
func (c *Config) AddS3Flags(f *pflag.FlagSet) {
	f.StringVar(&c.S3.Endpoint, "s3-endpoint", c.S3.Endpoint, "`URL` of the S3 store, http:// for one without TLS (default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon)")
	f.StringVar(&c.S3.Region, "s3-region", c.S3.Region, "`region` of the S3 bucket (default: AWS_REGION, AWS_DEFAULT_REGION, or us-east-1)")
	f.StringVar(&c.S3.Addressing, "s3-addressing", c.S3.Addressing, "where requests name the S3 bucket: path, host, or auto: host at Amazon, else path")
	f.StringVar(&c.S3.Profile, "s3-profile", c.S3.Profile, "`profile` of ~/.aws/credentials to use, whatever the environment says")
	f.StringVar(&c.S3.CAFile, "s3-ca-file", c.S3.CAFile, "PEM `file` with authorities to trust for the S3 store beside the system's")
}

// Complete sets the flags that the command line left out, from the environment and from a YAML file (none if empty).
func Complete(f *pflag.FlagSet, file string, environ func(string) (string, bool)) error {
	settings := map[string]any{}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&settings); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("configuration %s: %w", file, err)
		}
	}
	var errs []error
	for name := range settings {
		if f.Lookup(name) == nil {
			errs = append(errs, fmt.Errorf("configuration %s: there is no setting %q", file, name))
		}
	}
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			return
		}
		variable := "WEIR_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if value, ok := environ(variable); ok {
			if err := f.Set(flag.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("environment: %s: %w", variable, err))
			}
		} else if value, ok := settings[flag.Name]; ok {
			if err := f.Set(flag.Name, text(value)); err != nil {
				errs = append(errs, fmt.Errorf("configuration %s: %s: %w", file, flag.Name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// text returns a YAML value as it stands on a command line.
func text(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	var parts []string
	for _, v := range list {
		parts = append(parts, fmt.Sprint(v))
	}
	return strings.Join(parts, ",")
}

// check returns an error that names the first setting that cannot be right.
func (c *Config) check() error {
	switch {
	case c.Bucket == "":
		return errors.New("--bucket must not be empty")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key belong together: set both or none")
	case c.Shards < 0 || c.Shards > 64:
		return fmt.Errorf("--shards %d: want 1 to 64", c.Shards)
	case c.CacheDir != "" && !location.IsS3(c.Bucket):
		return errors.New("--cache-dir is for a bucket on S3: a folder is on a disk already")
	case !slices.Contains([]string{"auto", "text", "json"}, c.LogFormat):
		return fmt.Errorf("--log-format %q: want auto, text or json", c.LogFormat)
	}
	if err := c.checkRoles(); err != nil {
		return err
	}
	for name, value := range map[string]int64{
		"drain": int64(c.Drain), "idle-timeout": int64(c.IdleTimeout), "body-timeout": int64(c.BodyTimeout),
		"max-event-bytes": int64(c.MaxEventBytes), "max-request-bytes": c.MaxRequestBytes,
		"max-request-events": int64(c.MaxRequestEvents), "max-memory-bytes": c.MaxMemoryBytes,
		"max-waiting-bytes": c.MaxWaitingBytes, "sequence-delay": int64(c.SequenceDelay), "wal-interval": int64(c.WALInterval),
	} {
		if value <= 0 {
			return fmt.Errorf("--%s must be more than 0", name)
		}
	}
	if c.DownloadRate < 0 || c.AuthFailures < 0 {
		return errors.New("--download-rate and --auth-failures must not be negative")
	}
	return nil
}

// shards returns how many parts a bucket that is about to be filled gets.
func (c *Config) shards() int {
	switch {
	case c.Shards > 0:
		return c.Shards
	case location.IsS3(c.Bucket):
		return 8
	}
	return 1
}

// SigningKeys returns the file with the keys that sign logs.
func (c *Config) SigningKeys() (string, error) {
	return c.beside(c.SigningKey, ".signing-key", "--signing-key-file", "WEIR_SIGNING_KEY")
}

// signingKeys returns the keys that sign logs: from the environment, or from their file. If there is none it is made, and made
// names it.
func (c *Config) signingKeys() (keys *proof.Keys, made string, err error) {
	if text := os.Getenv("WEIR_SIGNING_KEY"); text != "" {
		if keys, err = proof.ParseKeys(text); err == nil && len(keys.Signers) == 0 {
			err = errors.New("it holds no private key")
		}
		if err != nil {
			err = fmt.Errorf("WEIR_SIGNING_KEY: %w", err)
		}
		return keys, "", err
	}
	file, err := c.SigningKeys()
	if err != nil {
		return nil, "", err
	}
	keys, created, err := proof.LoadOrCreateKeys(file)
	if created {
		made = file
	}
	return keys, made, err
}

// secretFile returns where the node's secret is.
func (c *Config) secretFile() (string, error) {
	return c.beside(c.KeyFile, ".key", "--key-file", "WEIR_SECRET")
}

// beside returns the file, if one is set, else one beside the bucket's folder. A bucket on S3 has nothing beside it.
func (c *Config) beside(file, extension, flag, variable string) (string, error) {
	switch {
	case file != "":
		return file, nil
	case location.IsS3(c.Bucket):
		return "", fmt.Errorf("the bucket is on S3, where no secret belongs: name a file with %s, or set %s", flag, variable)
	}
	return strings.TrimRight(c.Bucket, "/") + extension, nil
}

// list is a flag that may be repeated, or has values between commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

func (l *list) Type() string { return "list" }

// prefixes is a flag with networks or single addresses.
type prefixes []netip.Prefix

func (p *prefixes) String() string {
	var parts []string
	for _, prefix := range *p {
		parts = append(parts, prefix.String())
	}
	return strings.Join(parts, ",")
}

func (p *prefixes) Set(value string) error {
	*p = nil
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if addr, addrErr := netip.ParseAddr(part); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", part)
		}
		*p = append(*p, prefix.Masked())
	}
	return nil
}

func (p *prefixes) Type() string { return "networks" }
