package audit

import (
	"context"
	"strings"

	"github.com/weirlog/weir/internal/manifest"
)

// maxCosignatures bounds the cosignatures that an audit looks at: a signed note may have 100 signatures.
const maxCosignatures = 64

// Cosignatures returns the lines that are kept as cosignatures of the checkpoint that a log had at a size, whosever
// they are.
func (d *Auditor) Cosignatures(ctx context.Context, log string, size int64) (lines []string, err error) {
	for line, err := range manifest.Cosignatures(ctx, d.Bucket, log, size) {
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSuffix(line, "\n") + "\n"; strings.Count(line, "\n") == 1 &&
			len(lines) < maxCosignatures {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
