package gzipmember

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

func gunzip(t testing.TB, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Members and asides in any order are one gzip file with the members' bytes, for any reader.
func TestMembersAndAsidesAreOneFile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		object, want := Append(nil, nil, Fast), []byte(nil)
		for range rapid.IntRange(1, 6).Draw(rt, "parts") {
			data := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(rt, "data"),
				rapid.IntRange(0, 3000).Draw(rt, "times"))
			if rapid.Bool().Draw(rt, "aside") {
				before := len(object)
				object = AppendAside(object, ID{'W', 'X'}, data)
				if got := len(object) - before; got != AsideSize(len(data)) {
					rt.Fatalf("aside of %d bytes takes %d, AsideSize says %d", len(data), got, AsideSize(len(data)))
				}
				got, err := Aside(object[before:], ID{'W', 'X'})
				if err != nil || !bytes.Equal(got, data) {
					rt.Fatalf("aside of %d bytes: got %d, %v", len(data), len(got), err)
				}
				continue
			}
			before := len(object)
			object = Append(object, data, Level(rapid.IntRange(0, 1).Draw(rt, "level")))
			got, err := Decode(nil, object[before:], int64(len(data)))
			if err != nil || !bytes.Equal(got, data) {
				rt.Fatalf("member of %d bytes: got %d, %v", len(data), len(got), err)
			}
			for _, wrong := range []int64{int64(len(data)) - 1, int64(len(data)) + 1} {
				if _, err := Decode(nil, object[before:], max(wrong, 0)); len(data) > 0 && !errors.Is(err, ErrCorrupt) {
					rt.Fatalf("member of %d bytes as %d: %v, want ErrCorrupt", len(data), wrong, err)
				}
			}
			want = append(want, data...)
		}
		if got := gunzip(t, object); !bytes.Equal(got, want) {
			rt.Fatalf("gunzip gives %d bytes, want %d", len(got), len(want))
		}
	})
}

// Pieces of any members make one member, which readers accept that stop after the first member.
func TestPiecesMakeOneMember(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		file, want, sum := []byte(Head), []byte(nil), Sum{}
		for range rapid.IntRange(0, 6).Draw(rt, "pieces") {
			data := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(rt, "data"),
				rapid.IntRange(0, 3000).Draw(rt, "times"))
			member := Append(nil, data, Level(rapid.IntRange(0, 1).Draw(rt, "level")))
			piece, s, err := Piece(member, int64(len(data)))
			if err != nil || s != SumOf(data) {
				rt.Fatalf("piece of %d bytes: %+v, %v", len(data), s, err)
			}
			file, want, sum = append(file, piece...), append(want, data...), sum.Then(s)
		}
		file = AppendTail(file, sum)
		src := bytes.NewReader(file)
		z, err := gzip.NewReader(src)
		if err != nil {
			rt.Fatal(err)
		}
		z.Multistream(false)
		got, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(got, want) || src.Len() > 0 {
			rt.Fatalf("the member holds %d bytes of %d, %d bytes follow: %v", len(got), len(want), src.Len(), err)
		}
	})
}

// Deflate data that another piece could not follow is not a piece.
func TestDataThatNoPieceCanFollowIsRefused(t *testing.T) {
	data := bytes.Repeat([]byte("some lines\n"), 500)
	piece, _ := Compress(nil, data, Small)
	var ended bytes.Buffer
	z, err := flate.NewWriter(&ended, flate.DefaultCompression)
	if err == nil {
		z.Write(data)
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing":              nil,
		"with a last block":    ended.Bytes(),
		"with a last block, 2": append(bytes.Clone(piece), lastBlock...),
		"cut off":              piece[:len(piece)-1],
		"no sync marker":       piece[:len(piece)-4],
		"more behind":          append(bytes.Clone(piece), 'x'),
	} {
		if _, err := Decompress(nil, bad, int64(len(data))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

// Any damage to a member is found.
func TestDamageToAMemberIsFound(t *testing.T) {
	data := bytes.Repeat([]byte("some lines\n"), 300)
	member := Append(nil, data, Fast)
	for i := range member {
		damaged := bytes.Clone(member)
		damaged[i] ^= 0x10
		if got, err := Decode(nil, damaged, int64(len(data))); err == nil && !bytes.Equal(got, data) ||
			err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: %d bytes, %v", i, len(got), err)
		}
	}
	for n := range member {
		if _, err := Decode(nil, member[:n], int64(len(data))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d bytes: %v, want ErrCorrupt", n, err)
		}
	}
}

// Any damaged byte of an aside that weir reads is found.
func TestDamageToAnAsideIsFound(t *testing.T) {
	aside := AppendAside(nil, ID{'W', 'X'}, []byte("some index"))
	for i := range aside {
		damaged := bytes.Clone(aside)
		damaged[i] ^= 0x10
		got, err := Aside(damaged, ID{'W', 'X'})
		if err == nil && string(got) != "some index" {
			t.Errorf("byte %d: got %q without an error", i, got)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: %v, want ErrCorrupt", i, err)
		}
	}
}

func FuzzAside(f *testing.F) {
	f.Add(AppendAside(nil, ID{'W', 'X'}, []byte("some index")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := Aside(data, ID{'W', 'X'}); err == nil {
			if again, err := Aside(AppendAside(nil, ID{'W', 'X'}, got), ID{'W', 'X'}); err != nil ||
				!bytes.Equal(again, got) {
				t.Errorf("%q becomes %q, %v", got, again, err)
			}
		}
	})
}

// The members of an aside of any length are within the limits of strict readers: no extra field is over 16 KiB.
func TestAsideSuitsStrictReaders(t *testing.T) {
	const limit = 16 << 10
	for _, n := range []int{0, 1, limit - 8, limit - 4, limit, limit + 1, 40_000, 65_531, 300_000} {
		aside := AppendAside(nil, ID{'W', 'X'}, make([]byte, n))
		if len(aside) != AsideSize(n) {
			t.Errorf("%d bytes: the aside has %d bytes, AsideSize says %d", n, len(aside), AsideSize(n))
		}
		src := bytes.NewReader(aside) // an io.ByteReader, so that no more than a member is read
		var z gzip.Reader
		for src.Len() > 0 {
			if err := z.Reset(src); err != nil {
				t.Fatal(err)
			}
			z.Multistream(false)
			if data, err := io.ReadAll(&z); err != nil || len(data) > 0 || len(z.Extra) > limit {
				t.Fatalf("%d bytes: a member with an extra field of %d bytes holds %d bytes, %v", n, len(z.Extra),
					len(data), err)
			}
		}
	}
}
