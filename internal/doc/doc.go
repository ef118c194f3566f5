// Package doc stores small versioned documents in a bucket. The versions of a document are the objects
// <prefix>/<version>.json; the highest counts. A change creates the next version with PutNew, so one of several
// concurrent changes succeeds, and the others get ErrConflict.
//
// The bucket must be one that seals its objects (package seal), so that only versions that nodes wrote count.
//
// Versions are never deleted, except by Clean. If one were, a process that slept since reading the version below could
// create it again and believe that its change took effect.
package doc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
)

// ErrConflict is returned (wrapped) by Write if another writer has created the version.
var ErrConflict = errors.New("the document was changed at the same time by another request or node")

// stored is the content of a version's object.
type stored struct {
	Nonce   string          `json:"nonce"` // tells equal changes by different writers apart
	Content json.RawMessage `json:"content"`
	Sum     string          `json:"sum"` // see sum
}

// sum returns SHA-256 of the key, a line feed, and the content as it is stored, in hexadecimal. With it, a reader
// without the nodes' secret finds damage, and a version that is stored under another key.
func sum(key string, content []byte) string {
	h := sha256.New()
	io.WriteString(h, key+"\n")
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// ErrDamaged is returned (wrapped) for an object that is not a version of a document as it was written.
var ErrDamaged = errors.New("it is damaged")

// decode reads the version at a key.
func decode(key string, data []byte) (stored, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if s.Nonce == "" || len(s.Content) == 0 || s.Sum != sum(key, s.Content) {
		return s, fmt.Errorf("%w: its digest is not that of a version with this key", ErrDamaged)
	}
	return s, nil
}

// Check returns ErrDamaged (wrapped) unless data is a version of a document that was written at this key.
func Check(key string, data []byte) error {
	_, err := decode(key, data)
	return err
}

func key(prefix string, version int64) string { return fmt.Sprintf("%s/%010d.json", prefix, version) }

// Missing finds gaps in a listing. Given two consecutive keys of a document (before is empty for the first), it returns
// the key of the first missing version between them. It returns "" if none is missing, or if at is not the key of a
// version.
func Missing(before, at string) string {
	prefix, version, ok := parse(at)
	if !ok {
		return ""
	}
	expected := int64(1)
	if p, v, ok := parse(before); ok && p == prefix {
		expected = v + 1
	}
	if version == expected {
		return ""
	}
	return key(prefix, expected)
}

// parse splits the key of a version into the prefix of its document and its number.
func parse(k string) (prefix string, version int64, ok bool) {
	i := strings.LastIndexByte(k, '/')
	if i < 0 {
		return "", 0, false
	}
	version, err := strconv.ParseInt(strings.TrimSuffix(k[i+1:], ".json"), 10, 64)
	return k[:i], version, err == nil && key(k[:i], version) == k
}

// Highest returns the highest version of the document at prefix, or known if there is no higher one. It returns 0 if
// known is 0 and there is no document.
func Highest(ctx context.Context, b bucket.Bucket, prefix string, known int64) (int64, error) {
	after := ""
	if known > 0 {
		after = key(prefix, known)
	}
	for info, err := range b.List(ctx, prefix+"/", after) {
		if err != nil {
			return 0, err
		}
		of, version, ok := parse(info.Key)
		if !ok || of != prefix {
			return 0, fmt.Errorf("%s is not a version of a document", info.Key)
		}
		known = version
	}
	return known, nil
}

// Read decodes the newest version of the document at prefix into v, and returns its number. If there is no document, it
// returns bucket.ErrNotExist (wrapped).
func Read(ctx context.Context, b bucket.Bucket, prefix string, v any) (version int64, err error) {
	version, err = Highest(ctx, b, prefix, 0)
	if err != nil {
		return 0, err
	}
	if version == 0 {
		return 0, fmt.Errorf("document %s: %w", prefix, bucket.ErrNotExist)
	}
	s, err := read(ctx, b, prefix, version)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(s.Content, v); err != nil {
		return 0, fmt.Errorf("document %s: %w", key(prefix, version), err)
	}
	return version, nil
}

func read(ctx context.Context, b bucket.Bucket, prefix string, version int64) (stored, error) {
	var s stored
	data, err := bucket.Read(ctx, b, key(prefix, version), bucket.Range{})
	if err == nil {
		s, err = decode(key(prefix, version), data)
	}
	if err != nil {
		return s, fmt.Errorf("document %s: %w", key(prefix, version), err)
	}
	return s, nil
}

// Write stores v as the version after the given one, which is 0 for a new document. If there is such a version already,
// it returns ErrConflict (wrapped).
func Write(ctx context.Context, b bucket.Bucket, prefix string, version int64, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("document %s: %w", prefix, err)
	}
	s := stored{Nonce: rand.Text(), Content: content, Sum: sum(key(prefix, version+1), content)}
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("document %s: %w", prefix, err)
	}
	err = b.PutNew(ctx, key(prefix, version+1), data)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bucket.ErrExist):
		return fmt.Errorf("document %s, version %d: %w", prefix, version+1, ErrConflict)
	}
	switch there, readErr := read(ctx, b, prefix, version+1); {
	case readErr == nil && there.Nonce == s.Nonce:
		return nil
	case readErr == nil: // another writer's, so this write can never take effect
		return fmt.Errorf("document %s, version %d: %w", prefix, version+1, ErrConflict)
	}
	return fmt.Errorf("document %s: %w", prefix, err)
}

// Clean deletes the versions up to upTo. It is only for a document whose changes may be lost: a writer that slept may
// create a deleted version again, which is below the highest then and does not count.
func Clean(ctx context.Context, b bucket.Bucket, prefix string, upTo int64) error {
	var old []string
	for info, err := range b.List(ctx, prefix+"/", "") {
		if err != nil {
			return err
		}
		if info.Key > key(prefix, upTo) {
			break
		}
		old = append(old, info.Key)
	}
	return b.Delete(ctx, old...)
}

// ErrPutBack is returned (wrapped) by Update if the newest version of the document is older than one that it had
// before.
var ErrPutBack = errors.New("the document was put back to an older version; put the newer ones back from a copy")

// Update reads the document at prefix into v, calls change with it, and writes it. If another writer was faster, it
// starts again, so change may be called several times. It returns the new document and its version. An error of change
// ends it. known is a version that the document has had, or 0. If the newest one is older, Update returns ErrPutBack
// (wrapped), since the document is not current.
func Update[T any](ctx context.Context, b bucket.Bucket, prefix string, known int64, change func(*T) error) (T, int64,
	error) {
	for {
		var v T
		version, err := Read(ctx, b, prefix, &v)
		if err == nil && version < known {
			err = fmt.Errorf("document %s, version %d: %w", prefix, version, ErrPutBack)
		}
		if err == nil {
			err = change(&v)
		}
		if err != nil {
			return v, version, err
		}
		if err = Write(ctx, b, prefix, version, v); !errors.Is(err, ErrConflict) {
			return v, version + 1, err
		}
	}
}
