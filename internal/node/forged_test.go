package node

import (
	"bytes"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// TestNodeNamesForgedEvents puts events into the write-ahead log without the secret. The node names the object, counts
// it, serves nothing of it, leaves it where it is, and goes on sequencing what was recorded.
func TestNodeNamesForgedEvents(t *testing.T) {
	c, dir := config.Default(), t.TempDir()
	c.Bucket, c.Shards = filepath.Join(dir, "bucket"), 1
	c.SigningKeyFile, c.SecretFile = filepath.Join(dir, "signing-key"), filepath.Join(dir, "key")
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	n, err := open(t.Context(), c, tuning{}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	const log = "0123456789abcdef01234567"
	other := seal.NewKey([]byte("not the secret of the nodes"))
	thief := wal.NewWriter(n.bucket, wal.NewReader(n.bucket, other, 1<<20), 0, func(int64) {})
	if err := thief.Append(t.Context(), batch(log, 1, 10, time.Now())); err != nil {
		t.Fatal(err)
	}
	thief.Close()
	if _, err := n.recorder.Record(t.Context(), batch(log, 2, 7, time.Now())); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := n.sequencers.Shard(0).Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	r, err := n.logs.Read(t.Context(), log, tlog.All)
	if err != nil || r.Next() != 7 {
		t.Errorf("%d entries are sequenced, want 7; %v", r.Next(), err)
	}
	left := 0
	for info, err := range n.bucket.List(t.Context(), "wal/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if left++; !strings.Contains(said.String(), info.Key) {
			t.Errorf("%s is not named in the log of the node", info.Key)
		}
	}
	if left != 1 {
		t.Errorf("%d objects are left in the write-ahead log, want the forged one", left)
	}
	metrics, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, m := range metrics {
		if m.GetName() == "weir_wal_forged_total" {
			counted = m.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != 1 {
		t.Errorf("weir_wal_forged_total is %v, want 1", counted)
	}
}
