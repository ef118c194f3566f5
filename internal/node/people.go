package node

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/oidc"
)

// maxClientSecret bounds the file with the client secret for an OpenID provider, in bytes.
const maxClientSecret = 4 << 10

// peopleOf returns the users of the configured OpenID provider, or nil if there is none.
func peopleOf(c *config.Config) (*auth.People, error) {
	if c.OIDC.Issuer == "" {
		return nil, nil
	}
	secret, err := clientSecret(c)
	if err != nil {
		return nil, c.InvalidFor("oidc-client-secret-file", err)
	}
	if len(c.OIDC.Issuer) > maxIssuer {
		return nil, c.Invalid("oidc-issuer", fmt.Sprintf("has more than %d bytes", maxIssuer))
	}
	provider, err := oidc.New(oidc.Options{Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, ClientSecret: secret,
		Scopes: c.OIDC.Scopes})
	if err != nil {
		return nil, c.InvalidFor("oidc-issuer", err)
	}
	people := &auth.People{Provider: provider}
	for _, text := range c.OIDC.Rules {
		rule, err := auth.ParseRule(text)
		if err != nil {
			return nil, c.InvalidFor("oidc-role", fmt.Errorf("%.80q: %w", text, err))
		}
		people.Rules = append(people.Rules, rule)
	}
	if len(people.Rules) > auth.MaxRules {
		return nil, c.Invalid("oidc-role", fmt.Sprintf("has more than %d rules", auth.MaxRules))
	}
	return people, nil
}

// maxIssuer bounds the URL of an issuer, in bytes, since each session of a person contains it.
const maxIssuer = 300

// clientSecret returns the client secret for the provider. It is empty for a public client.
func clientSecret(c *config.Config) (string, error) {
	if c.OIDC.ClientSecret != "" || c.OIDC.SecretFile == "" {
		return c.OIDC.ClientSecret, nil
	}
	f, err := os.Open(c.OIDC.SecretFile)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxClientSecret+1))
	secret := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxClientSecret:
		return "", fmt.Errorf("the file has more than %d bytes", maxClientSecret)
	case secret == "":
		return "", errors.New("the file is empty")
	}
	return secret, nil
}

// providerName returns the host of the provider as its name for people, or "".
func providerName(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
