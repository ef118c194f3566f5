// Package kafka collects from topics of Kafka, or of another system with its protocol.
//
// A partition is a queue of collect: how far it was collected stands in the state of its source, and a node asks for
// the partitions that its source has, without being a member of a group. So nothing is rebalanced, two nodes that
// collect the same record the same events, and commits of others for the group move no cursor. weir commits its cursors
// for the group once they are durable. A partition without a cursor begins at the group's commit.
//
// A message is told apart by its cluster, topic, partition and offset, and by a hash of its bytes: after a cluster has
// lost messages, others can get their offsets.
package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/egress"
)

const (
	maxReply      = 16 << 20 // bytes of a broker's reply: of one batch, if that has more than fetchBytes
	maxPartitions = 1000

	tries    = 3
	retryFor = 30 * time.Second // of a request, all its tries together
)

// Source collects from some topics of a cluster. It may not be used concurrently.
type Source struct {
	settings Settings
	most     int // bytes of a message
	pattern  *regexp.Regexp
	client   *kgo.Client
	trouble  brokers.Trouble

	cluster string // its id

	// The results of the last call of Units, by ids of units, and those of Again since then, by topics.
	listed map[string]bool
	failed map[string]error
	away   error // the cluster said nothing
	looked map[string]look
}

// New returns a Source that connects as the policy says. Messages of more than most bytes are not taken. The caller
// calls Close.
func New(s Settings, p *egress.Policy, most int) (*Source, error) {
	from := &Source{settings: s, most: most}
	pattern, err := s.pattern()
	if err != nil {
		return nil, fmt.Errorf("topicPattern: %w", err)
	}
	from.pattern = pattern
	options, err := s.Access.Options(p, &from.trouble)
	if err != nil {
		return nil, err
	}
	options = append(options, kgo.BrokerMaxReadBytes(maxReply), kgo.FetchMaxBytes(fetchBytes),
		kgo.RequestRetries(tries), kgo.RetryTimeout(retryFor))
	from.client, err = kgo.NewClient(options...)
	return from, err
}

// Close lets go of the connections.
func (s *Source) Close() { s.client.Close() }

// request sends a request, and names what failed.
func request[R kmsg.Response](ctx context.Context, s *Source, to requester, r kmsg.Request) (reply R, err error) {
	got, err := to.Request(ctx, r)
	if err != nil {
		err = s.trouble.Explain(err)
		if !errors.As(err, new(*kerr.Error)) {
			err = fmt.Errorf("%w: %w", collect.ErrAway, err)
		}
		return reply, fmt.Errorf("kafka: %s: %w", kmsg.NameForKey(r.Key()), err)
	}
	reply, ok := got.(R)
	if !ok {
		return reply, fmt.Errorf("kafka: %s: %w", kmsg.NameForKey(r.Key()), collect.ErrIncomplete)
	}
	return reply, nil
}

type requester interface {
	Request(context.Context, kmsg.Request) (kmsg.Response, error)
}

// ListMemory implements collect.Lister.
func (s *Source) ListMemory() int64 { return brokers.ListMemory }

// Units implements collect.Source. It asks for the topics and their partitions anew.
func (s *Source) Units(ctx context.Context) ([]collect.Unit, error) {
	s.listed, s.failed, s.looked = map[string]bool{}, map[string]error{}, map[string]look{}
	all, err := s.partitions(ctx, s.settings.Topics)
	if s.away = nil; errors.Is(err, collect.ErrAway) {
		s.away = err
	}
	if len(all) == 0 {
		return nil, err
	}
	known := all[:0]
	bounded := s.bounds(ctx, all)
	for _, p := range all {
		if p.failed == nil {
			known = append(known, p)
		} else {
			s.failed[p.id()] = p.failed
			err = errors.Join(err, p.failed)
		}
	}
	units := make([]collect.Unit, 0, len(known))
	for _, p := range known {
		s.listed[p.id()] = true
		units = append(units, p.unit())
	}
	return units, errors.Join(bounded, err)
}

