package connect

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// First remembers when things without a time of their own were received first, so that one that is sent again within
// minutes becomes the same event. It remembers a bounded number, in two generations: when the younger is full it
// becomes the older, and the older is forgotten. It may be used concurrently.
type First struct {
	limit int // of a generation

	mu             sync.Mutex
	younger, older map[[16]byte]int64
}

// NewFirst returns a First that remembers a number of things at most, each in some 50 bytes.
func NewFirst(limit int) *First { return &First{limit: limit / 2} }

// at returns when something was received first: now, if it is not remembered.
func (f *First) at(now int64, log string, identity ...[]byte) int64 {
	h := sha256.New()
	h.Write([]byte(log))
	for _, part := range identity {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	key := [16]byte(h.Sum(nil))
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.younger[key]; ok {
		return at
	}
	at, ok := f.older[key]
	if !ok {
		at = now
	}
	if len(f.younger) >= f.limit {
		f.older, f.younger = f.younger, nil
	}
	if f.younger == nil {
		f.younger = make(map[[16]byte]int64)
	}
	f.younger[key] = at
	return at
}
