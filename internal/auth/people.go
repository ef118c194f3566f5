package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/oidc"
)

// People are the persons who sign in at an OpenID provider. Their roles follow from the rules, and from the claims that
// the provider sent when they signed in. No credential is stored for them.
type People struct {
	Provider Provider
	Rules    []Rule // at most MaxRules
}

// Provider authenticates people, as oidc.Provider does.
type Provider interface {
	Issuer() string
	Begin(ctx context.Context, redirect string) (string, oidc.Flow, error)
	Finish(ctx context.Context, f oidc.Flow, answer url.Values) (*oidc.Person, error)
}

// MaxRules is the maximum number of rules, so that the text of a session, which has the matching ones, fits into a
// cookie.
const MaxRules = 100

// Rule gives a role to people of whom the provider says that a claim is, or has, a value.
type Rule struct {
	Claim, Value string
	Grant        account.Grant
}

// ParseRule reads a rule such as "groups=security:GROUP_DATA_ACCESS_READ_ONLY@65a1…": claim=value:role@id, where the
// id is that of a project, or of an organization if the role is one of organizations.
func ParseRule(text string) (Rule, error) {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return Rule{}, errRuleForm
	}
	what, id := text[:at], text[at+1:]
	colon := strings.LastIndexByte(what, ':')
	if colon < 0 {
		return Rule{}, errRuleForm
	}
	claim, value, ok := strings.Cut(what[:colon], "=")
	role := account.Role(what[colon+1:])
	ofOrg := slices.Contains(account.Roles(true), role)
	switch {
	case !ok || claim == "" || value == "":
		return Rule{}, errRuleForm
	case !ofOrg && !slices.Contains(account.Roles(false), role):
		return Rule{}, fmt.Errorf("%.80q is not a role", role)
	case !account.ValidID(id):
		return Rule{}, fmt.Errorf("%.80q is not the id of a project or an organization: want 24 hexadecimal digits", id)
	case ofOrg:
		return Rule{claim, value, account.Grant{Org: id, Role: role}}, nil
	}
	return Rule{claim, value, account.Grant{Project: id, Role: role}}, nil
}

var errRuleForm = errors.New("want claim=value:ROLE@id, with the id of a project or an organization")

// key names the claim and the value in a session's text.
func (r Rule) key() string {
	sum := sha256.Sum256([]byte(r.Claim + "\x00" + r.Value))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// personText describes a person in the text of their session.
type personText struct {
	Issuer  string   `json:"i"`
	Subject string   `json:"s"`
	Email   string   `json:"e,omitempty"`
	Matched []string `json:"m"` // keys of the rules that the provider's words matched
}

const signInReference = "sign-in" // purpose of the reference that a browser keeps while a person signs in

// ErrNoProvider says that nobody signs in at an OpenID provider.
var ErrNoProvider = errors.New("there is no OpenID provider")

// BeginPerson returns the address where a person signs in, and a text that the same browser shows at the end. The
// provider sends it to redirect. An error is ErrNoProvider or *oidc.Unavailable.
func (a *Authenticator) BeginPerson(ctx context.Context, redirect string) (address, flow string, err error) {
	if a.people == nil {
		return "", "", ErrNoProvider
	}
	address, f, err := a.people.Provider.Begin(ctx, redirect)
	if err != nil {
		return "", "", err
	}
	data, _ := json.Marshal(f) // cannot fail
	return address, a.Refer(signInReference, data), nil
}

// SignInPerson begins a session for a person by the text of BeginPerson and by the parameters of the provider's answer.
// Its errors are those of SignIn, ErrNoProvider and *oidc.Unavailable. While an address has failed too often, the
// provider is not asked for it.
func (a *Authenticator) SignInPerson(ctx context.Context, flow string, answer url.Values,
	addr netip.Addr) (*Principal, string, error) {
	if a.people == nil {
		return nil, "", ErrNoProvider
	}
	var text personText
	p, err := a.admit(addr, "", func(limited bool) (*account.Credential, error) {
		var f oidc.Flow
		data, ok := a.Referred(signInReference, flow)
		if !ok || json.Unmarshal(data, &f) != nil || limited {
			return nil, &Unauthorized{}
		}
		found, err := a.people.Provider.Finish(ctx, f, answer)
		if err != nil {
			return nil, a.refusedPerson(ctx, err)
		}
		text = a.people.match(found)
		c, err := a.personIn(ctx, &text)
		if errors.As(err, new(*Unauthorized)) {
			err = a.refusedPerson(ctx, &oidc.Refused{Why: "no role for this person", Person: found})
		}
		return c, err
	})
	if err != nil {
		return nil, "", err
	}
	return a.beginText(p, sessionText{Person: &text})
}

// refusedPerson makes a refusal one of a credential. It is for the log of the first organization that a rule is about,
// if the provider has vouched for somebody; a stranger fills no log.
func (a *Authenticator) refusedPerson(ctx context.Context, err error) error {
	refused := new(oidc.Refused)
	if !errors.As(err, &refused) {
		return err
	}
	wrong := &Unauthorized{Why: refused.Why}
	if p := refused.Person; p != nil {
		known := account.NewPerson(account.Identity{Issuer: p.Issuer, Subject: p.Subject, Email: p.Email})
		for _, r := range a.people.Rules {
			if known.Org, err = a.orgOf(ctx, r.Grant); err != nil {
				return err
			}
			if known.Org != "" {
				wrong.Known = known
				break
			}
		}
	}
	return wrong
}

// match returns the description of a person for a session, with the rules that match.
func (p *People) match(found *oidc.Person) personText {
	text := personText{Issuer: found.Issuer, Subject: found.Subject, Email: found.Email, Matched: []string{}}
	for _, r := range p.Rules {
		if key := r.key(); !slices.Contains(text.Matched, key) && found.Has(r.Claim, r.Value) {
			text.Matched = append(text.Matched, key)
		}
	}
	return text
}

// personIn returns a person with the roles of the rules as they are now. It returns *Unauthorized for a person who has
// no role any more, or who has signed in at another provider than the present one. The person belongs to the
// organization of the first role.
func (a *Authenticator) personIn(ctx context.Context, said *personText) (*account.Credential, error) {
	if a.people == nil || said == nil || said.Issuer != a.people.Provider.Issuer() {
		return nil, &Unauthorized{Session: true, Stale: true}
	}
	c := account.NewPerson(account.Identity{Issuer: said.Issuer, Subject: said.Subject, Email: said.Email})
	for _, r := range a.people.Rules {
		if !slices.Contains(said.Matched, r.key()) || slices.Contains(c.Roles, r.Grant) {
			continue
		}
		org, err := a.orgOf(ctx, r.Grant)
		if err != nil {
			return nil, err
		}
		if org != "" {
			c.Roles = append(c.Roles, r.Grant)
			if c.Org == "" {
				c.Org = org
			}
		}
	}
	if len(c.Roles) == 0 {
		return nil, &Unauthorized{Session: true, Stale: true}
	}
	return c, nil
}

// orgOf returns the organization of a role; empty if there is none such any more.
func (a *Authenticator) orgOf(ctx context.Context, g account.Grant) (string, error) {
	if g.Project != "" {
		p, err := a.accounts.Project(ctx, g.Project)
		if errors.Is(err, account.ErrNotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		g.Org = p.Org
	}
	_, err := a.accounts.Organization(ctx, g.Org)
	if errors.Is(err, account.ErrNotFound) {
		return "", nil
	}
	return g.Org, err
}
