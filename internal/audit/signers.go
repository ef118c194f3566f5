package audit

import (
	"context"
	"errors"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
)

// Signers tells which keys signed the logs of a bucket, as far as the sampled logs show.
type Signers struct {
	Logs   int      // number of logs that were read
	Known  bool     // one of the given keys signed one of them
	Wanted []string // key names in a log's signatures, if no key is known
	Given  []string // names of the given keys as that log's signatures would have them
}

// maxSigners is the number of logs that FindSigners reads, so that one damaged manifest does not hide the others.
const maxSigners = 8

// FindSigners reads the highest manifests of some logs of a bucket, up to the first that a trusted key signed. The
// names of keys that it returns are not trusted: anybody who can write the bucket can choose them.
func FindSigners(ctx context.Context, b bucket.Bucket, keys *proof.Keys, origin string) (Signers, error) {
	var found Signers
	for log, err := range (&Auditor{Bucket: b}).Logs(ctx) {
		if err != nil {
			return found, err
		}
		if err := found.look(ctx, b, log, keys, origin+"/"+log); err != nil {
			return found, err
		}
		if found.Known || found.Logs == maxSigners {
			break
		}
	}
	return found, nil
}

// look adds the signatures of one log.
func (f *Signers) look(ctx context.Context, b bucket.Bucket, log string, keys *proof.Keys, origin string) error {
	version, err := manifest.Highest(ctx, b, log, 0)
	if err != nil || version == 0 {
		return err
	}
	data, err := bucket.Read(ctx, b, manifest.Key(log, version), bucket.Range{})
	if errors.Is(err, bucket.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := manifest.Decode(data, log, version)
	if err != nil {
		return nil // damaged, and shows nothing
	}
	f.Logs++
	if m.Verify(data, keys, origin) == nil {
		f.Known = true
		return nil
	}
	var untrusted *proof.UntrustedError
	if len(f.Wanted) == 0 && m.Entries > 0 && errors.As(m.VerifyCheckpoint(keys, origin), &untrusted) {
		f.Wanted, f.Given = untrusted.SignedBy, untrusted.TrustedIDs()
	}
	return nil
}
