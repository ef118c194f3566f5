package wal

import (
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/seal"
)

// A transfer that is cut off, at any place and any number of times, is an error of the read. The object does not count
// as damaged: it is read as soon as the connection holds.
func TestTransferThatIsCutOffIsNoDamage(t *testing.T) {
	k := seal.NewKey(make([]byte, 32))
	key, data := written(t, k)
	for at, whole := 0, false; !whole; at++ {
		b := bucketest.NewMemory()
		if err := b.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
		sent := 0
		faulty := &bucketest.Faulty{Bucket: b, Content: func(_ string, data []byte) []byte {
			data = data[:min(len(data), max(0, at-sent))]
			sent += len(data)
			return data
		}}
		r := NewReader(faulty, k, 1<<20)
		r.OnForged(func(object string, err error) { t.Errorf("cut off after %d bytes: %v", at, err) })
		for range 3 {
			sections, err := r.Sections(t.Context(), key)
			for _, s := range sections {
				if _, batchErr := r.Batch(t.Context(), s.Log, Place{key, s}); batchErr != nil {
					err = batchErr
				}
			}
			whole = err == nil
		}
		if whole && at <= len(data) {
			t.Fatalf("everything was read from %d bytes of %d", at, len(data))
		}
		faulty.Content = nil
		if lines := readAll(t, r, key); len(lines) != 3 {
			t.Fatalf("after a transfer that was cut off after %d bytes: %v", at, lines)
		}
	}
}
