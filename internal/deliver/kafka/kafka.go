// Package kafka hands events over to a topic of Kafka, or of another system with its protocol.
//
// The key of a message is the id of the event's log, so a log is in one partition, in order. The producer is
// idempotent: a message that it repeats by itself is in the topic once. It stays for as long as the sink is open. After
// an error of Send the next one uses a new producer, which does not know the messages of the old one. So a message may
// be in the topic twice, with the same header weir-id.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const (
	maxReply    = 4 << 20     // bytes of a broker's reply
	maxMessages = 5000        // of a batch as Kafka knows it
	tries       = 4           // of a batch, before a broker's error is one of Send
	batchSize   = 100         // bytes of a batch beside its messages, at most
	messageSize = 60          // bytes of a message beside its key, value and headers, at most
	metadataFor = time.Second // at least, also after an error
)

// Sink sends to one topic. A producer is made when it is needed.
type Sink struct {
	options []kgo.Opt
	most    int // bytes of a batch
	trouble brokers.Trouble
	gate    gate
	client  *kgo.Client // nil if there is none
}

// New returns a sink that connects as the policy says, also to the addresses that the cluster gives for its brokers.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	sink := &Sink{most: s.maxMessage()}
	options, err := s.Access.ProducerOptions(p, &sink.trouble, sink.gate.pass)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	sink.options = append(options,
		kgo.DefaultProduceTopic(s.Topic), kgo.BrokerMaxReadBytes(maxReply), kgo.FetchMaxBytes(maxReply),
		kgo.ManualFlushing(), kgo.MaxBufferedRecords(maxMessages), kgo.ProducerBatchMaxBytes(int32(sink.most)),
		kgo.RecordRetries(tries),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.AllowIdempotentProduceCancellation(), // a context that ends, ends Send
		kgo.MetadataMinAge(metadataFor), kgo.WithHooks(&sink.gate))
	if err := kgo.ValidateOpts(sink.options...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return sink, nil
}

// Send produces a batch as one or more batches of Kafka, one behind the other, so that none overtakes one that fails.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) (refused []deliver.Refusal, err error) {
	var records []*kgo.Record
	size := batchSize
	for i := range batch {
		r := record(&batch[i])
		n := sizeOf(r)
		if batchSize+n > s.most {
			refused = append(refused, deliver.Refusal{At: i, Reason: fmt.Sprintf(
				"it has %d bytes as a message; maxMessageBytes is %d", batchSize+n, s.most)})
			continue
		}
		if size+n > s.most || len(records) == maxMessages {
			if err := s.produce(ctx, records); err != nil {
				return nil, err
			}
			records, size = records[:0], batchSize
		}
		records, size = append(records, r), size+n
	}
	if err := s.produce(ctx, records); err != nil {
		return nil, err
	}
	return refused, nil
}

// open makes a producer unless there is one, and sees that a broker lets it in.
func (s *Sink) open(ctx context.Context) error {
	if s.client != nil {
		return nil
	}
	client, err := kgo.NewClient(s.options...)
	if err != nil {
		return err
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return err
	}
	s.client = client
	return nil
}

// produce produces records that make one batch of Kafka, and waits until all are acknowledged by all replicas in sync.
func (s *Sink) produce(ctx context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := s.open(ctx); err != nil {
		return fmt.Errorf("kafka: %w", s.trouble.Explain(err))
	}
	failed := s.flush(ctx, records)
	if failed == nil {
		return nil
	}
	s.close() // It may still be about to repeat what failed.
	failed = s.trouble.Explain(failed)
	for _, about := range []error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp,
		kerr.RecordListTooLarge} {
		if errors.Is(failed, about) { // one of the records, but which?
			return fmt.Errorf("kafka: %w: %w", deliver.ErrTooMuch, failed)
		}
	}
	return fmt.Errorf("kafka: %w", failed)
}

// flush has the producer send records, and returns the first error.
//
// A producer that has just sent may take the first of the next records before the others are there. If the brokers
// refused these, the others would overtake them. So nothing is written before the producer has all records: then it
// fails those behind a refused record in the same partition.
func (s *Sink) flush(ctx context.Context, records []*kgo.Record) error {
	s.gate.shut(len(records))
	results := make(chan error, len(records))
	left := len(records)
	for _, r := range records {
		s.client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- err })
	}
	var failed error
	select {
	case <-s.gate.full: // The producer has a partition for each.
		s.gate.open()
		failed = s.client.Flush(ctx)
	case failed = <-results: // Such as that there is no such topic. None is accepted yet.
		left--
	case <-ctx.Done():
		failed = ctx.Err()
	}
	if failed != nil {
		s.gate.fail()
		s.client.Close() // fails the remaining records, so that each has a result
	}
	for range left {
		if err := <-results; failed == nil {
			failed = err
		}
	}
	return failed
}

// close ends the producer. Records that it still has fail.
func (s *Sink) close() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// record returns an event as a message.
func record(e *deliver.Event) *kgo.Record {
	return &kgo.Record{
		// A producer that is given up may still read the value.
		Key: []byte(e.Log), Value: bytes.Clone(e.Line), Timestamp: time.UnixMilli(e.Time),
		Headers: []kgo.RecordHeader{
			{Key: "weir-id", Value: []byte(e.ID())},
			{Key: "weir-index", Value: strconv.AppendInt(nil, e.Index, 10)},
			{Key: "weir-name", Value: []byte(e.Name)},
		},
	}
}

// sizeOf returns how many bytes a record adds to a batch, at most.
func sizeOf(r *kgo.Record) int {
	n := messageSize + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 2*5 + len(h.Key) + len(h.Value)
	}
	return n
}

// Close implements deliver.Sink.
func (s *Sink) Close() error {
	s.close()
	return nil
}

// Holds implements deliver.Holder.
func (s *Sink) Holds() int64 { return brokers.ProducerMemory }
