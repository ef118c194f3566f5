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
	"github.com/weirlog/weir/internal/segment"
)

// The objects of a log. Random parts keep two writers of the same entries apart; names are never used twice.

// LogPrefix is what the keys of a log's objects begin with.
func LogPrefix(log string) string { return "logs/" + log + "/" }

// Prefix is what the keys of a log's manifests begin with.
func Prefix(log string) string { return LogPrefix(log) + "manifest/" }

// Key returns the key of a version of a log's manifest.
func Key(log string, version int64) string {
	return fmt.Sprintf("%s%012d.json", Prefix(log), version)
}

// Highest returns the highest version of a log's manifest above known, or known.
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

// VersionOf returns the version in a manifest's key.
func VersionOf(log, key string) (int64, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(key, Prefix(log)), ".json")
	v, err := strconv.ParseInt(name, 10, 64)
	if err != nil || Key(log, v) != key {
		return 0, fmt.Errorf("%s is not the key of a manifest", key)
	}
	return v, nil
}

// SegmentPrefix is what the keys of a log's segments begin with.
func SegmentPrefix(log string) string { return LogPrefix(log) + "segments/" }

// NewSegmentKey returns a new key for a segment that begins with an entry.
func NewSegmentKey(log string, first int64) string {
	return SegmentsFrom(log, first) + RandomID() + ".gz"
}

var segmentName = regexp.MustCompile(`^[0-9]{15,}-[0-9a-f]{16}\.gz$`)

// IsSegmentKey tells whether a key is such as NewSegmentKey makes for a log.
func IsSegmentKey(log, key string) bool {
	name, ok := strings.CutPrefix(key, SegmentPrefix(log))
	return ok && segmentName.MatchString(name)
}

// SegmentsFrom is what the keys of segments that begin with an entry begin with.
func SegmentsFrom(log string, first int64) string {
	return fmt.Sprintf("%s%015d-", SegmentPrefix(log), first)
}

// BesidePrefix is what the keys of the objects beside a log's segments begin with.
func BesidePrefix(log string) string { return LogPrefix(log) + "beside/" }

// NewBesideKey returns a new key for an object beside a segment that begins with an entry.
func NewBesideKey(log string, part segment.ID, first int64) string {
	return fmt.Sprintf("%s%s/%015d-%s", BesidePrefix(log), part, first, RandomID())
}

// HistoryPrefix is what the keys of a log's history objects begin with.
func HistoryPrefix(log string) string { return LogPrefix(log) + "history/" }

// NewHistoryKey returns a new key for a history object whose segments begin with an entry.
func NewHistoryKey(log string, first int64) string {
	return fmt.Sprintf("%s%015d-%s.json", HistoryPrefix(log), first, RandomID())
}

// DigestsPrefix is what the keys of the digests of a log's removed entries begin with.
func DigestsPrefix(log string) string { return LogPrefix(log) + "digests/" }

// NewDigestsKey returns a new key for digests that begin with an entry's.
func NewDigestsKey(log string, first int64) string {
	return fmt.Sprintf("%s%015d-%s", DigestsPrefix(log), first, RandomID())
}

// CosignaturePrefix is what the keys of the cosignatures of a log's checkpoints begin with.
func CosignaturePrefix(log string) string { return LogPrefix(log) + "cosignatures/" }

// CosignaturesOf is what the keys of the cosignatures of a size begin with.
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
