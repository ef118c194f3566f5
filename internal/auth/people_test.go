package auth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/oidc"
)

// vouching is an OpenID provider that vouches for one person, or for nobody.
type vouching struct {
	issuer string
	person *oidc.Person
	asked  int
}

func (v *vouching) Issuer() string { return v.issuer }

func (v *vouching) Begin(context.Context, string) (string, oidc.Flow, error) {
	return "https://login.example.com/authorize", oidc.Flow{State: "state"}, nil
}

func (v *vouching) Finish(context.Context, oidc.Flow, url.Values) (*oidc.Person, error) {
	v.asked++
	if v.person == nil {
		return nil, &oidc.Refused{Why: "another browser began it"}
	}
	return v.person, nil
}

const (
	someOrg     = "6a7941c22c88faeba59c580d"
	someProject = "6a7941c22c88faeba59c580e"
	otherOrg    = "6a7941c22c88faeba59c580f"
)

func rule(t *testing.T, text string) Rule {
	t.Helper()
	r, err := ParseRule(text)
	accepted(t, err)
	return r
}

// withPeople returns a world in which Jane signs in at a provider.
func withPeople(t *testing.T, o Options, rules ...string) (*world, *vouching) {
	v := &vouching{issuer: "https://login.example.com"}
	v.person = &oidc.Person{Issuer: v.issuer, Subject: "1234", Email: "jane@example.com"}
	o.People = &People{Provider: v}
	for _, text := range rules {
		o.People.Rules = append(o.People.Rules, rule(t, text))
	}
	w := newWorld(t, o)
	for _, id := range []string{someOrg, otherOrg} {
		accepted(t, w.accounts.CreateOrganization(t.Context(), account.Organization{ID: id, Name: "o", Log: id}))
	}
	accepted(t, w.accounts.CreateProject(t.Context(), account.Project{ID: someProject, Org: someOrg, Name: "p"}))
	return w, v
}

// arrive ends a sign-in that it begins.
func (w *world) arrive(t *testing.T) (*Principal, string, error) {
	t.Helper()
	_, flow, err := w.BeginPerson(t.Context(), "https://audit.example.com/")
	accepted(t, err)
	return w.SignInPerson(t.Context(), flow, url.Values{}, here)
}

const readsProject = "email=jane@example.com:GROUP_DATA_ACCESS_READ_ONLY@" + someProject

func TestRulesSayWhoMayDoWhat(t *testing.T) {
	for text, want := range map[string]Rule{
		"groups=security:GROUP_OWNER@" + someProject: {"groups", "security",
			account.Grant{Project: someProject, Role: account.GroupOwner}},
		"email=a:b@example.com:ORG_OWNER@" + someOrg: {"email", "a:b@example.com",
			account.Grant{Org: someOrg, Role: account.OrgOwner}},
		"https://example.com/roles=CN=x,OU=y=z:ORG_MEMBER@" + someOrg: {"https://example.com/roles", "CN=x,OU=y=z",
			account.Grant{Org: someOrg, Role: account.OrgMember}},
	} {
		if got, err := ParseRule(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "a=b", "a=b:GROUP_OWNER", "a=b@" + someOrg, "a:GROUP_OWNER@" + someOrg,
		"=b:GROUP_OWNER@" + someOrg, "a=:GROUP_OWNER@" + someOrg, "a=b:OWNER@" + someOrg, "a=b:GROUP_OWNER@x"} {
		if got, err := ParseRule(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func FuzzRule(f *testing.F) {
	f.Add("groups=security:GROUP_OWNER@" + someProject)
	f.Add("a=b:c@d:ORG_OWNER@" + someOrg)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		written := r.Claim + "=" + r.Value + ":" + string(r.Grant.Role) + "@" + r.Grant.Project + r.Grant.Org
		if written != text {
			t.Errorf("%q is read as %q", text, written)
		}
	})
}

// Roles are those of the rules of now, on what exists now.
func TestRolesOfPeopleFollowTheRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := withPeople(t, Options{}, "email=joe@example.com:ORG_OWNER@"+otherOrg, readsProject,
			"email=jane@example.com:ORG_MEMBER@"+otherOrg)
		p, text, err := w.arrive(t)
		accepted(t, err)
		c := p.Credential
		if c.Org != someOrg || len(c.Roles) != 2 || !c.May(account.Download, &account.Project{ID: someProject}) ||
			c.MayInOrg(account.OwnOrg, otherOrg) || c.Identity.Subject != "1234" || c.Kind != account.Person {
			t.Errorf("got %+v", c)
		}
		node := func(rules ...string) *Authenticator {
			people := &People{Provider: v}
			for _, text := range rules {
				people.Rules = append(people.Rules, rule(t, text))
			}
			return New(w.bucket, account.NewDirectory(w.bucket), Secret{1}, Options{People: people})
		}
		got, err := node("email=jane@example.com:GROUP_OWNER@"+someProject).session(t.Context(), text, here)
		accepted(t, err)
		if !got.Credential.May(account.Own, &account.Project{ID: someProject}) || len(got.Credential.Roles) != 1 ||
			got.Credential.ID != c.ID {
			t.Errorf("by other rules: %+v", got.Credential)
		}
		refused(t, on(node("email=joe@example.com:GROUP_OWNER@"+someProject), "GET", "/", "Session "+text), true)
		refused(t, on(New(w.bucket, w.accounts, Secret{1}, Options{}), "GET", "/", "Session "+text), true)
		v.issuer = "https://other.example.com"
		w.ended(t, text)
		v.issuer = "https://login.example.com"
		accepted(t, w.try("Session "+text))
		_, err = w.accounts.DeleteProject(t.Context(), someProject, func(*account.Project) error { return nil })
		accepted(t, err)
		got, err = w.session(t.Context(), text, here)
		accepted(t, err)
		if len(got.Credential.Roles) != 1 || got.Credential.Org != otherOrg {
			t.Errorf("after the project: %+v", got.Credential)
		}
	})
}

func TestSessionsOfPeopleEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := withPeople(t, Options{SessionLife: 2 * time.Hour, SessionIdle: time.Hour}, readsProject)
		begin := func() (*Principal, string) {
			p, text, err := w.arrive(t)
			accepted(t, err)
			return p, text
		}
		_, idle := begin()
		used := idle
		for range 3 {
			time.Sleep(30 * time.Minute)
			got, err := w.session(t.Context(), used, here)
			accepted(t, err)
			used = got.Session.Renewed
		}
		w.ended(t, idle)
		time.Sleep(30 * time.Minute)
		w.ended(t, used)
		p, one := begin()
		_, two := begin()
		accepted(t, w.SignOut(t.Context(), p.Credential.ID, p.Session))
		w.ended(t, one)
		accepted(t, w.try("Session "+two))
		accepted(t, w.SignOutEverywhere(t.Context(), p.Credential.ID))
		time.Sleep(revocationsAge)
		w.ended(t, two)
	})
}

// A sign-in begun by somebody else, or a text that is no sign-in, begins no session; and a session's text begins no
// sign-in.
func TestFlowsAreNobodyElses(t *testing.T) {
	w, v := withPeople(t, Options{}, readsProject)
	_, text, err := w.arrive(t)
	accepted(t, err)
	asked := v.asked
	for _, flow := range []string{"", "x", text, w.Refer("read", []byte("{}")), strings.Repeat("A", maxReference)} {
		_, _, err := w.SignInPerson(t.Context(), flow, url.Values{}, here)
		refused(t, err, false)
	}
	if v.asked != asked {
		t.Error("the provider was asked for a sign-in that nobody began")
	}
	_, _, err = newWorld(t, Options{}).SignInPerson(t.Context(), "", url.Values{}, here)
	if !errors.Is(err, ErrNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
}

// After too many failures of an address, the provider is not asked any more.
func TestFailuresOfPeopleAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := withPeople(t, Options{FailuresPerMinute: 3}, readsProject)
		v.person = nil
		var limited *TooManyFailures
		for range 10 {
			_, _, err := w.arrive(t)
			if !errors.As(err, &limited) {
				refused(t, err, false)
			}
		}
		if v.asked != 3 || limited == nil {
			t.Errorf("asked %d times, %v", v.asked, limited)
		}
	})
}

// The longest text of a session fits into what a client keeps, and into a browser's cookie.
func TestSessionsOfPeopleFitIntoACookie(t *testing.T) {
	rules := make([]string, 0, MaxRules)
	for i := range MaxRules {
		rules = append(rules, "email="+longEmail+":ORG_MEMBER@"+someOrg)
		rules[i] = strings.Replace(rules[i], "ORG_MEMBER", "ORG_OWNER", i%2)
	}
	w, v := withPeople(t, Options{}, rules...)
	v.issuer = "https://" + strings.Repeat("i", 292)
	v.person = &oidc.Person{Issuer: v.issuer, Subject: strings.Repeat(`"`, 255), Email: longEmail}
	p, _, err := w.arrive(t)
	accepted(t, err)
	matched := make([]string, MaxRules) // of as many claims
	for i := range matched {
		matched[i] = w.people.Rules[0].key()
	}
	text := w.write(sessionText{ID: p.Session.ID, Credential: p.Credential.ID, Kind: account.Person, Began: 1 << 33,
		Expires: 1 << 33, Used: 1 << 33, Person: &personText{v.issuer, v.person.Subject, longEmail, matched}})
	if len(text)+len("__Host-weir=") > 4096 {
		t.Errorf("%d bytes", len(text))
	}
	if _, ok := w.read(text); !ok {
		t.Error("it cannot be read")
	}
}

var longEmail = strings.Repeat("e", 64) + "@" + strings.Repeat("d", 63) + "." + strings.Repeat("d", 63) + ".example.com"
