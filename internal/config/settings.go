package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// settings describes each setting, in the order in which docs/operating.md lists them.
func (c *Config) settings() []*setting {
	all := c.bucketSettings()
	all = append(all, c.nodeSettings()...)
	all = append(all, c.peopleSettings()...)
	all = append(all, c.limitSettings()...)
	all = append(all, c.backgroundSettings()...)
	for _, s := range all {
		s.name = c.prefix + s.name
	}
	return all
}

func (c *Config) bucketSettings() []*setting {
	return []*setting{
		{name: "bucket", value: text(&c.Bucket, "location", "./weir-data", validBucket),
			help: "folder with all state, or s3://name/prefix; S3 credentials come from AWS's environment, shared " +
				"file or role"},
		{name: "shards", unset: "1 in a folder, 8 on S3", value: orZero(whole(&c.Shards, 0, 1, 64)),
			help: "number of shards of a new bucket, which never changes"},
		{name: "signing-key-file", unset: "the bucket's path with .signing-key", value: text(&c.SigningKeyFile,
			"file", "", nil),
			help: "file with the keys that sign logs; WEIR_SIGNING_KEY in the environment wins"},
		{name: "signing-key", secret: true, value: hidden(&c.SigningKeys, "keys"),
			help: "keys that sign logs, one on each line"},
		{name: "key-file", unset: "the bucket's path with .key", value: text(&c.SecretFile, "file", "", nil),
			help: "file with the nodes' secret; WEIR_SECRET in the environment wins"},
		{name: "secret", secret: true, value: hidden(&c.Secret, "secret"), help: "the nodes' secret"},

		{name: "s3-endpoint", group: Store, unset: "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon",
			value: storeURL(&c.S3.Endpoint),
			help:  "URL of the S3 store, http:// for one without TLS"},
		{name: "s3-region", group: Store, unset: "AWS_REGION, AWS_DEFAULT_REGION, or us-east-1",
			value: text(&c.S3.Region, "region", "", word), help: "region of the S3 bucket"},
		{name: "s3-addressing", group: Store, value: choice(&c.S3.Addressing, "auto", "auto", "path", "host"),
			help: "where requests name the S3 bucket; auto means host at Amazon, else path"},
		{name: "s3-profile", group: Store, unset: "what AWS's environment says",
			value: text(&c.S3.Profile, "profile", "", nil),
			help:  "profile of ~/.aws/credentials to use; it wins over credentials in the environment"},
		{name: "s3-ca-file", group: Store, unset: "the system's authorities", value: text(&c.S3.CAFile, "file",
			"", authorities),
			help: "PEM file with authorities to trust for the S3 store besides the system's"},
	}
}

func (c *Config) nodeSettings() []*setting {
	return inGroup(Serve, []*setting{
		{name: "role", value: roles(&c.Roles),
			help: "what the node does, names between commas: ingest takes events, read serves " +
				"logs, background sequences them and removes old ones"},
		{name: "listen", value: address(&c.Listen, "127.0.0.1:8080", false),
			help: "address of the API; port 0 takes a free one"},
		{name: "admin-listen", value: address(&c.AdminListen, "127.0.0.1:8081", true),
			help: "address of /healthz, /readyz and /metrics; if empty, they are not served"},
		{name: "public-url", unset: "as each request came", value: webURL(&c.PublicURL),
			help: "URL under which clients reach the API, for links in replies"},
		{name: "tls-cert", unset: "none: HTTP", value: text(&c.TLSCert, "file", "", existing),
			help: "PEM file with the certificate chain; read again when it changes"},
		{name: "tls-key", unset: "none", value: text(&c.TLSKey, "file", "", existing),
			help: "PEM file with the certificate's key"},
		{name: "trusted-proxies", unset: "none", value: networks(&c.TrustedProxies),
			help: "networks whose X-Forwarded-For is believed, between commas; name your proxies, not the networks " +
				"that clients are in"},
		{name: "egress-allow", unset: "none; with --dev loopback", value: networks(&c.EgressAllow),
			help: "networks, between commas, to which sources, deliveries and notifiers of projects may connect besides " +
				"public addresses; also without TLS"},
		{name: "dev", value: onOff(&c.Dev),
			help: "make a project, a workspace, credentials and sample events in an empty bucket, " +
				"and print how to use them"},
		{name: "env-file", value: text(&c.EnvFile, "file", "weir-dev.env", notEmpty),
			help: "file that --dev writes addresses and credentials to"},
		{name: "no-web", value: onOff(&c.NoWeb),
			help: "do not serve the page for people at /; a node without the role read never does"},
		{name: "pprof", value: onOff(&c.Pprof), help: "serve Go's profiles below /debug/pprof/ on --admin-listen"},
		{name: "log-format", value: choice(&c.LogFormat, "auto", "auto", "text", "json"),
			help: "auto means text on a terminal, else json"},
		{name: "log-level", value: choice(&c.LogLevel, "info", "debug", "info", "warn", "error"),
			help: "lowest level that is logged"},
	})
}

