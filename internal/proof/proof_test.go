package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The tree agrees with golang.org/x/mod/sumdb/tlog at every size.
func TestTreeAgreesWithSumdb(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, i := range indexes {
			hashes = append(hashes, stored[i])
		}
		return hashes, nil
	})
	var tree Tree
	groups := 0
	for i := range int64(1500) {
		digest := Digest(fmt.Append(nil, "line ", i))
		hashes, err := tlog.StoredHashes(i, digest[:], reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		group, complete := tree.Append(Leaf(digest))
		if complete != ((i+1)%Group == 0) {
			t.Fatalf("entry %d completes a group: %t", i, complete)
		}
		if complete {
			if want := stored[tlog.StoredHashIndex(8, int64(groups))]; group != want {
				t.Fatalf("group %d is %v, want %v", groups, group, want)
			}
			groups++
		}
		want, err := tlog.TreeHash(i+1, reader)
		if err != nil || tree.Root() != want || tree.Size != i+1 || tree.Check() != nil {
			t.Fatalf("size %d: root %v, want %v, %v", i+1, tree.Root(), want, err)
		}
	}
}

func TestKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	keys, created, err := LoadOrCreateKeys(file)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	k := keys.Signers[0]
	again, created, err := LoadOrCreateKeys(file)
	if err != nil || created || again.Signers[0].String() != k.String() {
		t.Errorf("%t, %v", created, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for range 200 { // with and without '+' in their base64
		k, err := GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKey(k.String())
		if err != nil || !again.private.Equal(k.private) {
			t.Fatalf("%s: %v", k, err)
		}
	}
	for _, text := range []string{"", "PRIVATE+KEY+x", "weir+00000000+AA==", strings.Replace(k.String(), "weir",
		"other", 1)} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	signed, err := keys.SignCheckpoint("example.org/log", 7, Digest(nil))
	if err != nil {
		t.Fatal(err)
	}
	public, err := VerifierKey("example.org/log", k.Public())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCheckpoint([]byte(signed), verifier)
	if err != nil || c.Origin != "example.org/log" || c.N != 7 || c.Hash != Digest(nil) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := OpenCheckpoint([]byte(strings.Replace(signed, "\n7\n", "\n8\n", 1)), verifier); err == nil {
		t.Error("a changed checkpoint verifies")
	}
}
