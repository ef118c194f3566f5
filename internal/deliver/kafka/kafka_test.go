package kafka

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const (
	log   = "6a793f48c0eb9e7a17712f00"
	topic = "audit.weir"
)

var plaintext = brokers.Access{Plaintext: true}

var loopback = egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})

func cluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(options, kfake.NumBrokers(2), kfake.SeedTopics(3, topic))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func sinkTo(t *testing.T, c *kfake.Cluster, s Settings) *Sink {
	t.Helper()
	s.BootstrapServers, s.Topic = strings.Join(c.ListenAddrs(), ","), topic
	sink, err := New(s, loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	sink.options = append(sink.options, kgo.MetadataMinAge(10*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))
	return sink
}

// read returns the first messages of the topic.
func read(t interface {
	Context() context.Context
	Fatal(...any)
}, c *kfake.Cluster, options ...kgo.Opt) (all []*kgo.Record) {
	var n int64
	for _, p := range c.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for int64(len(all)) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func events(first, n int) (batch []deliver.Event) {
	for i := first; i < first+n; i++ {
		batch = append(batch, deliver.Event{Log: log, Name: "orders", Index: int64(i), Time: 1763978401000 + int64(i),
			Line: fmt.Appendf(nil, `{"time":1763978401002,"n":%d}`, i)})
	}
	return batch
}

func TestMessages(t *testing.T) {
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	c := cluster(t, kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "anna", "secret"), kfake.Superuser("SCRAM-SHA-256", "bert", "secret"),
		kfake.Superuser("PLAIN", "carl", "secret"))
	var reader []kgo.Opt
	for i, s := range []brokers.Access{
		{Mechanism: brokers.ScramSHA512, Username: "anna", Password: "secret", CA: ca},
		{Mechanism: brokers.ScramSHA256, Username: "bert", Password: "secret", CA: ca},
		{Mechanism: brokers.Plain, Username: "carl", Password: "secret", CA: ca},
	} {
		if refused, err := sinkTo(t, c, Settings{Access: s}).Send(t.Context(), events(3*i, 3)); err != nil || refused != nil {
			t.Fatal(refused, err)
		}
		s.BootstrapServers = c.ListenAddrs()[0]
		var trouble brokers.Trouble
		options, err := s.Options(loopback, &trouble)
		if err != nil {
			t.Fatal(err)
		}
		// It reads many partitions at a time, which weir does not.
		trusting := tls.Dialer{Config: server.Client().Transport.(*http.Transport).TLSClientConfig}
		reader = append(options, kgo.Dialer(trusting.DialContext))
	}
	all := read(t, c, reader...)
	for i, r := range all {
		e := events(i, 1)[0]
		var headers []string
		for _, h := range r.Headers {
			headers = append(headers, h.Key+"="+string(h.Value))
		}
		want := []string{"weir-id=" + log + "/" + strconv.Itoa(i), "weir-index=" + strconv.Itoa(i), "weir-name=orders"}
		if string(r.Key) != log || string(r.Value) != string(e.Line) || r.Timestamp.UnixMilli() != e.Time ||
			!slices.Equal(headers, want) || r.Partition != all[0].Partition {
			t.Errorf("%d: %s: %s at %v with %v", i, r.Key, r.Value, r.Timestamp, headers)
		}
	}
	if len(all) != 9 {
		t.Errorf("%d messages", len(all))
	}
}

func TestStrangersAreNotLetIn(t *testing.T) {
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "carl", "secret"))
	s := Settings{Access: brokers.Access{Mechanism: brokers.ScramSHA256, Username: "carl", Password: "wrong",
		Plaintext: true}}
	if _, err := sinkTo(t, c, s).Send(t.Context(), events(0, 1)); err == nil {
		t.Error("a wrong password is taken")
	}
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		answer.ErrorCode = kerr.SaslAuthenticationFailed.Code // as brokers do, and kfake does not
		return answer, nil, true
	})
	if _, err := sinkTo(t, c, s).Send(t.Context(), events(0, 1)); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("a wrong password: %v", err)
	}
	closed, err := New(Settings{Access: brokers.Access{BootstrapServers: c.ListenAddrs()[0], Plaintext: true},
		Topic: topic}, egress.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Send(t.Context(), events(0, 1)); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("an address that is closed: %v", err)
	}
}

