package tlog

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/manifest"
)

// Witnesses add cosignatures (https://c2sp.org/tlog-cosignature) after a checkpoint was committed. So each is an object
// of its own, named by the size of the tree. A reader uses those that verify.

// IsCosignature tells whether a line is a valid signature of a checkpoint by a verifier's key.
func IsCosignature(checkpoint, line string, by note.Verifier) bool {
	text, _, ok := strings.Cut(checkpoint, "\n\n")
	if !ok || !strings.HasSuffix(line, "\n") || strings.Count(line, "\n") != 1 {
		return false
	}
	n, err := note.Open([]byte(text+"\n\n"+line), note.VerifierList(by))
	return err == nil && len(n.Sigs) == 1
}

// Signed returns the checkpoint with its cosignatures, in the published form.
func (h Head) Signed() string { return h.Checkpoint + strings.Join(h.Cosignatures, "") }

// CosignedBy tells whether one of the cosignatures is by a verifier's key.
func (h Head) CosignedBy(v note.Verifier) bool {
	for _, line := range h.Cosignatures {
		if IsCosignature(h.Checkpoint, line, v) {
			return true
		}
	}
	return false
}

// KeepCosignature stores a cosignature of the checkpoint of a size, and deletes those of smaller sizes.
func (s *Logs) KeepCosignature(ctx context.Context, log string, size int64, line string) error {
	if err := s.bucket.PutNew(ctx, manifest.NewCosignatureKey(log, size), []byte(line)); err != nil {
		return err // the witness is asked again, and the next name differs
	}
	var old []string
	for info, err := range s.bucket.List(ctx, manifest.CosignaturePrefix(log), "") {
		if err != nil {
			return err
		}
		if info.Key >= manifest.CosignaturesOf(log, size) {
			break
		}
		old = append(old, info.Key)
	}
	return s.bucket.Delete(ctx, old...)
}

// cosignatures returns the valid cosignatures of a checkpoint by the configured witnesses, at most one each.
func (s *Logs) cosignatures(ctx context.Context, log string, h Head) ([]string, error) {
	if len(s.options.Witnesses) == 0 || h.Checkpoint == "" {
		return nil, nil
	}
	var good []string
	seen := map[string]bool{}
	for c, err := range manifest.Cosignatures(ctx, s.bucket, log, h.Size) {
		if err != nil {
			return nil, err
		}
		for _, v := range s.options.Witnesses {
			id := fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash())
			if !seen[id] && IsCosignature(h.Checkpoint, c.Line, v) {
				seen[id] = true
				good = append(good, c.Line)
			}
		}
	}
	return good, nil
}
