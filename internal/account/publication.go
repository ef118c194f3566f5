package account

import "context"

// Publication says who may read the checkpoints of a log. It is a document of its own, under the log's id, so that a
// request without a credential does not cause reads of projects.
type Publication struct {
	Public bool   `json:"public"` // anybody may read them
	Owner  string `json:"owner"`  // id of the project, or of the organization
}

// Publication returns the publication of a log. By default a log is not public.
func (s *Directory) Publication(ctx context.Context, log string) (Publication, error) {
	p, err := s.publications.GetOrEmpty(ctx, log)
	if err != nil {
		return Publication{}, err
	}
	return *p, nil
}

// Publish stores the publication of a log.
func (s *Directory) Publish(ctx context.Context, log string, p Publication) error {
	_, err := s.publications.UpdateOrCreate(ctx, log, func(have *Publication) error { *have = p; return nil })
	return err
}