func TestErrorsOfBrokersAreNamed(t *testing.T) {
	for _, test := range []struct {
		err     *kerr.Error
		tooMuch bool
	}{
		{kerr.TopicAuthorizationFailed, false}, {kerr.NotEnoughReplicas, false}, {kerr.MessageTooLarge, true},
		{kerr.InvalidRecord, true}, {kerr.InvalidTimestamp, true}, {kerr.PolicyViolation, false},
	} {
		c := cluster(t)
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: test.err, Count: -1})
		sink := sinkTo(t, c, Settings{Access: plaintext})
		_, err := sink.Send(t.Context(), events(0, 2))
		if !errors.Is(err, test.err) || errors.Is(err, deliver.ErrTooMuch) != test.tooMuch {
			t.Errorf("%v, want %v", err, test.err)
		}
		fault.Remove()
		if _, err := sink.Send(t.Context(), events(0, 2)); err != nil || len(read(t, c)) != 2 {
			t.Errorf("after %v: %v", test.err, err)
		}
	}
	c := cluster(t)
	sink := sinkTo(t, c, Settings{Access: plaintext})
	sink.options = append(sink.options, kgo.DefaultProduceTopic("none"))
	if _, err := sink.Send(t.Context(), events(0, 1)); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a topic that does not exist: %v", err)
	}
}

func TestLargeMessages(t *testing.T) {
	c := cluster(t)
	sink := sinkTo(t, c, Settings{Access: plaintext, MaxMessageBytes: 20_000})
	batch := events(0, 9)
	for i, size := range []int{30_000, 10, 19_000, 9_000, 9_000, 9_000, 20_000, 10} {
		batch[i].Line = []byte(`{"a":"` + strings.Repeat("x", size) + `"}`)
	}
	refused, err := sink.Send(t.Context(), batch)
	if err != nil || len(refused) != 2 || refused[0].At != 0 || refused[1].At != 6 ||
		!strings.Contains(refused[0].Reason, "maxMessageBytes is 20000") {
		t.Fatal(refused, err)
	}
	want := []int64{1, 2, 3, 4, 5, 7, 8}
	if got := indices(read(t, c)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// More events than one batch of Kafka takes are sent in several.
func TestManyMessages(t *testing.T) {
	c := cluster(t)
	if _, err := sinkTo(t, c, Settings{Access: plaintext}).Send(t.Context(), events(0, 2*maxMessages+1)); err != nil {
		t.Fatal(err)
	}
	if got := indices(read(t, c)); len(got) != 2*maxMessages+1 || !slices.IsSorted(got) {
		t.Errorf("%d messages, sorted: %t", len(got), slices.IsSorted(got))
	}
}

func indices(all []*kgo.Record) (list []int64) {
	for _, r := range all {
		for _, h := range r.Headers {
			if h.Key == "weir-index" {
				n, _ := strconv.ParseInt(string(h.Value), 10, 64)
				list = append(list, n)
			}
		}
	}
	return list
}

// breaker breaks the connections of brokers when they are about to write a reply, as often as it was armed.
type breaker struct{ armed atomic.Int64 }

func (b *breaker) Listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return breakingListener{l, b}, err
}

type breakingListener struct {
	net.Listener
	b *breaker
}

func (l breakingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return breakingConn{c, l.b}, err
}

type breakingConn struct {
	net.Conn
	b *breaker
}

func (c breakingConn) Write(p []byte) (int, error) {
	if c.b.armed.Load() > 0 && c.b.armed.Add(-1) >= 0 {
		return 0, c.Conn.Close()
	}
	return c.Conn.Write(p)
}

// A message that is accepted before the connection breaks is in the topic once, since the producer marks it as a
// repetition.
func TestBrokenConnections(t *testing.T) {
	var b breaker
	c := cluster(t, kfake.ListenFn(b.Listen))
	sink := sinkTo(t, c, Settings{Access: plaintext})
	for i := range 5 {
		broken := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, When: func(kmsg.Request) bool {
			b.armed.Store(1)
			return true
		}})
		if _, err := sink.Send(t.Context(), events(i, 1)); err != nil || broken.Hits() != 1 || b.armed.Load() > 0 {
			t.Fatal(err, broken.Hits())
		}
	}
	if got := indices(read(t, c)); !slices.Equal(got, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("%v", got)
	}
}

