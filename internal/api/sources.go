package api

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/collect/atlas"
	"github.com/weirlog/weir/internal/collect/kafka"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/source"
)

// sources are the operations on the sources from which a project's events are collected.
type sources struct {
	control
	sources *source.Directory
}

// sourceView is a source without its secret.
type sourceView struct {
	Atlas    *atlasView      `json:"atlas,omitempty"`
	Changed  time.Time       `json:"updatedAt"`
	Created  time.Time       `json:"createdAt"`
	ID       string          `json:"id"`
	Interval int             `json:"intervalSeconds"`
	Kafka    *kafka.Settings `json:"kafka,omitempty"` // without its password
	Name     string          `json:"name"`
	Paused   bool            `json:"paused"`
	Type     string          `json:"type"`
}

type atlasView struct {
	CA         string       `json:"caCertificates,omitempty"`
	ClientID   string       `json:"clientId,omitempty"`
	Collect    []atlas.Kind `json:"collect"`
	Naming     string       `json:"workspaceNaming"`
	Projects   []string     `json:"projectIds"` // if empty, all
	PublicKey  string       `json:"publicKey,omitempty"`
	URL        string       `json:"baseUrl"`
	Workspaces []string     `json:"workspaceNames"` // if empty, all
}

func showSource(_ *call, s source.Source) sourceView {
	v := sourceView{ID: s.ID, Name: s.Name, Type: string(s.Type), Paused: s.Paused, Interval: int(s.Every / time.Second),
		Created: s.Created.UTC().Truncate(time.Second), Changed: s.Changed.UTC().Truncate(time.Second)}
	if a := s.Atlas; a != nil {
		v.Atlas = &atlasView{URL: a.URL, ClientID: a.ClientID, PublicKey: a.PublicKey, CA: a.CA, Collect: a.Kinds,
			Projects: append([]string{}, a.Projects...), Workspaces: append([]string{}, a.Workspaces...),
			Naming: a.Pattern()}
	}
	v.Kafka = showKafka(s.Kafka)
	return v
}

// newSource is the body of a creation and of an update.
type newSource struct {
	Name     *string   `json:"name"`
	Type     *string   `json:"type"` // only in a creation
	Paused   *bool     `json:"paused"`
	Interval *int      `json:"intervalSeconds"`
	Atlas    *newAtlas `json:"atlas"`
	Kafka    *newKafka `json:"kafka"`
}

type newAtlas struct {
	URL          *string   `json:"baseUrl"`
	ClientID     *string   `json:"clientId"`
	ClientSecret *string   `json:"clientSecret"`
	PublicKey    *string   `json:"publicKey"`
	PrivateKey   *string   `json:"privateKey"`
	CA           *string   `json:"caCertificates"`
	Collect      *[]string `json:"collect"`
	Projects     *[]string `json:"projectIds"`
	Workspaces   *[]string `json:"workspaceNames"`
	Naming       *string   `json:"workspaceNaming"`
}

// Bounds on a source.
const (
	minInterval, maxInterval, usualInterval = 60, 24 * 3600, 300 // seconds; topics are read as often as can be

	maxChosen = 100      // projects, and workspaces
	maxCA     = 32 << 10 // bytes
	maxText   = 256      // bytes of a URL, a credential, a name
)

func (in *newSource) check(k *checks) {
	k.plainText("name", in.Name, 64)
	k.check(in.Interval == nil || *in.Interval >= minInterval && *in.Interval <= maxInterval, "intervalSeconds",
		"must be from %d to %d", minInterval, maxInterval)
	if in.Atlas != nil {
		in.Atlas.check(k)
	}
}

func (in *newAtlas) check(k *checks) {
	k.check(in.URL == nil || isServer(*in.URL), "atlas.baseUrl", "must be the https URL of a server, without user, '?' "+
		"or '#'; http is allowed for loopback addresses only")
	for name, text := range map[string]*string{"clientId": in.ClientID, "clientSecret": in.ClientSecret,
		"publicKey": in.PublicKey, "privateKey": in.PrivateKey} {
		k.check(text == nil || *text != "" && len(*text) <= maxText && isPrintable(*text), "atlas."+name,
			"must have 1 to %d printable characters", maxText)
	}
	k.check(in.CA == nil || *in.CA == "" || len(*in.CA) <= maxCA && areCertificates(*in.CA), "atlas.caCertificates",
		"must be certificates in PEM, of at most %d bytes", maxCA)
	if in.Collect != nil {
		k.check(len(*in.Collect) > 0, "atlas.collect", "must have at least one element")
		for _, kind := range *in.Collect {
			k.check(slices.Contains(atlas.Kinds(), atlas.Kind(kind)), "atlas.collect", "%s is not one of %v", quoted(kind),
				atlas.Kinds())
		}
	}
	k.chosen("atlas.projectIds", in.Projects, account.ValidID, "ids of 24 hexadecimal digits")
	k.chosen("atlas.workspaceNames", in.Workspaces, func(name string) bool {
		return name != "" && len(name) <= maxText && isPrintable(name)
	}, "names of workspaces")
	k.check(in.Naming == nil || *in.Naming == "" || source.CheckNaming(*in.Naming), "atlas.workspaceNaming",
		"must have {workspace}, and may have {project}, {projectId}, letters, digits, '-' and '_'")
}

