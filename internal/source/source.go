// Package source keeps the sources from which projects collect: their settings, their states, and the background work
// that collects.
//
// The sources of a project are one document, and the state of each is another. The secret of a source is hidden in it
// (seal.Box), tied to its place.
package source

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/collect/atlas"
	"github.com/weirlog/weir/internal/collect/kafka"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/seal"
)

// Most is how many sources a project has at most.
const Most = 100

// Type is the kind of system that a source is.
type Type string

// The types.
const (
	Atlas Type = "ATLAS"
	Kafka Type = "KAFKA"
)

// Source is a system from which a project has events collected.
type Source struct {
	ID      string          `json:"id"` // 24 hex digits
	Project string          `json:"project"`
	Name    string          `json:"name"`
	Type    Type            `json:"type"`
	Paused  bool            `json:"paused,omitempty"`
	Every   time.Duration   `json:"every"` // between two rounds
	Created time.Time       `json:"created"`
	Changed time.Time       `json:"changed"`
	Atlas   *AtlasSettings  `json:"atlas,omitempty"`
	Kafka   *kafka.Settings `json:"kafka,omitempty"` // Its password is hidden.
}

// AtlasSettings are those of a source of type Atlas.
type AtlasSettings struct {
	URL        string       `json:"url"`
	ClientID   string       `json:"clientId,omitempty"`  // of a service account
	PublicKey  string       `json:"publicKey,omitempty"` // of an API key
	Secret     string       `json:"secret"`              // hidden
	CA         string       `json:"ca,omitempty"`        // PEM; if empty, the system's authorities
	Kinds      []atlas.Kind `json:"kinds"`
	Projects   []string     `json:"projects,omitempty"`   // ids; if empty, all
	Workspaces []string     `json:"workspaces,omitempty"` // names; if empty, all
	Naming     string       `json:"naming,omitempty"`     // see WorkspaceName
}

// maxPage bounds a page of a list that a source sends, in bytes.
const maxPage = 4 << 20

// Open returns a Source that asks the server, with its secret, by a transport that does not unpack bodies. o has the
// options that are not in the settings. Open sends nothing.
func (a *AtlasSettings) Open(secret string, t http.RoundTripper, userAgent string, o atlas.Options) (*atlas.Source,
	error) {
	config := client.Config{URL: a.URL, UserAgent: userAgent, Transport: o.Pace.Transport(t), MaxReply: maxPage}
	if a.ClientID != "" {
		config.ClientID, config.ClientSecret = a.ClientID, secret
	} else {
		config.PublicKey, config.PrivateKey = a.PublicKey, secret
	}
	c, err := client.New(config)
	if err != nil {
		return nil, err
	}
	o.Client, o.Kinds, o.Projects, o.Workspaces = c, a.Kinds, a.Projects, a.Workspaces
	return atlas.New(o), nil
}

// By returns how events say that they are of a source.
func (s *Source) By() string { return "source_" + s.ID }

// Credential returns a key that sources have in common which ask one server with one credential.
func (s *Source) Credential() string {
	if s.Kafka != nil {
		return s.Kafka.BootstrapServers + " " + s.Kafka.Username
	}
	a := s.Atlas
	return server(a.URL) + " " + a.ClientID + " " + a.PublicKey
}

// server returns a URL as all write it the same that mean one server.
func server(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	host := strings.ToLower(u.Hostname())
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(host, port) + strings.TrimRight(u.EscapedPath(), "/")
}

// Secret returns where the hidden secret of a source stands.
func (s *Source) Secret() *string {
	if s.Kafka != nil {
		return &s.Kafka.Password
	}
	return &s.Atlas.Secret
}

// Naming returns how the workspaces are named that take what the source has.
func (s *Source) Naming() string {
	if s.Kafka != nil {
		return placeName // which the place of a topic has been made by
	}
	return s.Atlas.Pattern()
}

// Clone returns a copy that may be changed.
func (s Source) Clone() Source {
	if s.Kafka != nil {
		k := *s.Kafka
		s.Kafka = &k
	}
	if s.Atlas != nil {
		a := *s.Atlas
		s.Atlas = &a
	}
	return s
}

// list is the sources of a project, as they are stored.
type list struct {
	Sources []Source `json:"sources"`
}

// How many documents are kept in memory.
const (
	maxLists  = 10_000
	maxStates = 1000
)

// Directory keeps the sources of all projects. It may be used concurrently, and by many processes.
type Directory struct {
	box    seal.Box
	bucket bucket.Bucket
	lists  *doc.Cache[list]
	states *doc.Cache[collect.State]
}

// NewDirectory returns a Directory on a bucket that seals, with a box for secrets.
func NewDirectory(b bucket.Bucket, box seal.Box) *Directory {
	return &Directory{box: box, bucket: b,
		lists:  doc.NewCache[list](b, layout.Sources.Prefix(), maxLists),
		states: doc.NewCache[collect.State](b, layout.SourceState.Prefix(), maxStates)}
}