// Whatever fails, the log is whole in the end, and no event comes before one that stands before it in the log.
func TestOrder(t *testing.T) {
	c := cluster(t)
	sink := sinkTo(t, c, Settings{Access: plaintext, MaxMessageBytes: leastMessage})
	done := 0
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.SliceOfN(rapid.SampledFrom([]*kerr.Error{kerr.NotLeaderForPartition, kerr.MessageTooLarge,
			kerr.InvalidRecord, kerr.PolicyViolation}), 0, 2).Draw(t, "failures")
		for _, err := range failures {
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err})
		}
		for left := rapid.IntRange(1, 200).Draw(t, "events"); left > 0; {
			n := rapid.IntRange(1, left).Draw(t, "size")
			if refused, err := sink.Send(context.Background(), events(done, n)); err == nil && refused == nil {
				done, left = done+n, left-n
			}
		}
	})
	next := int64(0)
	for _, n := range indices(read(t, c)) {
		if n > next {
			t.Fatalf("event %d comes before event %d", n, next)
		}
		next = max(next, n+1)
	}
	if next != int64(done) {
		t.Errorf("%d of %d events", next, done)
	}
}

// A producer stays for as long as nothing fails: batches after the first ask for no other id, and connect to nobody.
func TestProducerStays(t *testing.T) {
	var l counter
	c := cluster(t, kfake.ListenFn(l.Listen))
	producers := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Observe: true, Count: -1})
	sink := sinkTo(t, c, Settings{Access: plaintext})
	send := func(first int) {
		t.Helper()
		if _, err := sink.Send(t.Context(), events(first, 3)); err != nil {
			t.Fatal(err)
		}
	}
	send(0)
	made := l.made.Load()
	for i := range 5 {
		send(3 + 3*i)
	}
	if producers.Hits() != 1 || l.made.Load() != made {
		t.Errorf("%d producers, %d connections after the first batch", producers.Hits(), l.made.Load()-made)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	for l.open.Load() > 0 { // It lets go of all connections.
		time.Sleep(time.Millisecond)
	}
	send(18)
	if got := indices(read(t, c)); producers.Hits() != 2 || len(got) != 21 || !slices.IsSorted(got) {
		t.Errorf("%d producers, messages %d", producers.Hits(), got)
	}
}

// counter counts connections.
type counter struct {
	made, open atomic.Int64
}

func (l *counter) Listen(network, address string) (net.Listener, error) {
	of, err := net.Listen(network, address)
	return &countingListener{of, l}, err
}

type countingListener struct {
	net.Listener
	l *counter
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.l.made.Add(1)
		l.l.open.Add(1)
		c = &countingConn{Conn: c, ended: sync.OnceFunc(func() { l.l.open.Add(-1) })}
	}
	return c, err
}

type countingConn struct {
	net.Conn
	ended func()
}

func (c *countingConn) Close() error {
	c.ended()
	return c.Conn.Close()
}

