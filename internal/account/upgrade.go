package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weirlog/weir/internal/doc"
)

// Upgrade enters everything into the directory of a bucket that was made before there was one, and gives it an origin. It may be broken off and
// repeated.
func (s *Directory) Upgrade(ctx context.Context) error {
	settings, err := s.Settings(ctx)
	if err != nil || settings.Directory && settings.Origin != "" {
		return err
	}
	for p, err := range s.AllProjects(ctx) {
		if err == nil && p.Deleted.IsZero() {
			err = s.claim(ctx, p, p.Name)
		}
		if err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
	}
	for c, err := range all(ctx, s.credentials) {
		if err == nil && !c.Deleted {
			err = s.enterCredential(ctx, c)
		}
		if err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
	}
	_, _, err = doc.Update(ctx, s.bucket, "weir", func(s *Settings) error {
		s.Directory, s.Origin = true, cmp.Or(s.Origin, NewOrigin())
		return nil
	})
	return err
}

func (s *Directory) enterCredential(ctx context.Context, c *Credential) error {
	if c.UserID == "" {
		id, ok := strings.CutPrefix(c.ID, serviceAccountPrefix)
		if !ok {
			id = NewID(c.Created)
		}
		var err error
		if c, err = s.UpdateCredential(ctx, c.ID, func(c *Credential) error { c.UserID = id; return nil }); err != nil {
			return err
		}
	}
	for _, project := range c.Projects() {
		if err := s.join(ctx, project, c.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return s.enter(ctx, c.Org, userIDs, c.UserID, c.ID, func(Entry) (bool, error) { return false, nil })
}