func (c *Config) peopleSettings() []*setting {
	return inGroup(Serve, []*setting{
		{name: "oidc-issuer", unset: "none: people sign in with credentials", value: webURL(&c.OIDC.Issuer),
			help: "URL of the OpenID provider at which people sign in to the page"},
		{name: "oidc-client-id", unset: "none", value: text(&c.OIDC.ClientID, "id", "", word),
			help: "weir's client id at the provider; its redirect URI is the page's URL with /web/session/callback"},
		{name: "oidc-client-secret-file", unset: "none: a public client", value: text(&c.OIDC.SecretFile, "file", "",
			existing), help: "file with the client's secret; WEIR_OIDC_CLIENT_SECRET in the environment wins"},
		{name: "oidc-client-secret", secret: true, value: hidden(&c.OIDC.ClientSecret, "secret"),
			help: "the client's secret"},
		{name: "oidc-scopes", value: words(&c.OIDC.Scopes, "email"),
			help: "scopes to ask the provider for besides openid, between commas or spaces, such as email, groups"},
		{name: "oidc-role", unset: "none: nobody has a role", value: lines(&c.OIDC.Rules, "rule", validRule),
			help: "claim=value:ROLE@id gives people with this claim the role on the project or organization with the id; " +
				"may be repeated; in the environment, one on each line"},
	})
}

func (c *Config) limitSettings() []*setting {
	return inGroup(Serve, []*setting{
		{name: "drain", value: duration(&c.Drain, 20*time.Second, time.Millisecond, time.Hour),
			help: "how long requests may go on after SIGTERM"},
		{name: "idle-timeout", value: duration(&c.IdleTimeout, time.Minute, 100*time.Millisecond, 24*time.Hour),
			help: "time after which a client that stops sending or reading is disconnected"},
		{name: "body-timeout", value: duration(&c.BodyTimeout, 2*time.Minute, 100*time.Millisecond, 24*time.Hour),
			help: "time within which a request's body must have arrived"},
		{name: "max-connections", unset: "half of the files that the process may have open, less 64, at most 8192",
			value: orZero(whole(&c.MaxConnections, 0, 1, 1_000_000)),
			help:  "maximum number of client connections; beyond it, idle ones are closed, or new ones if none is idle"},
		{name: "download-rate", value: whole(&c.DownloadRate, 1200, 0, math.MaxInt32),
			help: "downloads a minute for each credential; 0 means no limit"},
		{name: "auth-failures", value: whole(&c.AuthFailures, 60, 0, math.MaxInt32),
			help: "wrong credentials a minute for each pair of an address and a claimed credential, and ten times as many " +
				"for each address; 0 means no limit"},
		{name: "token-lifetime", value: duration(&c.TokenLifetime, time.Hour, time.Second, time.Hour),
			help: "how long a token of a service account is valid; a shorter time is for tests of clients"},
		{name: "max-event-bytes", value: bytes(&c.MaxEventBytes, mib, kib, 64*mib), help: "maximum size of one event"},
		{name: "max-request-bytes", value: bytes(&c.MaxRequestBytes, 64*mib, kib, gib),
			help: "maximum size of the events of one request, after decompression"},
		{name: "max-request-events", value: whole(&c.MaxRequestEvents, 100_000, 1, 10_000_000),
			help: "maximum number of events in one request"},
		{name: "max-memory-bytes", value: bytes(&c.MaxMemoryBytes, 640*mib, mib, 1024*gib),
			help: "maximum size of all request bodies at one time; beyond it, requests get 503"},
		{name: "max-waiting-bytes", value: bytes(&c.MaxWaitingBytes, 256*mib, mib, 1024*gib),
			help: "maximum size of the write-ahead log; beyond it, requests to record get 503"},
	})
}

func (c *Config) backgroundSettings() []*setting {
	return inGroup(Serve, []*setting{
		{name: "wal-interval", value: duration(&c.WALInterval, 100*time.Millisecond, time.Millisecond, time.Minute),
			help: "on S3, the shortest time between two write-ahead log objects of this node: a request to record waits " +
				"at most that long, and each object costs a request"},
		{name: "sequence-delay", value: duration(&c.SequenceDelay, time.Minute, 10*time.Millisecond, 24*time.Hour),
			help: fmt.Sprintf("longest time until a recorded event is sequenced into its log; with --dev %v if it is not set",
				devSequenceDelay)},
		{name: "retention-interval", value: duration(&c.RetentionInterval, time.Hour, time.Second, 30*24*time.Hour),
			help: "time between two searches for events and logs that retention removes"},
		{name: "witness", unset: "none", value: list(&c.Witnesses, "witness", validWitness),
			help: "\"key URL\" of a witness (c2sp.org/tlog-witness) that is asked to cosign each checkpoint; may " +
				"be repeated"},
		{name: "cache-dir", unset: "none", value: text(&c.CacheDir, "folder", "", noFile),
			help: "folder on a local disk as a cache for a bucket on S3"},
		{name: "cache-size", value: bytes(&c.CacheSize, 10*gib, mib, math.MaxInt64/2), help: "maximum size of --cache-dir"},
		{name: "cache-memory", value: bytes(&c.CacheMemory, 64*mib, mib, 1024*gib),
			help: "memory as a cache for a bucket on S3"},
	})
}

