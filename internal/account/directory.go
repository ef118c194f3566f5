package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// The directory of an organization lists its projects and credentials. It consists of documents that map keys to ids.
// The keys are spread over shards by their hash, so that a change rewrites little and a listing reads few documents. An
// entry is checked against the document that it names: a crash between two writes may leave an entry without a
// document, but never a document without an entry.
const directoryShards = 32

// Kinds of entries.
const (
	projectNames = "projects" // name → project
	userIDs      = "users"    // 24 hex digits → credential
)

type shard struct {
	Entries map[string]Entry `json:"entries"`
}

// Entry says which document has a key.
type Entry struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

func directoryID(org, kind, key string) string {
	h := fnv.New32a()
	h.Write([]byte(key))
	return shardID(org, kind, int(h.Sum32()%directoryShards))
}

func shardID(org, kind string, n int) string { return fmt.Sprintf("%s/%s/%02d", org, kind, n) }

// enter adds an entry for id under key. allowed tells whether it may replace an existing entry of another id.
func (s *Directory) enter(ctx context.Context, org, kind, key, id string, allowed func(Entry) (bool, error)) error {
	_, err := s.directory.UpdateOrCreate(ctx, directoryID(org, kind, key), func(d *shard) error {
		have, ok := d.Entries[key]
		if ok && have.ID == id {
			return nil
		}
		if ok {
			free, err := allowed(have)
			if err != nil {
				return err
			}
			if !free {
				return fmt.Errorf("%q: %w", key, ErrExists)
			}
		}
		if d.Entries == nil {
			d.Entries = map[string]Entry{}
		}
		d.Entries[key] = Entry{id, time.Now().UTC()}
		return nil
	})
	return err
}

// leave removes the entry of id under key.
func (s *Directory) leave(ctx context.Context, org, kind, key, id string) error {
	_, err := s.directory.UpdateOrCreate(ctx, directoryID(org, kind, key), func(d *shard) error {
		if d.Entries[key].ID == id {
			delete(d.Entries, key)
		}
		return nil
	})
	return err
}

// lookup returns the id of the entry under key.
func (s *Directory) lookup(ctx context.Context, org, kind, key string) (string, bool, error) {
	d, err := s.directory.GetOrEmpty(ctx, directoryID(org, kind, key))
	if err != nil {
		return "", false, err
	}
	e, ok := d.Entries[key]
	return e.ID, ok, nil
}

// named is an entry with its key.
type named struct{ key, id string }

// list returns the entries of a kind, sorted by id, and so by time of creation. A project that is being renamed may
// have two entries.
func (s *Directory) list(ctx context.Context, org, kind string) ([]named, error) {
	shards := make([]*shard, directoryShards)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for n := range shards {
		g.Go(func() (err error) {
			shards[n], err = s.directory.GetOrEmpty(ctx, shardID(org, kind, n))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var entries []named
	for _, d := range shards {
		for key, e := range d.Entries {
			entries = append(entries, named{key, e.ID})
		}
	}
	slices.SortFunc(entries, func(a, b named) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.key, b.key)) })
	return entries, nil
}

// fetch reads documents by their ids, several at a time, and skips those that do not exist.
func fetch[T any](ctx context.Context, ids []string, get func(context.Context, string) (*T, error)) ([]*T, error) {
	found := make([]*T, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, id := range ids {
		g.Go(func() (err error) {
			if found[i], err = get(ctx, id); errors.Is(err, ErrNotFound) {
				found[i], err = nil, nil
			}
			return err
		})
	}
	err := g.Wait()
	return slices.DeleteFunc(found, func(v *T) bool { return v == nil }), err
}