func (k *checks) chosen(name string, list *[]string, valid func(string) bool, what string) {
	wrong := func(s string) bool { return !valid(s) }
	k.check(list == nil || len(*list) <= maxChosen && !slices.ContainsFunc(*list, wrong),
		name, "must have at most %d elements, all of them %s", maxChosen, what)
}

func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xFFFD })
}

// isServer tells whether a text is the URL of a server. http is only allowed for the machine itself.
func isServer(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxText || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.ForceQuery || !isPrintable(text) {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// areCertificates tells whether a text has certificates in PEM and nothing else.
func areCertificates(text string) bool {
	rest, found := []byte(text), false
	for len(strings.TrimSpace(string(rest))) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return false
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return false
		}
		found = true
	}
	return found
}

// apply changes a source as a checked body says.
func (in *newSource) apply(s *source.Source) {
	if in.Name != nil {
		s.Name = *in.Name
	}
	if in.Paused != nil {
		s.Paused = *in.Paused
	}
	if in.Interval != nil {
		s.Every = time.Duration(*in.Interval) * time.Second
	}
	if in.Atlas != nil && s.Atlas != nil {
		in.Atlas.apply(s.Atlas)
	}
	if in.Kafka != nil && s.Kafka != nil {
		in.Kafka.apply(s.Kafka)
	}
}

func (in *newAtlas) apply(a *source.AtlasSettings) {
	set(&a.URL, in.URL)
	set(&a.CA, in.CA)
	set(&a.Naming, in.Naming)
	set(&a.Projects, in.Projects)
	set(&a.Workspaces, in.Workspaces)
	if in.ClientID != nil {
		a.ClientID, a.PublicKey = *in.ClientID, ""
	}
	if in.PublicKey != nil {
		a.ClientID, a.PublicKey = "", *in.PublicKey
	}
	if in.Collect != nil {
		a.Kinds = nil
		for _, kind := range *in.Collect {
			if !slices.Contains(a.Kinds, atlas.Kind(kind)) {
				a.Kinds = append(a.Kinds, atlas.Kind(kind))
			}
		}
	}
}

// set sets an attribute if the body has it.
func set[T any](to *T, v *T) {
	if v != nil {
		*to = *v
	}
}

// secret returns the secret in a body for the credential of a source, or "". A stored secret is only for the server,
// the authorities and the credential with which it was given, so that a caller that may change a source cannot have it
// sent elsewhere.
func (in *newAtlas) secret(was, is *source.AtlasSettings) (string, error) {
	if in == nil {
		return "", nil
	}
	name, given, other := "atlas.clientSecret", in.ClientSecret, in.PrivateKey
	if is.PublicKey != "" {
		name, given, other = "atlas.privateKey", in.PrivateKey, in.ClientSecret
	}
	var k checks
	k.check(other == nil && (in.ClientID == nil || in.PublicKey == nil), "atlas", "has attributes of two credentials: "+
		"give clientId and clientSecret, or publicKey and privateKey")
	k.check(is.ClientID != "" || is.PublicKey != "", "atlas", "needs clientId and clientSecret, or publicKey and "+
		"privateKey")
	moved := was == nil || was.URL != is.URL || was.CA != is.CA || was.ClientID != is.ClientID ||
		was.PublicKey != is.PublicKey
	k.check(!moved || given != nil, name, "must be given, because the baseUrl, caCertificates or credential that it is "+
		"for is new")
	if err := k.err(); err != nil || given == nil {
		return "", err
	}
	return *given, nil
}

func (h sources) list(c *call) (any, error) {
	all, err := h.sources.List(c.context(), c.scope.project.ID)
	if err != nil {
		return nil, err
	}
	return paginate(c, all, mapEach(c, showSource))
}

