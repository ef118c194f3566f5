package node

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/config"
)

// A disk that takes nothing makes a node unready, though the node lives, reads its bucket and has memory for requests.
func TestNodeWhoseDiskTakesNothingIsNotReady(t *testing.T) {
	c := config.Default()
	c.Bucket = filepath.Join(t.TempDir(), "bucket")
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	n, err := open(t.Context(), c, tuning{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if err := os.Remove(filepath.Join(c.Bucket, ".tmp")); err != nil { // where each new file begins
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200} {
		reply := httptest.NewRecorder()
		n.adminServer().Handler.ServeHTTP(reply, httptest.NewRequest("GET", path, nil))
		if reply.Code != want {
			t.Errorf("%s: %d %s, want %d", path, reply.Code, reply.Body, want)
		}
		if want == 503 && !strings.Contains(reply.Body.String(), "the disk of the bucket takes no file") {
			t.Errorf("%s: %q does not say why", path, reply.Body)
		}
	}
}
