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
	"github.com/weirlog/weir/internal/seal"
)

// Plan says which WAL objects of a shard are sequenced together. The highest-numbered plan of a shard is the current
// one; all others count for nothing, except that a manifest may name the last plan applied to its log.
type Plan struct {
	Number  int64    `json:"number"` // from 1
	Nonce   string   `json:"nonce"`  // tells it from another plan under the same number
	Objects []string `json:"objects"`

	Sum string `json:"sum"` // digest of the rest, hexadecimal SHA-256
}

func (p Plan) sum() string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %q", p.Number, p.Nonce, p.Objects))
	return hex.EncodeToString(h[:])
}

// decodePlan reads the plan with a number.
func decodePlan(data []byte, number int64) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%w: %w", seal.ErrForged, err)
	}
	if p.Sum != p.sum() {
		return p, fmt.Errorf("%w: its digest does not fit", seal.ErrForged)
	}
	if p.Number != number {
		return p, fmt.Errorf("%w: it is plan %d", seal.ErrForged, p.Number)
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
func (r *Reader) HighestPlan(ctx context.Context, shard int) (number int64, older []string, err error) {
	for info, err := range r.bucket.List(ctx, planPrefix(shard), "") {
		if err != nil {
			return 0, nil, err
		}
		n, err := planNumber(shard, info.Key)
		if err != nil {
			continue // a stray object, which a check of the bucket names
		}
		if number > 0 {
			older = append(older, planKey(shard, number))
		}
		number = n
	}
	return number, older, nil
}

// planNumber returns the number in the key of a plan.
func planNumber(shard int, key string) (int64, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(key, planPrefix(shard)), ".json")
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || n <= 0 || planKey(shard, n) != key {
		return 0, fmt.Errorf("%s is not the key of a plan", key)
	}
	return n, nil
}

// ReadPlan returns a plan. The error wraps bucket.ErrNotExist if the plan was cleaned away, and seal.ErrForged if the
// object is damaged or no node with the nodes' secret made it.
func (r *Reader) ReadPlan(ctx context.Context, shard int, number int64) (Plan, error) {
	key := planKey(shard, number)
	data, err := bucket.Read(ctx, r.sealed, key, bucket.Range{})
	if err != nil {
		return Plan{}, err
	}
	p, err := decodePlan(data, number)
	if err != nil {
		return Plan{}, fmt.Errorf("read %s: %w", key, err)
	}
	return p, nil
}

// CreatePlan makes p the plan of its number, and fails with bucket.ErrExist if there is one. Whether p then is the
// current plan, HighestPlan must tell: a sleeper may have created an old number again after it was cleaned away.
func (r *Reader) CreatePlan(ctx context.Context, shard int, p Plan) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	err = r.sealed.PutNew(ctx, planKey(shard, p.Number), data)
	if err == nil || errors.Is(err, bucket.ErrExist) {
		return err
	}
	// The outcome is unknown. The nonce makes the bytes ours alone.
	if there, readErr := r.ReadPlan(ctx, shard, p.Number); readErr == nil && there.Nonce == p.Nonce {
		return nil
	}
	return err
}
