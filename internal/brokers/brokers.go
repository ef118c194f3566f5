// Package brokers connects to the brokers of a Kafka cluster, or of another system with its protocol, as a project's
// owner has set it up: through the egress policy, with TLS, as a user that the brokers know.
package brokers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weirlog/weir/internal/egress"
)

const (
	tokenFor = 30 * time.Second
)

// Options returns the options with which a client connects as the policy says, also to the addresses that the cluster
// gives for its brokers. trouble remembers why a connection failed.
func (a *Access) Options(p *egress.Policy, trouble *Trouble) ([]kgo.Opt, error) {
	return a.options(p, trouble, maxMetadata, nil)
}

// ProducerOptions are Options for a client that only produces to one topic, and holds at most ProducerMemory besides
// the messages. writing is called before each request with messages is written; if it fails, so does the request.
func (a *Access) ProducerOptions(p *egress.Policy, trouble *Trouble, writing func() error) ([]kgo.Opt, error) {
	return a.options(p, trouble, maxTopicMetadata, writing)
}

func (a *Access) options(p *egress.Policy, trouble *Trouble, maxMetadata int32, writing func() error) ([]kgo.Opt,
	error) {
	verify, err := egress.TLS([]byte(a.CA))
	if err != nil {
		return nil, fmt.Errorf("caCertificate: %w", err)
	}
	if a.Plaintext {
		verify = nil
	}
	options := []kgo.Opt{kgo.SeedBrokers(a.servers()...), kgo.ClientID("weir"), kgo.DisableClientMetrics(),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, p, verify, network, address)
			if err != nil {
				return nil, err
			}
			return &replies{Conn: c, maxMetadata: maxMetadata, writing: writing}, nil
		}), kgo.MaxVersions(versions()), kgo.WithHooks(trouble)}
	m, err := a.mechanism(p)
	if err == nil && m != nil {
		options = append(options, kgo.SASL(m))
	}
	return options, err
}

func (a *Access) mechanism(p *egress.Policy) (sasl.Mechanism, error) {
	switch a.Mechanism {
	case Plain:
		return plain.Auth{User: a.Username, Pass: a.Password}.AsMechanism(), nil
	case ScramSHA256:
		return scram.Auth{User: a.Username, Pass: a.Password}.AsSha256Mechanism(), nil
	case ScramSHA512:
		return scram.Auth{User: a.Username, Pass: a.Password}.AsSha512Mechanism(), nil
	case OAuthBearer:
		return a.bearer(p)
	}
	return nil, nil
}

// bearer shows brokers a token: the one that was given, or one that the server of tokens issues. A connection has one
// issued unless that of an earlier one is still valid.
func (a *Access) bearer(p *egress.Policy) (sasl.Mechanism, error) {
	if a.TokenURL == "" {
		return oauth.Auth{Token: a.Password}.AsMechanism(), nil
	}
	issuer, err := p.Client(egress.Options{Timeout: tokenFor})
	if err != nil {
		return nil, err
	}
	config := clientcredentials.Config{ClientID: a.Username, ClientSecret: a.Password, TokenURL: a.TokenURL}
	if a.Scope != "" {
		config.Scopes = []string{a.Scope}
	}
	var mu sync.Mutex
	var token *oauth2.Token
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		mu.Lock()
		defer mu.Unlock()
		if !token.Valid() {
			issued, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, issuer))
			issuer.CloseIdleConnections()
			if err != nil {
				return oauth.Auth{}, fmt.Errorf("no token from %s: %w", a.TokenURL, err)
			}
			token = issued
		}
		return oauth.Auth{Token: token.AccessToken}, nil
	}), nil
}

// dial connects to a broker, with TLS if verify is not nil.
func dial(ctx context.Context, p *egress.Policy, verify *tls.Config, network, address string) (net.Conn, error) {
	if verify == nil {
		return p.DialPlain(ctx, network, address)
	}
	return p.DialTLS(ctx, network, address, verify)
}

// Trouble remembers why the last broker could not be connected to: what waits for a broker fails with its context,
// whose error says nothing. The zero value is ready.
type Trouble struct {
	mu   sync.Mutex
	last error
}

// OnBrokerConnect is called by the client.
func (t *Trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
}

// Explain adds the last connection error to err, if err only says that the context ended.
func (t *Trouble) Explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: the last connection to a broker failed: %w", err, t.last)
}
