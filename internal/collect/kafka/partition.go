package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/collect"
)

const (
	fetchBytes    = 4 << 20 // of a reply, unless one batch has more
	fetchWait     = 500     // milliseconds that a broker may wait for messages
	readCommitted = 1
)

// partition is a partition of a topic. It implements collect.Queue.
type partition struct {
	source *Source
	topic  string
	number int32
	leader int32 // id of the broker
	bounds collect.Bounds
	failed error
}

func (p *partition) id() string { return fmt.Sprintf("kafka/%s/%d", p.topic, p.number) }

func (p *partition) unit() collect.Unit {
	return collect.Unit{ID: p.id(), Queue: p, Label: fmt.Sprintf("%s, partition %d", p.topic, p.number),
		Place: collect.Place{Name: p.source.settings.place(p.topic)}}
}

// parseID returns the parts of the id of a unit.
func parseID(id string) (topic string, number int32, ok bool) {
	rest, ok := strings.CutPrefix(id, "kafka/")
	topic, text, ok2 := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(text, 10, 32)
	return topic, int32(n), ok && ok2 && err == nil
}

func (p *partition) fail(what string, code int16) {
	err := kerr.ErrorForCode(code)
	if err == nil {
		err = collect.ErrIncomplete
	}
	p.failed = fmt.Errorf("%s, partition %d: %s%w", p.topic, p.number, what, err)
}

// Bounds implements collect.Queue.
func (p *partition) Bounds() collect.Bounds { return p.bounds }

// EndOf implements collect.Queue.
func (p *partition) EndOf(ctx context.Context, epoch int32) (int64, error) {
	one := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	one.Partition, one.LeaderEpoch = p.number, epoch
	r := kmsg.NewPtrOffsetForLeaderEpochRequest()
	r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: p.topic,
		Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{one}}}
	reply, err := request[*kmsg.OffsetForLeaderEpochResponse](ctx, p.source, p.source.client, r)
	if err != nil {
		return -1, err
	}
	if len(reply.Topics) != 1 || len(reply.Topics[0].Partitions) != 1 {
		return -1, fmt.Errorf("epoch %d: %w", epoch, collect.ErrIncomplete)
	}
	got := &reply.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return -1, fmt.Errorf("epoch %d: %w", epoch, err)
	}
	return got.EndOffset, nil
}

// Fetch implements collect.Queue.
func (p *partition) Fetch(ctx context.Context, from int64, hold collect.Hold, each func(*collect.Message) error) (int64,
	error) {
	held := int64(maxReply) // whatever is asked for, a broker may reply with that
	if err := hold.Grow(held); err != nil {
		return from, err
	}
	defer func() { _ = hold.Grow(-held) }()
	reply, err := p.fetch(ctx, from)
	if errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.UnknownLeaderEpoch) ||
		errors.Is(err, kerr.FencedLeaderEpoch) {
		if err = p.relocate(ctx); err == nil {
			reply, err = p.fetch(ctx, from)
		}
	}
	if err != nil {
		return from, err
	}
	got := int64(len(reply.RecordBatches))
	_ = hold.Grow(got - held)
	held = got
	r := reader{p: p, next: from, hold: hold, each: each, aborted: aborted(reply)}
	err = r.read(reply.RecordBatches)
	if err == nil && r.next == from && len(reply.RecordBatches) > 0 {
		err = fmt.Errorf("from offset %d: %w: there is no whole batch", from, collect.ErrIncomplete)
	}
	return r.next, err
}

// fetch asks the leader for the messages from an offset on.
func (p *partition) fetch(ctx context.Context, from int64) (*kmsg.FetchResponseTopicPartition, error) {
	one := kmsg.NewFetchRequestTopicPartition()
	one.Partition, one.FetchOffset, one.PartitionMaxBytes = p.number, from, fetchBytes
	r := kmsg.NewPtrFetchRequest()
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.IsolationLevel = fetchWait, 1, fetchBytes, readCommitted
	r.Topics = []kmsg.FetchRequestTopic{{Topic: p.topic, Partitions: []kmsg.FetchRequestTopicPartition{one}}}
	reply, err := request[*kmsg.FetchResponse](ctx, p.source, p.source.client.Broker(int(p.leader)), r)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(reply.ErrorCode); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	for i := range reply.Topics {
		t := &reply.Topics[i]
		for j := range t.Partitions {
			if got := &t.Partitions[j]; t.Topic == p.topic && got.Partition == p.number {
				if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
					return nil, fmt.Errorf("from offset %d: %w", from, err)
				}
				return got, nil
			}
		}
	}
	return nil, fmt.Errorf("kafka: Fetch: %w", collect.ErrIncomplete)
}

// relocate asks who leads the partition now.
func (p *partition) relocate(ctx context.Context) error {
	all, err := p.source.partitions(ctx, []string{p.topic})
	if err != nil {
		return err
	}
	now := find(all, p.topic, p.number)
	switch {
	case now == nil:
		return fmt.Errorf("kafka: %w", kerr.UnknownTopicOrPartition)
	case now.failed != nil:
		return now.failed
	case now.bounds.ID != p.bounds.ID:
		return fmt.Errorf("kafka: topic %s was deleted and made again", p.topic)
	}
	p.leader = now.leader
	return nil
}