// look is the reply of a cluster for a topic.
type look struct {
	partitions []*partition
	err        error
}

// Again implements collect.Source. A topic that only a pattern names is asked for by its name: a cluster leaves one out
// of a list that may not be described, too.
func (s *Source) Again(ctx context.Context, id string, _ collect.Place) (collect.Unit, error) {
	topic, number, ok := parseID(id)
	switch {
	case !ok || !s.settings.chooses(topic, s.pattern):
		return collect.Unit{}, collect.ErrNotChosen
	case s.away != nil:
		return collect.Unit{}, s.away
	case s.failed[id] != nil:
		return collect.Unit{}, s.failed[id]
	}
	found, ok := s.looked[topic]
	if !ok {
		found.partitions, found.err = s.partitions(ctx, []string{topic})
		if errors.Is(found.err, collect.ErrAway) {
			s.away = found.err
		}
		s.looked[topic] = found
	}
	gone := (&partition{source: s, topic: topic, number: number, bounds: collect.Bounds{Epoch: -1, Committed: -1}}).unit()
	switch p := find(found.partitions, topic, number); {
	case errors.Is(found.err, kerr.UnknownTopicOrPartition):
		return gone, fmt.Errorf("%w: %w", collect.ErrGone, found.err)
	case found.err != nil:
		return collect.Unit{}, found.err
	case p == nil:
		return gone, fmt.Errorf("%s, partition %d: %w", topic, number, collect.ErrGone)
	}
	return collect.Unit{}, fmt.Errorf("%s, partition %d: %w: the cluster did not list it", topic, number,
		collect.ErrIncomplete)
}

// partitions returns the partitions of some topics, or of those that the pattern matches.
func (s *Source) partitions(ctx context.Context, topics []string) (all []*partition, err error) {
	r := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		r.Topics = append(r.Topics, t)
	}
	reply, err := request[*kmsg.MetadataResponse](ctx, s, s.client, r)
	if err != nil {
		return nil, err
	}
	if reply.ClusterID != nil {
		s.cluster = *reply.ClusterID
	}
	for i := range reply.Topics {
		t := &reply.Topics[i]
		switch {
		case t.Topic == nil, len(topics) == 0 && (t.IsInternal || !s.pattern.MatchString(*t.Topic)):
			continue
		case t.ErrorCode != 0:
			err = errors.Join(err, fmt.Errorf("topic %.300q: %w", *t.Topic, kerr.ErrorForCode(t.ErrorCode)))
			continue
		case len(all)+len(t.Partitions) > maxPartitions:
			return all, errors.Join(err, fmt.Errorf("there are more than %d partitions to collect: create another source for "+
				"some of the topics", maxPartitions))
		}
		for j := range t.Partitions {
			all = append(all, s.partition(t, &t.Partitions[j]))
		}
	}
	return all, err
}

func (s *Source) partition(t *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition) *partition {
	one := &partition{source: s, topic: *t.Topic, number: p.Partition, leader: p.Leader,
		bounds: collect.Bounds{Epoch: p.LeaderEpoch, Committed: -1}}
	if t.TopicID != ([16]byte{}) {
		one.bounds.ID = hex.EncodeToString(t.TopicID[:])
	}
	if p.ErrorCode != 0 && p.ErrorCode != kerr.ReplicaNotAvailable.Code {
		one.fail("", p.ErrorCode)
	}
	return one
}

// bounds finds out which offsets the partitions have. It notes an error of one partition there.
func (s *Source) bounds(ctx context.Context, all []*partition) error {
	const first, last = -2, -1
	if err := s.offsets(ctx, all, first, func(p *partition, offset int64) { p.bounds.Start = offset }); err != nil {
		return err
	}
	if err := s.offsets(ctx, all, last, func(p *partition, offset int64) { p.bounds.End = offset }); err != nil {
		return err
	}
	if s.settings.Group == "" {
		return nil
	}
	return s.committed(ctx, all)
}