// List returns the sources of a project, which nobody may change, in the order in which they were made.
func (d *Directory) List(ctx context.Context, project string) ([]Source, error) {
	l, err := d.lists.GetOrEmpty(ctx, project)
	if err != nil {
		return nil, err
	}
	return l.Sources, nil
}

// Get returns a source of a project; account.ErrNotFound (wrapped) if there is none.
func (d *Directory) Get(ctx context.Context, project, id string) (*Source, error) {
	all, err := d.List(ctx, project)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(s Source) bool { return s.ID == id })
	if i < 0 {
		return nil, notFound(id)
	}
	s := all[i].Clone()
	return &s, nil
}

func notFound(id string) error { return fmt.Errorf("source %s: %w", id, account.ErrNotFound) }

// Add stores a new source. If its project has as many as it may, it returns an *account.Full.
func (d *Directory) Add(ctx context.Context, s Source) error {
	_, err := d.lists.UpdateOrCreate(ctx, s.Project, func(l *list) error {
		if len(l.Sources) >= Most {
			return &account.Full{Of: "A project", What: "sources", Most: Most}
		}
		l.Sources = append(l.Sources, s)
		return nil
	})
	return err
}

// Changed returns a channel that has an element when sources were changed by this process.
func (d *Directory) Changed() <-chan struct{} { return d.lists.Changed() }

// Update has change change a source, and returns it as it was and as it is; account.ErrNotFound (wrapped) if there is
// none. An error of change leaves it as it is.
func (d *Directory) Update(ctx context.Context, project, id string, change func(*Source) error) (before, after *Source,
	err error) {
	err = d.update(ctx, project, id, func(l *list, i int) error {
		was, is := l.Sources[i], l.Sources[i].Clone()
		if err := change(&is); err != nil {
			return err
		}
		is.Changed = time.Now().UTC()
		l.Sources[i] = is
		before, after = &was, &is
		return nil
	})
	return before, after, err
}

// Delete removes a source and its state, and returns it as it was. What was collected stays.
func (d *Directory) Delete(ctx context.Context, project, id string) (before *Source, err error) {
	err = d.update(ctx, project, id, func(l *list, i int) error {
		was := l.Sources[i]
		before = &was
		l.Sources = slices.Delete(l.Sources, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return before, d.forget(ctx, id)
}

// forget removes the state of a source.
func (d *Directory) forget(ctx context.Context, id string) error {
	d.states.Invalidate(id)
	highest, err := doc.Highest(ctx, d.bucket, d.states.Prefix(id), 0)
	if err != nil || highest == 0 {
		return err
	}
	return doc.Clean(ctx, d.bucket, d.states.Prefix(id), highest)
}

func (d *Directory) update(ctx context.Context, project, id string, change func(l *list, i int) error) error {
	_, err := d.lists.Update(ctx, project, func(l *list) error {
		i := slices.IndexFunc(l.Sources, func(s Source) bool { return s.ID == id })
		if i < 0 {
			return notFound(id)
		}
		return change(l, i)
	})
	if errors.Is(err, doc.ErrNotFound) {
		return notFound(id)
	}
	return err
}

// All yields the sources of all projects.
func (d *Directory) All(ctx context.Context) iter.Seq2[Source, error] {
	return func(yield func(Source, error) bool) {
		for l, err := range d.lists.All(ctx) {
			if err != nil {
				if !yield(Source{}, err) {
					return
				}
				continue
			}
			for _, s := range l.Sources {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

// Projects yields the ids of the projects that have sources.
func (d *Directory) Projects(ctx context.Context) iter.Seq2[string, error] {
	return d.lists.Names(ctx, func(l *list) string {
		if len(l.Sources) == 0 {
			return ""
		}
		return l.Sources[0].Project
	})
}

// Drop removes all sources of a project, and how far they had come.
func (d *Directory) Drop(ctx context.Context, project string) error {
	all, err := d.List(ctx, project)
	if err != nil {
		return err
	}
	for _, s := range all {
		if err := d.forget(ctx, s.ID); err != nil {
			return err
		}
	}
	_, err = d.lists.Update(ctx, project, func(l *list) error { l.Sources = nil; return nil })
	return err
}

// State returns how far a source has come, as it was saved last.
func (d *Directory) State(ctx context.Context, id string) (*collect.State, error) {
	return d.states.GetOrEmpty(ctx, id)
}

// Hide returns a secret of a source as it is stored.
func (d *Directory) Hide(s *Source, secret string) (string, error) {
	return d.box.Hide(s.place(), secret)
}

// Show returns the secret of a source that was hidden; seal.ErrForged if it was not hidden there.
func (d *Directory) Show(s *Source, hidden string) (string, error) {
	return d.box.Show(s.place(), hidden)
}

// place is where the secret of a source stands.
func (s *Source) place() string { return layout.Sources.Prefix(s.Project) + s.ID + "/secret" }
