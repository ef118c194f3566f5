package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/doc"
)

// ErrNotFound is returned (wrapped) for something that does not exist, or does no longer.
var ErrNotFound = errors.New("not found")

// ErrExists is returned (wrapped) when a name is taken.
var ErrExists = errors.New("the name is taken")

// Settings of a bucket, made once. Their presence is the sign that the bucket is initialised.
type Settings struct {
	Format  int       `json:"format"`
	Shards  int       `json:"shards"` // over which logs are spread, fixed for ever
	Created time.Time `json:"created"`
	Origin  string    `json:"origin"` // name of the bucket in the checkpoints of its logs, fixed for ever
	Secret  string    `json:"secret"` // name of the nodes' secret, which seals what nodes write
}

const settingsFormat = 1

// maxAge is how long a document is believed without asking for a newer version, so how long a change on another node
// may go unseen. Changes on this node are seen at once, and so is what was missing.
const maxAge = 2 * time.Second

// How many documents of each kind are kept in memory; a directory has 32 for each organization and kind of entry.
const (
	maxCached      = 10_000
	maxDirectories = 1024
)

// Directory keeps the documents. It may be used concurrently, and by many processes.
type Directory struct {
	bucket      bucket.Bucket
	orgs        cache[Organization]
	projects    cache[Project]
	credentials cache[Credential]
	directory   cache[shard]

	publications cache[Publication]

	from netip.Addr // see ChangedFrom
}

// NewDirectory returns a Directory on b.
func NewDirectory(b bucket.Bucket) *Directory {
	return &Directory{bucket: b,
		orgs:        newCache[Organization](b, "orgs/", maxCached),
		projects:    newCache[Project](b, "projects/", maxCached),
		credentials: newCache[Credential](b, "credentials/", maxCached),
		directory:   newCache[shard](b, "directory/", maxDirectories),

		publications: newCache[Publication](b, "publications/", maxCached)}
}

// Settings returns the bucket's settings; ErrNotFound if it is not initialised.
func (s *Directory) Settings(ctx context.Context) (Settings, error) {
	var settings Settings
	_, err := doc.Read(ctx, s.bucket, "weir", &settings)
	if errors.Is(err, bucket.ErrNotExist) {
		return settings, fmt.Errorf("settings of the bucket: %w", ErrNotFound)
	}
	if err == nil && settings.Format != settingsFormat {
		err = fmt.Errorf("the bucket has format %d; this version of weir reads format %d", settings.Format,
			settingsFormat)
	}
	return settings, err
}

// Initialise makes the settings, as the last step of filling an empty bucket. It sets the format and the time of
// creation, and, if the origin is empty, one that no other bucket has. If there are settings already, it returns
// doc.ErrConflict.
func (s *Directory) Initialise(ctx context.Context, settings Settings) error {
	if settings.Origin == "" {
		settings.Origin = NewOrigin()
	}
	settings.Format, settings.Created = settingsFormat, time.Now().UTC()
	return doc.Write(ctx, s.bucket, "weir", 0, settings)
}

// NewOrigin returns an origin that no other bucket has.
func NewOrigin() string { return "weir-" + NewID(time.Now()) }

// Organization returns an organization by its id.
func (s *Directory) Organization(ctx context.Context, id string) (*Organization, error) {
	o, err := s.orgs.get(ctx, id)
	if err == nil && !o.Deleted.IsZero() {
		return nil, fmt.Errorf("organization %s: %w", id, ErrNotFound)
	}
	return o, err
}

// Project returns a project by its id.
func (s *Directory) Project(ctx context.Context, id string) (*Project, error) {
	p, err := s.projects.get(ctx, id)
	if err == nil && !p.Deleted.IsZero() {
		return nil, fmt.Errorf("project %s: %w", id, ErrNotFound)
	}
	return p, err
}

// Credential returns a credential by its client id or public key. Those of an organization go with it.
func (s *Directory) Credential(ctx context.Context, id string) (*Credential, error) {
	c, err := s.credentials.get(ctx, id)
	if err != nil {
		return nil, err
	}
	org, err := s.orgs.get(ctx, c.Org)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if c.Deleted || err == nil && !org.Deleted.IsZero() {
		return nil, fmt.Errorf("credential %s: %w", id, ErrNotFound)
	}
	return c, nil
}

// Remembers tells whether a credential is in memory, so that finding it costs little.
func (s *Directory) Remembers(id string) bool {
	_, ok := s.credentials.docs.GetIfPresent(id)
	return ok
}

// CreateOrganization stores a new organization.
func (s *Directory) CreateOrganization(ctx context.Context, o Organization) error {
	return s.orgs.create(ctx, o.ID, o)
}

