package wal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/gzipmember"
)

// Plan says which WAL objects of a shard are sequenced together. The highest-numbered plan of a shard is the current
// one; all others count for nothing, except that a manifest may name the last plan applied to its log.
type Plan struct {
	Number  int64    `json:"number"` // from 1
	Nonce   string   `json:"nonce"`  // tells it from another plan under the same number
	Objects []string `json:"objects"`

	// Sum is a digest of the rest. A name that was damaged would look like an object that is gone, so like a plan that is
	// finished, and what it names would be deleted. Empty: the plan is from before there were sums.
	Sum string `json:"sum,omitempty"`
}

func (p Plan) sum() string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %q", p.Number, p.Nonce, p.Objects))
	return hex.EncodeToString(h[:])
}

// decodePlan reads a plan.
func decodePlan(data []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return p, err
	}
	if p.Sum != "" && p.Sum != p.sum() {
		return p, fmt.Errorf("%w, its digest is another one", gzipmember.ErrCorrupt)
	}
	return p, nil
}

func planPrefix(shard int) string { return fmt.Sprintf("plans/%02d/", shard) }

func planKey(shard int, number int64) string {
	return fmt.Sprintf("%s%012d.json", planPrefix(shard), number)
}

// NewPlan returns a plan with a fresh nonce.
func NewPlan(number int64, objects []string) Plan {
	p := Plan{Number: number, Nonce: rand.Text(), Objects: objects}
	p.Sum = p.sum()
	return p
}

// HighestPlan returns the number of the current plan of a shard, 0 if there is none, and the keys of those below it.
func HighestPlan(ctx context.Context, b bucket.Bucket, shard int) (number int64, older []string, err error) {
	for info, err := range b.List(ctx, planPrefix(shard), "") {
		if err != nil {
			return 0, nil, err
		}
		if number > 0 {
			older = append(older, planKey(shard, number))
		}
		name := strings.TrimSuffix(strings.TrimPrefix(info.Key, planPrefix(shard)), ".json")
		if number, err = strconv.ParseInt(name, 10, 64); err != nil {
			return 0, nil, fmt.Errorf("%s is not the key of a plan", info.Key)
		}
	}
	return number, older, nil
}

// ReadPlan returns a plan; bucket.ErrNotExist (wrapped) if it was cleaned away.
func ReadPlan(ctx context.Context, b bucket.Bucket, shard int, number int64) (Plan, error) {
	key := planKey(shard, number)
	data, err := bucket.Read(ctx, b, key, bucket.Range{})
	if err != nil {
		return Plan{}, err
	}
	p, err := decodePlan(data)
	if err != nil {
		return Plan{}, fmt.Errorf("read %s: %w", key, err)
	}
	return p, nil
}

// CreatePlan makes p the plan of its number, and fails with bucket.ErrExist if there is one. Whether p then is the
// current plan, HighestPlan must tell: a sleeper may have created an old number again after it was cleaned away.
func CreatePlan(ctx context.Context, b bucket.Bucket, shard int, p Plan) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	err = b.PutNew(ctx, planKey(shard, p.Number), data)
	if err == nil || errors.Is(err, bucket.ErrExist) {
		return err
	}
	// The outcome is unknown. The nonce makes the bytes ours alone.
	if there, readErr := ReadPlan(ctx, b, shard, p.Number); readErr == nil && there.Nonce == p.Nonce {
		return nil
	}
	return err
}
