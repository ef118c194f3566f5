package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/weirlog/weir/internal/bucket"
)

// Options say how to reach a storage. Credentials come from the environment (AWS_ACCESS_KEY_ID, …), otherwise from
// the shared file (~/.aws/credentials, AWS_PROFILE), otherwise from the role of the container or machine.
type Options struct {
	// URL (default AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's); TLS is used unless it begins with http://
	Endpoint   string
	Region     string // default AWS_REGION, AWS_DEFAULT_REGION, or us-east-1 (at Amazon: the bucket's)
	Addressing string // "path", "host" or "auto" (default): host at Amazon, path elsewhere
	CAFile     string // PEM file of authorities to trust in addition to the system's
	Profile    string // profile of the shared file; if set, credentials are taken from it only

	Observe func(Request) // if not nil, called after each request that was sent
}

// stalled is how long a connection may be idle during a request, headers and body, before it is given up.
const stalled = 30 * time.Second

func newBucket(location string, o Options) (*Bucket, error) {
	name, prefix, err := parseS3(location)
	if err != nil {
		return nil, err
	}
	host, secure, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	lookup, ok := map[string]minio.BucketLookupType{"": minio.BucketLookupAuto, "auto": minio.BucketLookupAuto,
		"path": minio.BucketLookupPath, "host": minio.BucketLookupDNS}[o.Addressing]
	if !ok {
		return nil, fmt.Errorf("addressing %q: want auto, path or host", o.Addressing)
	}
	transport, err := o.transport()
	if err != nil {
		return nil, err
	}
	counted := http.RoundTripper(transport)
	if o.Observe != nil {
		counted = &meter{transport, o.Observe}
	}
	client, err := minio.NewCore(host, &minio.Options{Creds: o.credentials(), Secure: secure, Transport: counted,
		Region: o.region(host), BucketLookup: lookup, MaxRetries: 1}) // with 1, the library never repeats a request
	if err != nil {
		return nil, err
	}
	v, err := client.GetCreds()
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if v.AccessKeyID == "" {
		return nil, errors.New("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or " +
			"give the machine a role")
	}
	b := &Bucket{client: client, transport: transport, name: name, prefix: prefix}
	b.trial, b.stop = b.newTrial()
	return b, nil
}

func parseS3(location string) (name, prefix string, err error) {
	u, err := url.Parse(location)
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", "", errors.New("want s3://name or s3://name/prefix")
	}
	if prefix = strings.Trim(u.Path, "/"); prefix == "" {
		return u.Host, "", nil
	}
	if err := bucket.CheckKey(prefix); err != nil || len(prefix) > 256 {
		return "", "", errors.Join(errors.New("the prefix must be a key of at most 256 bytes"), err)
	}
	return u.Host, prefix + "/", nil
}

func (o Options) endpoint() (host string, secure bool, err error) {
	text := firstOf(o.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"),
		"https://s3.amazonaws.com")
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return "", false, fmt.Errorf("endpoint %q: want https://host or https://host:port", text)
	}
	return u.Host, u.Scheme == "https", nil
}

func (o Options) region(host string) string {
	region := firstOf(o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" && !strings.HasSuffix(host, ".amazonaws.com") {
		return "us-east-1"
	}
	return region
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func (o Options) credentials() *credentials.Credentials {
	if o.Profile != "" {
		return credentials.NewFileAWSCredentials("", o.Profile)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}},
	})
}

// transport returns an HTTP/1.1 transport that gives up stalled connections, and does not change bodies.
func (o Options) transport() (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities: %s has no certificate in PEM", o.CAFile)
		}
		config.RootCAs = pool
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return movingConn{c}, nil
		},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: stalled, DisableCompression: true,
	}, nil
}

// movingConn is a connection that fails when it stalls. Each write also extends the time to wait for the reply.
type movingConn struct{ net.Conn }

func (c movingConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c movingConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
