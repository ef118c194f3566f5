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
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/seal"
)

// Plan lists the WAL objects of a shard that are sequenced together. The plan with the highest number is the current
// plan of the shard. Other plans have no effect, except that a manifest may name the last plan that was applied to its
// log.
type Plan struct {
	Number  int64    `json:"number"` // from 1
	Nonce   string   `json:"nonce"`  // distinguishes it from another plan with the same number
	Objects []string `json:"objects"`

	Sum string `json:"sum"` // hexadecimal SHA-256 of the other fields
}

func (p Plan) sum() string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %q", p.Number, p.Nonce, p.Objects))
	return hex.EncodeToString(h[:])
}

// decodePlan decodes the plan with a number.
func decodePlan(data []byte, number int64) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%w: %w", seal.ErrForged, err)
	}
	if p.Sum != p.sum() {
		return p, fmt.Errorf("%w: its digest does not match", seal.ErrForged)
	}
	if p.Number != number {
		return p, fmt.Errorf("%w: it is plan %d", seal.ErrForged, p.Number)
	}
	return p, nil
}

func planPrefix(shard int) string { return layout.Plan.Prefix(fmt.Sprintf("%02d", shard)) }

func planKey(shard int, number int64) string {
	return fmt.Sprintf("%s%012d.json", planPrefix(shard), number)
}

// NewPlan returns a plan with a fresh nonce.
func NewPlan(number int64, objects []string) Plan {
	p := Plan{Number: number, Nonce: rand.Text(), Objects: objects}
	p.Sum = p.sum()
	return p
}

// HighestPlan returns the number of the current plan of a shard (0 if there is none), and the keys of the older plans.
func (r *Reader) HighestPlan(ctx context.Context, shard int) (number int64, older []string, err error) {
	for info, err := range r.bucket.List(ctx, planPrefix(shard), "") {
		if err != nil {
			return 0, nil, err
		}
		n, err := planNumber(shard, info.Key)
		if err != nil {
			continue // not a plan; a check of the bucket reports it
		}
		if number > 0 {
			older = append(older, planKey(shard, number))
		}
		number = n
	}
	return number, older, nil
}

// planNumber returns the number of the plan with a key.
func planNumber(shard int, key string) (int64, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(key, planPrefix(shard)), ".json")
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || n <= 0 || planKey(shard, n) != key {
		return 0, fmt.Errorf("%s is not the key of a plan", key)
	}
	return n, nil
}

// ReadPlan returns a plan. The error wraps bucket.ErrNotExist if the plan was deleted, and seal.ErrForged if the object
// is damaged or no node with the nodes' secret made it.
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

// CreatePlan stores p under its number, and fails with bucket.ErrExist if there is a plan with that number. The caller
// must ask HighestPlan whether p is the current plan: a process that slept may have created an old number again after
// it was deleted.
func (r *Reader) CreatePlan(ctx context.Context, shard int, p Plan) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	err = r.sealed.PutNew(ctx, planKey(shard, p.Number), data)
	if err == nil || errors.Is(err, bucket.ErrExist) {
		return err
	}
	// The outcome is unknown. Because of the nonce, equal bytes were written by this call.
	if there, readErr := r.ReadPlan(ctx, shard, p.Number); readErr == nil && there.Nonce == p.Nonce {
		return nil
	}
	return err
}
