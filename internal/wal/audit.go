package wal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/seal"
)

// Audited describes the WAL objects that wait to be sequenced.
type Audited struct {
	Objects int
	Events  int64          // retries included
	Waiting map[string]int // number of events by log
	Damaged map[string]error
}

// Audit reads all WAL objects that wait to be sequenced, and all plans. They are not signed, only sealed, so an audit
// finds damage. Objects that are sequenced and deleted during the audit are left out.
func Audit(ctx context.Context, b bucket.Bucket, key seal.Key) (*Audited, error) {
	a := &Audited{Waiting: map[string]int{}, Damaged: map[string]error{}}
	reader := NewReader(b, key, 1<<20)
	for info, err := range b.List(ctx, root, "") {
		if err != nil {
			return nil, err
		}
		err = a.object(ctx, reader, info.Key)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil && !errors.Is(err, bucket.ErrNotExist) {
			a.Damaged[info.Key] = err
		}
	}
	for info, err := range b.List(ctx, layout.Plan.Prefix(), "") {
		if err != nil {
			return nil, err
		}
		err = checkPlan(ctx, reader, info.Key)
		if err != nil && !errors.Is(err, bucket.ErrNotExist) {
			a.Damaged[info.Key] = err
		}
	}
	return a, nil
}

func (a *Audited) object(ctx context.Context, r *Reader, key string) error {
	sections, err := r.Sections(ctx, key)
	if err != nil {
		return err
	}
	for _, s := range sections {
		if _, err := r.Batch(ctx, s.Log, Place{key, s}); err != nil {
			return err
		}
		a.Waiting[s.Log] += s.Count
		a.Events += int64(s.Count)
	}
	a.Objects++
	return nil
}

func checkPlan(ctx context.Context, r *Reader, key string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, layout.Plan.Prefix()), "/")
	shard, err := strconv.Atoi(name)
	if err != nil {
		return fmt.Errorf("%s is not the key of a plan", key)
	}
	number, err := planNumber(shard, key)
	if err != nil {
		return err
	}
	_, err = r.ReadPlan(ctx, shard, number)
	return err
}
