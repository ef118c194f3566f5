// Package client speaks the audit log API of weir and of MongoDB Atlas: it downloads and records logs, and calls the
// other operations of the API.
//
// A Client sends credentials, answers to challenges and events only to the server of its Config. A redirect to another
// origin is not followed; it is an error (RedirectError). An error reply of the server is an *Error. A request is tried
// once; Retry repeats requests that may succeed later. Cancelling a context ends the calls that it was passed to.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mongodb-forks/digest"
	"golang.org/x/oauth2"
)

// Atlas is the URL of MongoDB Atlas.
const Atlas = "https://cloud.mongodb.com"

// Config says which server a Client asks, and with which credentials. Set an ingest token (a client of weir can only
// record with it), the client id and secret of a service account, or an API key. If several are set, the first of these
// counts.
type Config struct {
	URL                    string // such as https://cloud.mongodb.com
	IngestToken            string // weir_…
	ClientID, ClientSecret string // service account
	PublicKey, PrivateKey  string // API key
	UserAgent              string // value of the header User-Agent
	// PEM file of certificate authorities to trust in addition to those of the system. If empty, only those count.
	CAFile string

	// Transport sends the requests (default: like http.DefaultTransport, with CAFile). It must not decompress bodies.
	Transport http.RoundTripper
	MaxReply  int64 // maximum size of a page of a list, in bytes (default 64 MiB); a list may have four times as many
}

// ServerVariables are the environment variables that name the server. The first that is set counts. Terraform's
// provider reads MONGODB_ATLAS_BASE_URL, Atlas's CLI MONGODB_ATLAS_OPS_MANAGER_URL.
var ServerVariables = []string{"WEIR_URL", "MONGODB_ATLAS_BASE_URL", "MONGODB_ATLAS_OPS_MANAGER_URL"}

// FromEnvironment reads the variables that Atlas's tools use, ServerVariables and WEIR_CA_FILE. If no variable names
// the server, it is Atlas.
func FromEnvironment(getenv func(string) string) (Config, error) {
	c := Config{
		URL:      Atlas,
		ClientID: getenv("MONGODB_ATLAS_CLIENT_ID"), ClientSecret: getenv("MONGODB_ATLAS_CLIENT_SECRET"),
		PublicKey: getenv("MONGODB_ATLAS_PUBLIC_API_KEY"), PrivateKey: getenv("MONGODB_ATLAS_PRIVATE_API_KEY"),
		UserAgent: "weir",
		CAFile:    getenv("WEIR_CA_FILE"),
	}
	for _, name := range slices.Backward(ServerVariables) {
		c.URL = cmp.Or(getenv(name), c.URL)
	}
	if (c.ClientID == "" || c.ClientSecret == "") && (c.PublicKey == "" || c.PrivateKey == "") {
		return c, errors.New("no credentials: set MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET, " +
			"or MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY")
	}
	return c, nil
}

// Client asks one server. It may be used concurrently.
type Client struct {
	base      string
	userAgent string
	http      *http.Client
	maxPage   int64 // bytes
}

// loadCA returns the system's certificate authorities and those of a file.
func loadCA(file string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // some systems have none
	}
	data, err := os.ReadFile(file)
	if err == nil && !pool.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s has no certificate in PEM", file)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	return pool, nil
}

// NewTransport returns a transport like http.DefaultTransport that also trusts the certificate authorities in a PEM
// file. If the file's name is empty, it trusts those of the system only.
func NewTransport(caFile string) (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile == "" {
		return transport, nil
	}
	pool, err := loadCA(caFile)
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	return transport, nil
}

// New returns a Client. It sends nothing.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a server: want https://… or http://…", c.URL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the URL of the server, %s, must not have a user, '?' or '#'", place(u))
	}
	base := strings.TrimRight(c.URL, "/")
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	guarded := &pinned{u, transport}
	cl := &Client{base: base, userAgent: c.UserAgent, maxPage: cmp.Or(c.MaxReply, maxPage)}
	if c.IngestToken != "" {
		token := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: c.IngestToken})
		cl.http = NewHTTPClient(&oauth2.Transport{Source: token, Base: guarded})
		return cl, nil
	}
	if c.ClientID == "" || c.ClientSecret == "" {
		cl.http = NewHTTPClient(&digest.Transport{Username: c.PublicKey, Password: c.PrivateKey, Transport: guarded})
		return cl, nil
	}
	cl.http = NewHTTPClient(newTokens(c, base, guarded))
	return cl, nil
}

// transport returns the transport that sends the requests.
func (c Config) transport() (http.RoundTripper, error) {
	if c.Transport != nil {
		return c.Transport, nil
	}
	transport, err := NewTransport(c.CAFile)
	if err != nil {
		return nil, err
	}
	transport.DisableCompression = true // the body is a .gz file, and must stay one
	transport.ResponseHeaderTimeout = 2 * time.Minute
	return transport, nil
}

// URL returns the address of the server, without a trailing '/'.
func (c *Client) URL() string { return c.base }

// HTTP returns an HTTP client that sends requests with the client's credentials. It refuses requests to other servers.
func (c *Client) HTTP() *http.Client { return c.http }

// maxReply bounds a JSON reply that is not a list, in bytes.
const maxReply = 1 << 20

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%q is not a path of the API", path)
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body) // The request can rewind it, for the second try of digest authentication.
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err == nil && c.userAgent != "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	return req, err
}

func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, connectionError(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, newError(resp)
}
