package account

import "context"

// Publication says who may see the checkpoints of a log. It is a
// document of its own, under the log's id, so that who asks without a credential makes nobody look at projects.
type Publication struct {
	Public bool   `json:"public"` // everybody
	Owner  string `json:"owner"`  // id of the project, or of the organization
}

// Publication returns that of a log. A log that has none is not public.
func (s *Directory) Publication(ctx context.Context, log string) (Publication, error) {
	p, err := s.publications.GetOrEmpty(ctx, log)
	if err != nil {
		return Publication{}, err
	}
	return *p, nil
}

// Publish sets the publication of a log.
func (s *Directory) Publish(ctx context.Context, log string, p Publication) error {
	_, err := s.publications.UpdateOrCreate(ctx, log, func(have *Publication) error { *have = p; return nil })
	return err
}
