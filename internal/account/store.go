package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
)

// ErrNotFound is returned (wrapped) for something that does not exist, or was deleted.
var ErrNotFound = doc.ErrNotFound

// ErrExists is returned (wrapped) if a name is taken.
var ErrExists = errors.New("the name is taken")

// Settings are the settings of a bucket, which never change. A bucket that has them is initialised.
type Settings struct {
	Format  int       `json:"format"`
	Shards  int       `json:"shards"` // number of shards over which logs are spread; never changes
	Created time.Time `json:"created"`
	Origin  string    `json:"origin"` // name of the bucket in the checkpoints of its logs; never changes
	Secret  string    `json:"secret"` // name of the nodes' secret, with which nodes seal their objects
}

const settingsFormat = 1

// Numbers of documents of each kind in memory. A directory has 32 documents for each organization and kind of entry.
const (
	maxCached      = 10_000
	maxDirectories = 1024
)

// Directory reads and changes the documents. It may be used concurrently, and by many processes.
type Directory struct {
	bucket      bucket.Bucket
	orgs        *doc.Cache[Organization]
	projects    *doc.Cache[Project]
	credentials *doc.Cache[Credential]
	directory   *doc.Cache[shard]

	publications *doc.Cache[Publication]

	from netip.Addr // see ChangedFrom
}

// NewDirectory returns a Directory on b.
func NewDirectory(b bucket.Bucket) *Directory {
	return &Directory{bucket: b,
		orgs:        doc.NewCache[Organization](b, layout.Organization.Prefix(), maxCached),
		projects:    doc.NewCache[Project](b, layout.Project.Prefix(), maxCached),
		credentials: doc.NewCache[Credential](b, layout.Credential.Prefix(), maxCached),
		directory:   doc.NewCache[shard](b, layout.ProjectNames.Prefix(), maxDirectories),

		publications: doc.NewCache[Publication](b, layout.Publication.Prefix(), maxCached)}
}

// Settings returns the bucket's settings. If the bucket is not initialised, it returns ErrNotFound (wrapped).
func (s *Directory) Settings(ctx context.Context) (Settings, error) {
	var settings Settings
	_, err := doc.Read(ctx, s.bucket, layout.Settings.Top(), &settings)
	if errors.Is(err, bucket.ErrNotExist) {
		return settings, fmt.Errorf("settings of the bucket: %w", ErrNotFound)
	}
	if err == nil && settings.Format != settingsFormat {
		err = fmt.Errorf("the bucket has format %d; this version of weir reads format %d", settings.Format,
			settingsFormat)
	}
	return settings, err
}

// Initialise stores the settings, as the last step of filling an empty bucket. It sets the format and the time of
// creation, and, if the origin is empty, a new origin. If there are settings already, it returns doc.ErrConflict
// (wrapped).
func (s *Directory) Initialise(ctx context.Context, settings Settings) error {
	if settings.Origin == "" {
		settings.Origin = NewOrigin()
	}
	settings.Format, settings.Created = settingsFormat, time.Now().UTC()
	return doc.Write(ctx, s.bucket, layout.Settings.Top(), 0, settings)
}

// NewOrigin returns a random origin.
func NewOrigin() string { return "weir-" + NewID(time.Now()) }

// Organization returns an organization by its id.
func (s *Directory) Organization(ctx context.Context, id string) (*Organization, error) {
	o, err := s.orgs.Get(ctx, id)
	if err == nil && !o.Deleted.IsZero() {
		return nil, fmt.Errorf("organization %s: %w", id, ErrNotFound)
	}
	return o, err
}

// Project returns a project by its id.
func (s *Directory) Project(ctx context.Context, id string) (*Project, error) {
	p, err := s.projects.Get(ctx, id)
	if err == nil && !p.Deleted.IsZero() {
		return nil, fmt.Errorf("project %s: %w", id, ErrNotFound)
	}
	return p, err
}

// Credential returns a credential by its client id, public key or token id. A credential of a deleted organization does
// not exist.
func (s *Directory) Credential(ctx context.Context, id string) (*Credential, error) {
	c, err := s.credentials.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	org, err := s.orgs.Get(ctx, c.Org)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if c.Deleted || err == nil && !org.Deleted.IsZero() {
		return nil, fmt.Errorf("credential %s: %w", id, ErrNotFound)
	}
	return c, nil
}

// Listed tells whether there is a credential, so that Credential finds one. Its cost does not grow with the number of
// calls; see doc.Cache.Listed.
func (s *Directory) Listed(ctx context.Context, id string) bool {
	return s.credentials.Listed(ctx, id)
}

// CreateOrganization stores a new organization.
func (s *Directory) CreateOrganization(ctx context.Context, o Organization) error {
	return s.orgs.Create(ctx, o.ID, o)
}

// UpdateOrganization calls change with an organization and stores the result. If change returns an error, nothing
// changes.
func (s *Directory) UpdateOrganization(ctx context.Context, id string,
	change func(*Organization) error) (*Organization, error) {
	return s.orgs.Update(ctx, id, func(o *Organization) error {
		if !o.Deleted.IsZero() {
			return fmt.Errorf("organization %s: %w", id, ErrNotFound)
		}
		return change(o)
	})
}

// UpdateProject calls change with a project and stores the result. If change returns an error, nothing changes. For the
// name, use RenameProject.
func (s *Directory) UpdateProject(ctx context.Context, id string, change func(*Project) error) (*Project, error) {
	return s.projects.Update(ctx, id, func(p *Project) error {
		if !p.Deleted.IsZero() {
			return fmt.Errorf("project %s: %w", id, ErrNotFound)
		}
		return change(p)
	})
}
