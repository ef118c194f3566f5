// Package wal is the write-ahead log. Events become durable here before they are acknowledged, and wait here until they
// are sequenced into their logs.
//
// A WAL object is written once, under a name that is never used again, and deleted after all its events are in their
// logs. It consists of sections, each a run of events of one log (see object.go). Its name begins with the time of its
// writing, so a listing is in order of arrival. Each shard has its own prefix.
package wal

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/bucket/layout"
)

// ShardOf returns which of n shards a log belongs to. It never changes for a bucket.
func ShardOf(log string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(log))
	return int(h.Sum64() % uint64(n))
}

var root = layout.WAL.Prefix()

// Prefix returns the prefix of the keys of a shard's WAL objects.
func Prefix(shard int) string { return fmt.Sprintf("%s%02d/", root, shard) }

// shardOf returns the shard of the WAL object with a key.
func shardOf(key string) (shard int, ok bool) {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, root), "/")
	n, err := strconv.ParseUint(name, 10, 16)
	return int(n), err == nil && strings.HasPrefix(key, Prefix(int(n)))
}

// namer makes the keys of the objects of one writer: 12 hex digits of the time in milliseconds, 4 that order those of
// one millisecond, and 48 random bits. So the objects of a writer are listed in the order of writing, even if the clock
// is set back.
type namer struct {
	shard int
	last  int64 // milliseconds
	count uint16
}

func (n *namer) key(now time.Time) string {
	if ms := now.UnixMilli(); ms > n.last {
		n.last, n.count = ms, 0
	} else if n.count++; n.count == 0 {
		n.last++
	}
	var random [6]byte
	rand.Read(random[:]) // never fails
	return fmt.Sprintf("%s%012x-%04x%s.gz", Prefix(n.shard), n.last, n.count, hex.EncodeToString(random[:]))
}

// Written returns the time in the key of a WAL object.
func Written(key string) (time.Time, error) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	stamp, _, ok := strings.Cut(name, "-")
	ms, err := strconv.ParseInt(stamp, 16, 64)
	if !ok || err != nil {
		return time.Time{}, fmt.Errorf("%s is not the key of a WAL object", key)
	}
	return time.UnixMilli(ms), nil
}
