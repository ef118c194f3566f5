package manifest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/segment"
)

// Keys of the objects of a log. A random part distinguishes objects of two writers for the same entries. Names are
// never used twice.

// LogPrefix returns the prefix of the keys of a log's objects.
func LogPrefix(log string) string { return layout.Manifest.Prefix() + log + "/" }

// Prefix returns the prefix of the keys of a log's manifests.
func Prefix(log string) string { return layout.Manifest.Prefix(log) }

// Key returns the key of a version of a log's manifest.
func Key(log string, version int64) string {
	return fmt.Sprintf("%s%012d.json", Prefix(log), version)
}

// Highest returns the highest version of a log's manifest above known, or known if there is none.
func Highest(ctx context.Context, b bucket.Bucket, log string, known int64) (int64, error) {
	after := ""
	if known > 0 {
		after = Key(log, known)
	}
	for info, err := range b.List(ctx, Prefix(log), after) {
		if err != nil {
			return 0, err
		}
		if known, err = VersionOf(log, info.Key); err != nil {
			return 0, err
		}
	}
	return known, nil
}

// VersionOf returns the version of the manifest with a key.
func VersionOf(log, key string) (int64, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(key, Prefix(log)), ".json")
	v, err := strconv.ParseInt(name, 10, 64)
	if err != nil || Key(log, v) != key {
		return 0, fmt.Errorf("%s is not the key of a manifest", key)
	}
	return v, nil
}

// SegmentPrefix returns the prefix of the keys of a log's segments.
func SegmentPrefix(log string) string { return layout.Segment.Prefix(log) }

// NewSegmentKey returns a new key for a segment whose first entry has the index first.
func NewSegmentKey(log string, first int64) string {
	return SegmentsFrom(log, first) + RandomID() + ".gz"
}

var segmentName = regexp.MustCompile(`^[0-9]{15,}-[0-9a-f]{16}\.gz$`)

// IsSegmentKey tells whether a key has the form of those of NewSegmentKey for a log.
func IsSegmentKey(log, key string) bool {
	name, ok := strings.CutPrefix(key, SegmentPrefix(log))
	return ok && segmentName.MatchString(name)
}

// SegmentsFrom returns the prefix of the keys of segments whose first entry has the index first.
func SegmentsFrom(log string, first int64) string {
	return fmt.Sprintf("%s%015d-", SegmentPrefix(log), first)
}

// BesidePrefix returns the prefix of the keys of the objects beside a log's segments.
func BesidePrefix(log string) string { return layout.Beside.Prefix(log) }

// NewBesideKey returns a new key for an object beside a segment whose first entry has the index first.
func NewBesideKey(log string, part segment.ID, first int64) string {
	return fmt.Sprintf("%s%s/%015d-%s", BesidePrefix(log), part, first, RandomID())
}

// HistoryPrefix returns the prefix of the keys of a log's history objects.
func HistoryPrefix(log string) string { return layout.History.Prefix(log) }

// NewHistoryKey returns a new key for a history object whose first entry has the index first.
func NewHistoryKey(log string, first int64) string {
	return fmt.Sprintf("%s%015d-%s.json", HistoryPrefix(log), first, RandomID())
}

// DigestsPrefix returns the prefix of the keys of the digests of a log's removed entries.
func DigestsPrefix(log string) string { return layout.Digests.Prefix(log) }

// NewDigestsKey returns a new key for digests whose first entry has the index first.
func NewDigestsKey(log string, first int64) string {
	return fmt.Sprintf("%s%015d-%s", DigestsPrefix(log), first, RandomID())
}

// CosignaturePrefix returns the prefix of the keys of the cosignatures of a log's checkpoints.
func CosignaturePrefix(log string) string { return layout.Cosignature.Prefix(log) }

// CosignaturesOf returns the prefix of the keys of the cosignatures of the checkpoint of a size.
func CosignaturesOf(log string, size int64) string {
	return fmt.Sprintf("%s%015d-", CosignaturePrefix(log), size)
}

// NewCosignatureKey returns a new key for a cosignature of the checkpoint of a size.
func NewCosignatureKey(log string, size int64) string { return CosignaturesOf(log, size) + RandomID() }

// RandomID returns 16 random hexadecimal digits.
func RandomID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