func inGroup(g Group, all []*setting) []*setting {
	for _, s := range all {
		s.group = g
	}
	return all
}

// orZero makes a number valid that is not set.
func orZero(f *field[int]) *field[int] {
	valid, parse := f.valid, f.parse
	f.parse = func(s string) (int, error) { // what is set explicitly must be in bounds
		n, err := parse(s)
		if err == nil {
			err = valid(n)
		}
		return n, err
	}
	f.valid = func(n int) error {
		if n == 0 {
			return nil
		}
		return valid(n)
	}
	return f
}

func validBucket(s string) error {
	if err := notEmpty(s); err != nil {
		return err
	}
	if scheme, rest, ok := strings.Cut(s, "://"); ok && (scheme != "s3" || rest == "" || rest[0] == '/') {
		return fmt.Errorf("%s is neither a folder nor s3://name/prefix", shown(s))
	}
	return nil
}

func validWitness(s string) error {
	key, at, _ := strings.Cut(s, " ")
	var location string
	if strings.Count(key, "+") < 2 || webURL(&location).Set(strings.TrimSpace(at)) != nil || location == "" {
		return fmt.Errorf("%s is not \"<verifier key> <URL>\"", shown(s))
	}
	return nil
}

var ruleForm = regexp.MustCompile(`^[^=]+=.+:[A-Z_]+@[0-9a-f]{24}$`)

func validRule(s string) error {
	if !ruleForm.MatchString(s) {
		return fmt.Errorf("%s is not claim=value:ROLE@id, with the id of a project or an organization", shown(s))
	}
	return nil
}

// contradictions returns an error if settings that are valid each contradict each other.
func (c *Config) contradictions() error {
	switch {
	case c.TLSCert == "" && c.TLSKey != "":
		return c.Invalid("tls-cert", "must be set, because --tls-key is")
	case c.TLSCert != "" && c.TLSKey == "":
		return c.Invalid("tls-key", "must be set, because --tls-cert is")
	case c.OIDC.Issuer != "" && c.OIDC.ClientID == "":
		return c.Invalid("oidc-client-id", "must be set, because --oidc-issuer is")
	case c.OIDC.Issuer != "" && len(c.OIDC.Rules) == 0:
		return c.Invalid("oidc-role", "must be set, because --oidc-issuer is: nobody would have a role")
	case c.OIDC.Issuer == "" && (c.OIDC.ClientID != "" || c.OIDC.SecretFile != "" || len(c.OIDC.Rules) > 0):
		return c.Invalid("oidc-issuer", "must be set, because other settings of the OpenID provider are")
	case c.CacheDir != "" && !c.OnS3():
		return c.Invalid("cache-dir", "is only for a bucket on S3; this bucket is a folder, so leave it out")
	case c.Dev && c.Roles != AllRoles:
		return c.Invalid("role", "must be all with --dev")
	case !c.Roles.Background && !c.OnS3():
		return c.Invalid("role", "must include background: only one node can use a bucket that is a folder, so no "+
			"other node would do that work")
	case c.MaxRequestBytes < c.MaxEventBytes:
		return c.Invalid("max-request-bytes", "must not be less than --max-event-bytes")
	case c.MaxMemoryBytes < c.MaxRequestBytes:
		return c.Invalid("max-memory-bytes",
			"must not be less than --max-request-bytes: such a request would never be taken")
	}
	return nil
}

// Error is a setting that cannot be right.
type Error struct {
	Setting string // its name, as a flag without the dashes
	Source  string // where the value comes from, empty if it is a flag or the default
	Err     error
}

func (e *Error) Error() string {
	if e.Source != "" {
		return fmt.Sprintf("--%s (from %s): %v", e.Setting, e.Source, e.Err)
	}
	return fmt.Sprintf("--%s: %v", e.Setting, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Invalid returns an *Error about a setting.
func (c *Config) Invalid(setting, why string) error { return c.InvalidFor(setting, errors.New(why)) }

// InvalidFor returns an *Error about a setting. It wraps err, an error about the thing that the setting names.
func (c *Config) InvalidFor(setting string, err error) error { return c.invalid(c.prefix+setting, err) }

func (c *Config) invalid(setting string, err error) error {
	return &Error{setting, c.sources[setting], err}
}
