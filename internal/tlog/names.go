package tlog

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/segment"
)

// The objects of a log. Random parts keep two writers of the same entries apart; names are never used twice.

func logPrefix(log string) string { return "logs/" + log + "/" }

func manifestPrefix(log string) string { return logPrefix(log) + "manifest/" }

func manifestKey(log string, version int64) string {
	return fmt.Sprintf("%s%012d.json", manifestPrefix(log), version)
}

// manifestVersion returns the version in a manifest's key.
func manifestVersion(log, key string) (int64, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(key, manifestPrefix(log)), ".json")
	v, err := strconv.ParseInt(name, 10, 64)
	if err != nil || manifestKey(log, v) != key {
		return 0, fmt.Errorf("%s is not the key of a manifest", key)
	}
	return v, nil
}

func segmentPrefix(log string) string { return "logs/" + log + "/segments/" }

func newSegmentKey(log string, first int64) string {
	return newSegmentPrefix(log, first) + randomID() + ".gz"
}

// newSegmentPrefix is what the keys of segments that begin with an entry begin with.
func newSegmentPrefix(log string, first int64) string {
	return fmt.Sprintf("%s%015d-", segmentPrefix(log), first)
}

func besidePrefix(log string) string { return logPrefix(log) + "beside/" }

func newBesideKey(log string, part segment.ID, first int64) string {
	return fmt.Sprintf("%s%s/%015d-%s", besidePrefix(log), part, first, randomID())
}

func newHistoryKey(log string, first int64) string {
	return fmt.Sprintf("logs/%s/history/%015d-%s.json", log, first, randomID())
}

func newDigestsKey(log string, first int64) string {
	return fmt.Sprintf("%sdigests/%015d-%s", logPrefix(log), first, randomID())
}

func cosignaturePrefix(log string) string { return logPrefix(log) + "cosignatures/" }

// cosignaturesOf is what the keys of the cosignatures of a size begin with.
func cosignaturesOf(log string, size int64) string {
	return fmt.Sprintf("%s%015d-", cosignaturePrefix(log), size)
}

func newCosignatureKey(log string, size int64) string { return cosignaturesOf(log, size) + randomID() }

func randomID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
