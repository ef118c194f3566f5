// Package kafka hands events over to a topic of Kafka, or of what speaks as Kafka does.
//
// The key of a message is the id of the event's log, so a log is in one partition, in order. The producer is
// idempotent: what it repeats by itself is there once. After an error of Send the next one uses a new producer, for
// which this does not hold, so a message may be there twice; its header weir-id tells.
package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const (
	maxReply     = 4 << 20 // bytes of a broker's reply
	maxMessages  = 5000    // of a batch as Kafka knows it
	tries        = 4       // of a batch, before a broker's error is one of Send
	batchSize    = 100     // bytes of a batch beside its messages, at most
	messageSize  = 60      // bytes of a message beside its key, value and headers, at most
	handshakeFor = 10 * time.Second
	metadataFor  = time.Second // at least, also after an error
)

// Sink sends to one topic. A producer is made when it is needed.
type Sink struct {
	options []kgo.Opt
	most    int // bytes of a batch
	trouble trouble
}

// New returns a sink that connects as the policy says, to what the cluster calls its brokers too.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	verify, err := egress.TLS([]byte(s.CA))
	if err != nil {
		return nil, fmt.Errorf("caCertificate: %w", err)
	}
	if s.Plaintext {
		verify = nil
	}
	sink := &Sink{most: s.maxMessage()}
	sink.options = []kgo.Opt{
		kgo.SeedBrokers(s.servers()...), kgo.DefaultProduceTopic(s.Topic), kgo.ClientID("weir"),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, p, verify, network, address)
		}),
		kgo.WithHooks(&sink.trouble), kgo.BrokerMaxReadBytes(maxReply), kgo.FetchMaxBytes(maxReply), kgo.ManualFlushing(),
		kgo.MaxBufferedRecords(maxMessages), kgo.ProducerBatchMaxBytes(int32(sink.most)), kgo.RecordRetries(tries),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.AllowIdempotentProduceCancellation(), // a context that ends, ends Send
		kgo.DisableClientMetrics(), kgo.MetadataMinAge(metadataFor),
	}
	if m := s.mechanism(); m != nil {
		sink.options = append(sink.options, kgo.SASL(m))
	}
	if err := kgo.ValidateOpts(sink.options...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return sink, nil
}

func (s *Settings) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case Plain:
		return plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism()
	case ScramSHA256:
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism()
	case ScramSHA512:
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism()
	}
	return nil
}

// dial connects to a broker, with TLS if verify is not nil.
func dial(ctx context.Context, p *egress.Policy, verify *tls.Config, network, address string) (net.Conn, error) {
	plain, err := p.Dial(ctx, network, address)
	if err != nil || verify == nil {
		return plain, err
	}
	c := verify.Clone()
	if c.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeFor)
	defer cancel()
	secure := tls.Client(plain, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), plain.Close())
	}
	return secure, nil
}

// trouble remembers why the last broker could not be connected to: what waits for a broker fails with its context,
// whose error says nothing.
type trouble struct {
	mu   sync.Mutex
	last error
}

// OnBrokerConnect is called by the client.
func (t *trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
}

// explain returns err with what was the trouble, if err does not say it.
func (t *trouble) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: the last connection to a broker failed: %w", err, t.last)
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

// open makes a producer, and sees that a broker lets it in.
func (s *Sink) open(ctx context.Context) (*kgo.Client, error) {
	client, err := kgo.NewClient(s.options...)
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// produce produces records that make one batch of Kafka, and waits until all are acknowledged by all replicas in sync.
// Each batch has a producer of its own: one that has just sent may send the first of the next records before the others
// are there, and if the brokers refused these, the others would overtake them.
func (s *Sink) produce(ctx context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	client, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("kafka: %w", s.trouble.explain(err))
	}
	defer client.Close()
	var failed error
	results := make(chan error, len(records))
	for _, r := range records {
		client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- err })
	}
	flushed := client.Flush(ctx)
	if flushed != nil {
		client.Close() // fails what is left, so that each record has a result
	}
	for range records {
		if err := <-results; err != nil && failed == nil {
			failed = err
		}
	}
	if failed == nil {
		return nil
	}
	failed = s.trouble.explain(errors.Join(flushed, failed))
	for _, about := range []error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp,
		kerr.RecordListTooLarge} {
		if errors.Is(failed, about) { // one of the records, but which?
			return fmt.Errorf("kafka: %w: %w", deliver.ErrTooMuch, failed)
		}
	}
	return fmt.Errorf("kafka: %w", failed)
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

// Close implements deliver.Sink. Nothing is open between batches.
func (s *Sink) Close() error { return nil }