// UpdateOrganization has change change an organization; an error of change leaves it as it is.
func (s *Directory) UpdateOrganization(ctx context.Context, id string,
	change func(*Organization) error) (*Organization, error) {
	return s.orgs.update(ctx, id, func(o *Organization) error {
		if !o.Deleted.IsZero() {
			return fmt.Errorf("organization %s: %w", id, ErrNotFound)
		}
		return change(o)
	})
}

// UpdateProject has change change a project; an error of change leaves it as it is. It is not for its name.
func (s *Directory) UpdateProject(ctx context.Context, id string, change func(*Project) error) (*Project, error) {
	return s.projects.update(ctx, id, func(p *Project) error {
		if !p.Deleted.IsZero() {
			return fmt.Errorf("project %s: %w", id, ErrNotFound)
		}
		return change(p)
	})
}

// cache is documents of one kind. What it returns is shared: it is never changed.
type cache[T any] struct {
	bucket bucket.Bucket
	prefix string
	docs   *otter.Cache[string, cached[T]]
}

type cached[T any] struct {
	doc     *T
	version int64
	checked time.Time
}

func newCache[T any](b bucket.Bucket, prefix string, size int) cache[T] {
	return cache[T]{b, prefix, otter.Must(&otter.Options[string, cached[T]]{MaximumSize: size})}
}

// maxID bounds an identifier, in bytes. What is longer names nothing, and is neither looked up nor kept.
const maxID = 64

func (c cache[T]) valid(id string) bool {
	return len(id) <= maxID && bucket.CheckKey(c.prefix+id) == nil
}

func (c cache[T]) get(ctx context.Context, id string) (*T, error) {
	if !c.valid(id) {
		return nil, fmt.Errorf("%s%.*q: %w", c.prefix, maxID, id, ErrNotFound)
	}
	now := time.Now()
	have, ok := c.docs.GetIfPresent(id)
	ok = ok && have.version > 0
	if ok && now.Sub(have.checked) < maxAge {
		return have.doc, nil
	}
	if ok {
		version, err := doc.Highest(ctx, c.bucket, c.prefix+id, have.version)
		if err != nil {
			return nil, err
		}
		if version == have.version {
			return c.keep(id, cached[T]{have.doc, have.version, now}), nil
		}
	}
	v := new(T)
	version, err := doc.Read(ctx, c.bucket, c.prefix+id, v)
	if errors.Is(err, bucket.ErrNotExist) {
		return nil, fmt.Errorf("%s%s: %w", c.prefix, id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return c.keep(id, cached[T]{v, version, now}), nil
}

// getOrEmpty returns an empty document for one that does not exist, and believes that for maxAge too.
func (c cache[T]) getOrEmpty(ctx context.Context, id string) (*T, error) {
	if !c.valid(id) {
		return new(T), nil
	}
	now := time.Now()
	if have, ok := c.docs.GetIfPresent(id); ok && now.Sub(have.checked) < maxAge {
		return have.doc, nil
	}
	v, err := c.get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return c.keep(id, cached[T]{new(T), 0, now}), nil
	}
	return v, err
}

// keep puts a version into the cache, and returns the newest: who was slow to read must not hide what was written
// since.
func (c cache[T]) keep(id string, new cached[T]) *T {
	newest, ok := c.docs.Compute(id, func(have cached[T], ok bool) (cached[T], otter.ComputeOp) {
		if ok && (have.version > new.version || have.version == new.version && have.checked.After(new.checked)) {
			return have, otter.CancelOp
		}
		return new, otter.WriteOp
	})
	if !ok { // evicted at once
		return new.doc
	}
	return newest.doc
}

func (c cache[T]) create(ctx context.Context, id string, v T) error {
	return doc.Write(ctx, c.bucket, c.prefix+id, 0, v)
}

func (c cache[T]) update(ctx context.Context, id string, change func(*T) error) (*T, error) {
	now := time.Now()
	have, _ := c.docs.GetIfPresent(id)
	v, version, err := doc.Update(ctx, c.bucket, c.prefix+id, have.version, change)
	if errors.Is(err, bucket.ErrNotExist) {
		return nil, fmt.Errorf("%s%s: %w", c.prefix, id, ErrNotFound)
	}
	if errors.Is(err, doc.ErrPutBack) {
		return nil, err // What is in memory is newer, and stays.
	}
	if err != nil {
		c.docs.Invalidate(id) // it may have taken effect
		return nil, err
	}
	return c.keep(id, cached[T]{&v, version, now}), nil
}

// updateOrCreate is update for a document that need not exist: change is then given an empty one.
func (c cache[T]) updateOrCreate(ctx context.Context, id string, change func(*T) error) (*T, error) {
	for {
		v, err := c.update(ctx, id, change)
		if !errors.Is(err, ErrNotFound) {
			return v, err
		}
		if err := c.create(ctx, id, *new(T)); err != nil && !errors.Is(err, doc.ErrConflict) {
			return nil, err
		}
	}
}
