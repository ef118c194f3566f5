package s3

import (
	"cmp"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/post"
)

// Settings say which bucket takes files, and in which form. The first five are Atlas's.
type Settings struct {
	Bucket string `json:"bucketName"`
	Prefix string `json:"prefixPath"`          // before the names of all files; may be empty
	KMSKey string `json:"kmsKey,omitempty"`    // with which the store encrypts; if empty, as the bucket says
	Role   string `json:"iamRoleId,omitempty"` // without meaning: weir has no role at Amazon, but credentials
	Legacy *bool  `json:"useLegacyPathStructure,omitempty"`

	AccessKey string `json:"accessKeyId"`
	SecretKey string `json:"secretAccessKey"`
	Endpoint  string `json:"s3Endpoint,omitempty"`    // URL of a store that is not Amazon's
	Region    string `json:"s3Region,omitempty"`      // default us-east-1
	CA        string `json:"caCertificate,omitempty"` // PEM; trusted instead of the system's
	Format    string `json:"s3Format,omitempty"`      // of the files; see the formats (default NDJSON)

	// Of Parquet: what the sources are called, each with the class behind it (default weir), and the account that stands
	// in the names of files (default external).
	Source  string `json:"s3Source,omitempty"`
	Account string `json:"s3AccountId,omitempty"`
}

// The formats of files.
const (
	NDJSON  = "NDJSON"  // the events as they were recorded, a line each, compressed by gzip
	Parquet = "PARQUET" // by the rules of Amazon Security Lake
)

const maxText = 1024

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixPath = regexp.MustCompile(`^[A-Za-z0-9!_.*'()=/-]*$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	sourceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,15}$`)
	accountID  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// Check implements deliver.Settings.
func (s *Settings) Check(w *deliver.Wrong) {
	d := s.withDefaults()
	w.Unless(bucketName.MatchString(s.Bucket), "bucketName", "must be the name of an S3 bucket")
	w.Unless(len(s.Prefix) <= 512 && prefixPath.MatchString(s.Prefix) && !strings.Contains("/"+s.Prefix+"/", "/../") &&
		!strings.Contains("/"+s.Prefix+"/", "/./"), "prefixPath",
		"must have at most 512 letters, digits and characters of ! _ . * ' ( ) = / -")
	w.Unless(len(s.KMSKey) <= maxText && post.IsHeaderValue(s.KMSKey), "kmsKey", "must be a key's id or ARN")
	w.Unless(s.AccessKey != "" && len(s.AccessKey) <= maxText && post.IsHeaderValue(s.AccessKey), "accessKeyId",
		"must be given in place of iamRoleId: weir signs in with credentials")
	w.Unless(s.SecretKey != "" && len(s.SecretKey) <= maxText, "secretAccessKey", "must have 1 to %d bytes", maxText)
	w.Unless(len(s.Role) <= maxText, "iamRoleId", "must have at most %d bytes", maxText)
	_, _, err := d.endpoint()
	w.Unless(err == nil, "s3Endpoint", "%v", err)
	w.Unless(regionName.MatchString(d.Region), "s3Region", "must be the name of a region, such as eu-central-1")
	post.CheckCA(w, "caCertificate", s.CA)
	w.Unless(d.Format == NDJSON || d.Format == Parquet, "s3Format", "must be %s or %s", NDJSON, Parquet)
	w.Unless(sourceName.MatchString(d.Source), "s3Source", "must have 1 to 15 letters, digits, - or _")
	w.Unless(accountID.MatchString(d.Account), "s3AccountId", "must have 1 to 64 letters, digits, - or _")
}

// OwnFormat returns the attribute that says in which format events are sent.
func (s *Settings) OwnFormat() (attribute *string, name string) { return &s.Format, "s3Format" }

// Secrets implements deliver.Settings.
func (s *Settings) Secrets() map[string]*string {
	return map[string]*string{"secretAccessKey": &s.SecretKey}
}

// Receiver implements deliver.Settings.
func (s *Settings) Receiver() []string { return nil }

func (s *Settings) withDefaults() Settings {
	d := *s
	d.Region = cmp.Or(d.Region, "us-east-1")
	d.Endpoint = cmp.Or(d.Endpoint, "https://s3."+d.Region+".amazonaws.com")
	d.Format = cmp.Or(d.Format, NDJSON)
	d.Source = cmp.Or(d.Source, "weir")
	d.Account = cmp.Or(d.Account, "external")
	if d.Prefix = strings.Trim(d.Prefix, "/"); d.Prefix != "" {
		d.Prefix += "/"
	}
	return d
}

// endpoint returns the host of the store, and whether it is reached by TLS.
func (s *Settings) endpoint() (host string, secure bool, err error) {
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" || strings.Trim(u.Path, "/") != "" || len(s.Endpoint) > maxText {
		return "", false, errors.New("must be https://host or https://host:port")
	}
	return u.Host, u.Scheme == "https", nil
}