// eager returns a sink whose producer sends the first messages before it has the others, and calls at before it has one
// in the middle.
func eager(t *testing.T, c *kfake.Cluster, at func()) *Sink {
	sink := sinkTo(t, c, Settings{Access: plaintext})
	sink.options = slices.DeleteFunc(sink.options, func(o kgo.Opt) bool {
		client, err := kgo.NewClient(o)
		if err != nil {
			return false // of those that need others
		}
		defer client.Close()
		return client.OptValue(kgo.ManualFlushing) == true
	})
	sink.options = append(sink.options, kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(
		func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, _ int) int {
				if strings.HasSuffix(string(r.Value), `"n":300}`) {
					at()
				}
				return 0
			}
		})))
	return sink
}

// A batch that ends before the producer has all of it is not sent, and is not waited for.
func TestABatchIsGivenUpBeforeItIsSent(t *testing.T) {
	c := cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	sink := eager(t, c, func() {
		time.Sleep(50 * time.Millisecond) // in which the producer begins to write
		cancel()
	})
	if _, err := sink.Send(t.Context(), events(0, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Send(ctx, events(1, 500)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := sink.Send(t.Context(), events(1, 2)); err != nil {
		t.Fatal(err)
	}
	if got := indices(read(t, c)); !slices.Equal(got, []int64{0, 1, 2}) {
		t.Errorf("messages %d", got)
	}
}

// A producer that sends the first messages before it has the others lets none overtake one that is refused, however
// much later the others come.
func TestEagerProducer(t *testing.T) {
	c := cluster(t)
	sink := eager(t, c, func() { time.Sleep(50 * time.Millisecond) }) // in which those before it could be refused
	if _, err := sink.Send(t.Context(), events(0, 1)); err != nil {
		t.Fatal(err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.PolicyViolation, Count: 1})
	if _, err := sink.Send(t.Context(), events(1, 500)); !errors.Is(err, kerr.PolicyViolation) {
		t.Fatal(err)
	}
	if got := indices(read(t, c)); len(got) != 1 {
		t.Errorf("messages %d", got)
	}
}

// A broker that never answers is given up with the context.
func TestHangingBroker(t *testing.T) {
	c := cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel()
		return nil, nil, true
	})
	sink := sinkTo(t, c, Settings{Access: plaintext})
	if _, err := sink.Send(ctx, events(0, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := sink.Send(t.Context(), events(0, 1)); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	ok := Settings{Access: brokers.Access{BootstrapServers: "a.example.com:9092, [2001:db8::1]:9093"}, Topic: "a.B_c-1"}
	for _, test := range []struct {
		wrong  string
		change func(s *Settings)
	}{
		{"", func(*Settings) {}},
		{"", func(s *Settings) { s.Mechanism, s.Username, s.Password = brokers.Plain, "u", "p" }},
		{"", func(s *Settings) { s.Plaintext = true }},
		{"bootstrapServers", func(s *Settings) { s.BootstrapServers = "" }},
		{"bootstrapServers", func(s *Settings) { s.BootstrapServers = "a:0" }},
		{"bootstrapServers", func(s *Settings) { s.BootstrapServers = "https://a:1" }},
		{"bootstrapServers", func(s *Settings) { s.BootstrapServers = "a:9092,:9092" }},
		{"topic", func(s *Settings) { s.Topic = ".." }},
		{"topic", func(s *Settings) { s.Topic = "a b" }},
		{"mechanism", func(s *Settings) { s.Mechanism = "GSSAPI" }},
		{"mechanism", func(s *Settings) { s.Username = "u" }},
		{"password", func(s *Settings) { s.Mechanism, s.Username = brokers.Plain, "u" }},
		{"plaintext", func(s *Settings) { s.Plaintext, s.Mechanism, s.Username, s.Password = true, brokers.Plain, "u", "p" }},
		{"caCertificate", func(s *Settings) { s.CA = "none" }},
		{"maxMessageBytes", func(s *Settings) { s.MaxMessageBytes = 100 }},
	} {
		s := ok
		test.change(&s)
		var w deliver.Wrong
		s.Check(&w)
		if len(w.Attributes) > 0 != (test.wrong != "") || test.wrong != "" && w.Attributes[0].Name != test.wrong {
			t.Errorf("%+v: %v, want %q", s, w, test.wrong)
		}
	}
}
