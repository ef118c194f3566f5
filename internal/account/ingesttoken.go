package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// The text of an ingest token is the id of its credential, a random part of 130 bits, and the CRC-32 of both:
//
//	weir_6a793f48c0eb9e7a17712f00 k7xq2mwp4zt5aohs3b6c7d2e4f 1f0c9a7e   (without the spaces)
//
// So weir refuses most wrong texts without reading from the bucket, and secret scanners recognize tokens.
const (
	tokenPrefix = "weir_"
	tokenID     = len(tokenPrefix) + 24
	tokenRandom = 26
	tokenCheck  = 8
	tokenLength = tokenID + tokenRandom + tokenCheck
)

// NewIngestToken returns an ingest token of a project, and its text, which is not stored. It may only record events, in
// all workspaces of the project, or only in w if w is not nil. If life is 0, it never expires.
func NewIngestToken(p *Project, w *Workspace, name string, now time.Time, life time.Duration) (Credential, string) {
	id := NewID(now)
	text := tokenPrefix + id + strings.ToLower(rand.Text())
	text += checkOf(text)
	sum := sha256.Sum256([]byte(text))
	c := Credential{ID: tokenPrefix + id, Kind: IngestToken, UserID: id, Org: p.Org, Name: name, Created: now.UTC(),
		Roles: []Grant{{Project: p.ID, Role: GroupAuditLogWriter}},
		Token: Token{SHA256: sum[:], Masked: tokenPrefix + id + "…" + text[len(text)-4:]}}
	if w != nil {
		c.Workspace = w.ID
	}
	if life > 0 {
		c.Token.Expires = now.Add(life).UTC()
	}
	return c, text
}

func checkOf(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// IsIngestToken tells whether a text begins like an ingest token.
func IsIngestToken(text string) bool { return strings.HasPrefix(text, tokenPrefix) }

// IngestTokenID returns the id of the credential in the text of a token. If the text does not have the form of a token,
// ok is false.
func IngestTokenID(text string) (id string, ok bool) {
	if len(text) != tokenLength || checkOf(text[:tokenLength-tokenCheck]) != text[tokenLength-tokenCheck:] {
		return "", false
	}
	id = text[:tokenID]
	return id, ValidCredentialID(IngestToken, id)
}

// UseInterval is the precision of a credential's last use: at most one use is recorded in this time.
const UseInterval = time.Hour

var errNoted = errors.New("the use is noted")

// NoteUse records that a credential was used, unless a use within UseInterval is recorded.
func (s *Directory) NoteUse(ctx context.Context, c *Credential, now time.Time) error {
	noted := func(c *Credential) bool { return now.Sub(c.Used) < UseInterval }
	if noted(c) {
		return nil
	}
	_, err := s.UpdateCredential(ctx, c.ID, func(c *Credential) error {
		if noted(c) {
			return errNoted
		}
		c.Used = now.UTC()
		return nil
	})
	if errors.Is(err, errNoted) {
		return nil
	}
	return err
}
