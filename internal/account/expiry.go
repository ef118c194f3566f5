package account

import (
	"context"
	"errors"
	"time"
)

// Expiring is a service account whose last secret expires soon.
type Expiring struct {
	Credential *Credential
	Expires    time.Time
	Owner      []string // ids of the organizations that will have no owner that can sign in
}

// Expiring returns the service accounts that can sign in now, and can not at a later time.
func (s *Directory) Expiring(ctx context.Context, now, later time.Time) ([]Expiring, error) {
	var found []Expiring
	for c, err := range s.credentials.All(ctx) {
		if err != nil {
			return nil, err
		}
		if c.Kind != ServiceAccount || !c.MaySignIn(now) || c.MaySignIn(later) {
			continue
		}
		if _, err := s.Organization(ctx, c.Org); errors.Is(err, ErrNotFound) {
			continue // deleted with its organization
		} else if err != nil {
			return nil, err
		}
		e := Expiring{Credential: c, Expires: c.SecretsEnd()}
		for _, org := range c.Organizations() {
			if !c.owns(org, signIn{at: now}) {
				continue
			}
			err := s.checkOwners(ctx, []string{org}, c.ID, signIn{at: e.Expires})
			if errors.Is(err, ErrLastOwner) {
				e.Owner = append(e.Owner, org)
			} else if err != nil {
				return nil, err
			}
		}
		found = append(found, e)
	}
	return found, nil
}