func (h sources) create(c *call) (any, error) {
	in, err := decode[newSource](c)
	if err != nil {
		return nil, err
	}
	var k checks
	require(&k, "name", in.Name)
	kind := require(&k, "type", in.Type)
	switch source.Type(kind) {
	case source.Atlas:
		require(&k, "atlas", in.Atlas)
	case source.Kafka:
		require(&k, "kafka", in.Kafka)
	default:
		k.check(in.Type == nil, "type", "must be %s or %s", source.Atlas, source.Kafka)
	}
	in.check(&k)
	in.checkType(&k, source.Type(kind))
	if err := k.err(); err != nil {
		return nil, err
	}
	p := c.scope.project
	s := source.Source{ID: account.NewID(c.now), Project: p.ID, Type: source.Type(kind),
		Every: usualInterval * time.Second, Created: c.now.UTC(), Changed: c.now.UTC()}
	if s.Type == source.Kafka {
		s.Every, s.Kafka = minInterval*time.Second, new(kafka.Settings)
	} else {
		s.Atlas = &source.AtlasSettings{URL: client.Atlas, Kinds: []atlas.Kind{atlas.Audit}}
	}
	in.apply(&s)
	if err := h.hide(&s, &in, nil); err != nil {
		return nil, err
	}
	view := showSource(c, s)
	return view, h.change(c, changed{activity: event.Create, kind: "Source", id: s.ID, name: s.Name, project: p},
		func() (any, any, error) {
			return nil, view, h.sources.Add(c.detached(), s)
		})
}

// checkType notes settings that are not those of a type.
func (in *newSource) checkType(k *checks, t source.Type) {
	k.check(in.Atlas == nil || t == source.Atlas, "atlas", "is for sources of type %s only", source.Atlas)
	k.check(in.Kafka == nil || t == source.Kafka, "kafka", "is for sources of type %s only", source.Kafka)
}

// hide encrypts the secret of a body into a source. was is the source before; nil if it is new.
func (h sources) hide(s *source.Source, in *newSource, was *source.Source) error {
	if was == nil {
		was = new(source.Source)
	}
	secret, err := "", error(nil)
	if s.Type == source.Kafka {
		secret, err = in.Kafka.secret(was.Kafka, s.Kafka)
	} else {
		secret, err = in.Atlas.secret(was.Atlas, s.Atlas)
	}
	if err != nil || secret == "" {
		return err
	}
	hidden, err := h.sources.Hide(s, secret)
	*s.Secret() = hidden
	return err
}

// find returns the source in the path.
func (h sources) find(c *call) (*source.Source, error) {
	id := c.path("sourceId")
	s, err := h.sources.Get(c.context(), c.scope.project.ID, id)
	if errors.Is(err, account.ErrNotFound) {
		return nil, sourceNotFound(id)
	}
	return s, err
}

func (h sources) get(c *call) (any, error) {
	s, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return showSource(c, *s), nil
}

func (h sources) update(c *call) (any, error) {
	s, err := h.find(c)
	if err != nil {
		return nil, err
	}
	in, err := decode[newSource](c)
	if err != nil {
		return nil, err
	}
	var k checks
	k.check(in.Type == nil || *in.Type == string(s.Type), "type", "cannot be changed; create another source")
	in.check(&k)
	in.checkType(&k, s.Type)
	if err := k.err(); err != nil {
		return nil, err
	}
	var view sourceView
	err = h.change(c, changed{activity: event.Update, kind: "Source", id: s.ID, name: s.Name, project: c.scope.project},
		func() (before, after any, err error) {
			was, is, err := h.sources.Update(c.detached(), s.Project, s.ID, func(s *source.Source) error {
				was := s.Clone()
				in.apply(s)
				return h.hide(s, &in, &was)
			})
			if err != nil {
				return nil, nil, err
			}
			view = showSource(c, *is)
			return showSource(c, *was), view, nil
		})
	return view, err
}

// delete deletes a source. Collected events stay.
func (h sources) delete(c *call) (any, error) {
	s, err := h.find(c)
	if err != nil {
		return nil, err
	}
	return nil, h.change(c, changed{activity: event.Delete, kind: "Source", id: s.ID, name: s.Name,
		project: c.scope.project}, func() (any, any, error) {
		was, err := h.sources.Delete(c.detached(), s.Project, s.ID)
		if was == nil {
			return nil, nil, err
		}
		return showSource(c, *was), nil, err
	})
}