// offsets asks for an offset of each partition. A partition has failed if no reply has its offset.
func (s *Source) offsets(ctx context.Context, all []*partition, which int64, set func(*partition, int64)) error {
	r := kmsg.NewPtrListOffsetsRequest()
	r.IsolationLevel = readCommitted
	waits := map[*partition]bool{}
	for _, p := range all {
		if p.failed != nil {
			continue
		}
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = p.number, which
		if n := len(r.Topics); n == 0 || r.Topics[n-1].Topic != p.topic {
			r.Topics = append(r.Topics, kmsg.ListOffsetsRequestTopic{Topic: p.topic})
		}
		t := &r.Topics[len(r.Topics)-1]
		t.Partitions = append(t.Partitions, one)
		waits[p] = true
	}
	var failed error
	for _, shard := range s.client.RequestSharded(ctx, r) {
		reply, ok := shard.Resp.(*kmsg.ListOffsetsResponse)
		if shard.Err != nil || !ok {
			failed = fmt.Errorf("kafka: %w: %w", collect.ErrAway, s.trouble.Explain(shard.Err))
			continue
		}
		for _, t := range reply.Topics {
			for _, got := range t.Partitions {
				if p := find(all, t.Topic, got.Partition); p != nil && waits[p] {
					if delete(waits, p); got.ErrorCode != 0 || got.Offset < 0 {
						p.fail("its offsets: ", got.ErrorCode)
					}
					set(p, got.Offset)
				}
			}
		}
	}
	for p := range waits {
		p.failed = errors.Join(fmt.Errorf("%s, partition %d: the cluster did not report its offsets", p.topic, p.number),
			failed)
	}
	return nil
}

func find(all []*partition, topic string, number int32) *partition {
	for _, p := range all {
		if p.number == number && p.topic == topic {
			return p
		}
	}
	return nil
}

// committed asks up to where the group knows that messages were taken.
func (s *Source) committed(ctx context.Context, all []*partition) error {
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = s.settings.Group
	for _, p := range all {
		if n := len(group.Topics); n == 0 || group.Topics[n-1].Topic != p.topic {
			group.Topics = append(group.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: p.topic})
		}
		t := &group.Topics[len(group.Topics)-1]
		t.Partitions = append(t.Partitions, p.number)
	}
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Groups = append(r.Groups, group)
	reply, err := request[*kmsg.OffsetFetchResponse](ctx, s, s.client, r)
	if err != nil {
		return err
	}
	for _, g := range reply.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return fmt.Errorf("group %q: %w", s.settings.Group, err)
		}
		for _, t := range g.Topics {
			for _, got := range t.Partitions {
				if p := find(all, t.Topic, got.Partition); p != nil && got.ErrorCode == 0 {
					p.bounds.Committed = got.Offset
				}
			}
		}
	}
	return nil
}

// Commit implements collect.Committer: it tells the group how far the partitions were collected.
func (s *Source) Commit(ctx context.Context, units map[string]*collect.Progress) error {
	if s.settings.Group == "" {
		return nil
	}
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.Generation = s.settings.Group, -1 // of nobody
	for id, u := range units {
		topic, number, ok := parseID(id)
		if !ok || u.Offsets == nil || !s.listed[id] {
			continue
		}
		one := kmsg.NewOffsetCommitRequestTopicPartition()
		one.Partition, one.Offset, one.LeaderEpoch = number, u.Offsets.Next, u.Offsets.Epoch
		r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic,
			Partitions: []kmsg.OffsetCommitRequestTopicPartition{one}})
	}
	if len(r.Topics) == 0 {
		return nil
	}
	reply, err := request[*kmsg.OffsetCommitResponse](ctx, s, s.client, r)
	if err != nil {
		return err
	}
	for _, t := range reply.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("cannot commit offsets to group %q, but events are recorded: topic %.300q: %w",
					s.settings.Group, t.Topic, err)
			}
		}
	}
	return nil
}
