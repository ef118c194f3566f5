package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

func key(n byte) Key { return NewKey(bytes.Repeat([]byte{n}, 32)) }

func TestSealedBucketKeepsTheContract(t *testing.T) {
	bucketest.Run(t, func(*testing.T) bucket.Bucket { return NewBucket(bucketest.NewAnyKeys(), key(1)) })
}

// TestForgedObjectsAreNotRead tries what somebody with access to the bucket can do to an object.
func TestForgedObjectsAreNotRead(t *testing.T) {
	const name, content = "docs/a/0000000002.json", `{"roles":["READER"]}`
	sealed := key(1).Append(name, []byte(content))
	forged := map[string][]byte{
		"not sealed":           []byte(content),
		"empty":                {},
		"only a seal":          sealed[len(content):],
		"another secret":       key(2).Append(name, []byte(content)),
		"another key":          key(1).Append("docs/b/0000000002.json", []byte(content)),
		"another version":      key(1).Append("docs/a/0000000001.json", []byte(content)),
		"other content":        bytes.Replace(sealed, []byte("READER"), []byte("OWNER_"), 1),
		"cut":                  sealed[:len(sealed)-1],
		"with something added": append(bytes.Clone(sealed), '\n'),
		"key and data moved":   key(1).Append(name+content[:1], []byte(content[1:])),
	}
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		forged[fmt.Sprintf("a bit flipped at %d", i)] = flipped
	}
	for what, data := range forged {
		b := bucketest.NewAnyKeys()
		if err := b.Put(t.Context(), name, data); err != nil {
			t.Fatal(err)
		}
		got, err := bucket.Read(t.Context(), NewBucket(b, key(1)), name, bucket.Range{})
		if !errors.Is(err, ErrForged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: read %q, error %v", what, got, err)
		}
	}
}

// TestDamageOnTheWayIsReadAgain has a cache that gives out something else until it is told to forget it.
func TestDamageOnTheWayIsReadAgain(t *testing.T) {
	b := &staleCache{Bucket: bucketest.NewAnyKeys(), stale: true}
	sealed := NewBucket(b, key(1))
	if err := sealed.PutNew(t.Context(), "a", []byte("content")); err != nil {
		t.Fatal(err)
	}
	if got, err := bucket.Read(t.Context(), sealed, "a", bucket.Range{}); err != nil || string(got) != "content" {
		t.Errorf("read %q, error %v", got, err)
	}
}

type staleCache struct {
	bucket.Bucket
	stale bool
}

func (c *staleCache) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	if !c.stale {
		return c.Bucket.Get(ctx, key, r)
	}
	m := bucketest.NewAnyKeys()
	if err := m.Put(ctx, key, []byte("what a cache has damaged, at least as long as a seal, which has 60 "+
		"bytes or so")); err != nil {
		return nil, err
	}
	return m.Get(ctx, key, r)
}

func (c *staleCache) Forget(string) { c.stale = false }

func TestReaderWithoutTheSecret(t *testing.T) {
	b := bucketest.NewAnyKeys()
	if err := NewBucket(b, key(1)).Put(t.Context(), "a", []byte("content")); err != nil {
		t.Fatal(err)
	}
	unchecked := NewBucket(b, Key{})
	if got, err := bucket.Read(t.Context(), unchecked, "a", bucket.Range{Offset: 3}); err != nil ||
		string(got) != "tent" {
		t.Errorf("read %q, error %v", got, err)
	}
	for what, err := range map[string]error{
		"put":     unchecked.Put(t.Context(), "b", nil),
		"put new": unchecked.PutNew(t.Context(), "b", nil),
	} {
		if !errors.Is(err, ErrNoSecret) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// TestSealedDocumentIsJSON: jq and other tools read a sealed document as a sequence of two values.
func TestSealedDocumentIsJSON(t *testing.T) {
	d := json.NewDecoder(bytes.NewReader(key(1).Append("a", []byte(`{"name":"demo"}`))))
	var values []map[string]string
	for d.More() {
		var v map[string]string
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if len(values) != 2 || values[0]["name"] != "demo" || len(values[1]["seal"]) != 44 {
		t.Errorf("got %v", values)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add(key(1).Append("a", []byte(`{}`)))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		data, err := key(1).Open("a", sealed)
		if err == nil && !bytes.Equal(key(1).Append("a", data), sealed) {
			t.Errorf("%q is read as sealed, and would be sealed otherwise", sealed)
		}
	})
}
