package watch

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/proof"
)

const testOrigin = "example.org/log"

// fakeLog serves tiles and a checkpoint of a tree as https://c2sp.org/tlog-tiles says. It is an http.RoundTripper, so
// tests need no network.
type fakeLog struct {
	t      *testing.T
	keys   *proof.Keys
	hashes []tlog.Hash // in the order of golang.org/x/mod/sumdb/tlog
	size   int64
	broken func(path string, data []byte) (status int, answer []byte) // if not nil, it may change an answer
	mu     *sync.Mutex
	asked  []string
}

func newLog(t *testing.T, k *proof.Keys, entries int) *fakeLog {
	l := &fakeLog{t: t, keys: k, mu: new(sync.Mutex)}
	l.grow(entries, "entry")
	return l
}

// grow appends n entries that begin with word.
func (l *fakeLog) grow(n int, word string) {
	for range n {
		more, err := tlog.StoredHashes(l.size, fmt.Append(nil, word, " ", l.size), l.reader())
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes, l.size = append(l.hashes, more...), l.size+1
	}
}

func (l *fakeLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, i := range indexes {
			if i >= int64(len(l.hashes)) {
				return nil, fmt.Errorf("there is no hash %d", i)
			}
			found = append(found, l.hashes[i])
		}
		return found, nil
	})
}

func (l *fakeLog) checkpoint() string {
	root, err := tlog.TreeHash(l.size, l.reader())
	if err != nil {
		l.t.Fatal(err)
	}
	signed, err := l.keys.SignCheckpoint(testOrigin, l.size, root)
	if err != nil {
		l.t.Fatal(err)
	}
	return signed
}

func (l *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/log/")
	l.mu.Lock()
	l.asked = append(l.asked, path)
	l.mu.Unlock()
	status, data := http.StatusOK, []byte(l.checkpoint())
	if path != "checkpoint" {
		status, data = l.tile(path)
	}
	if l.broken != nil {
		status, data = l.broken(path, data)
	}
	w.WriteHeader(status)
	w.Write(data)
}

func (l *fakeLog) tile(path string) (status int, data []byte) {
	t, err := torchwood.ParseTilePath(path)
	if err == nil {
		data, err = tlog.ReadTileData(t, l.reader())
	}
	if err != nil {
		return http.StatusNotFound, nil
	}
	return http.StatusOK, data
}

// server is an http.RoundTripper that calls a Handler directly.
type server struct{ http.Handler }

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

// keys returns n signing keys.
func keys(t testing.TB, n int) *proof.Keys {
	var signers []proof.Key
	for range n {
		k, err := proof.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, k)
	}
	return proof.NewKeys(signers...)
}
