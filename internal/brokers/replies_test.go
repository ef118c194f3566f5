package brokers

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/weirlog/weir/internal/egress"
)

// hostile is a broker that replies to one kind of request with what it likes, behind the correlation id and what the
// version begins with. It says that it knows all versions.
func hostile(t *testing.T, key kmsg.Key, reply func(version int16) []byte) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c, key, reply)
		}
	}()
	return l.Addr().String()
}

func answer(c net.Conn, hostile kmsg.Key, reply func(version int16) []byte) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		asked := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, asked); err != nil {
			return
		}
		key, version := kmsg.Key(binary.BigEndian.Uint16(asked)), int16(binary.BigEndian.Uint16(asked[2:]))
		var body []byte
		switch {
		case key == hostile:
			body = reply(version)
		case key == kmsg.ApiVersions:
			body = known(version)
		default:
			return
		}
		out := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
		if _, err := c.Write(append(out, asked[4:8]...)); err != nil {
			return
		}
		if _, err := c.Write(body); err != nil {
			return
		}
	}
}

// known says that all versions are known.
func known(version int16) []byte {
	r := kmsg.NewPtrApiVersionsResponse()
	r.Version = version
	kversion.Stable().EachMaxKeyVersion(func(key, most int16) {
		r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: most})
	})
	return r.AppendTo(nil)
}

// ask sends a request to a hostile broker, and returns what that allocated, in bytes.
func ask(t *testing.T, address string, r kmsg.Request) (took int64, err error) {
	t.Helper()
	var trouble Trouble
	a := Access{BootstrapServers: address, Plaintext: true}
	options, err := a.Options(egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), &trouble)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(options, kgo.RequestRetries(0), kgo.BrokerMaxReadBytes(32<<20),
		kgo.FetchMaxBytes(4<<20), kgo.RetryTimeout(20*time.Second))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = client.SeedBrokers()[0].Request(t.Context(), r)
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc), err
}

// element is the costliest one of a list of versions that have tags: each has one, which becomes a map.
func element(size int) string { return strings.Repeat("\x00", size-3) + "\x01\x07\x00" }

// A broker that nobody has shown itself to makes a client hold no more than is accounted for, whatever it replies.
func TestRepliesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	const much = 16 << 20
	fill := func(head, one string, size int) []byte {
		n := (size - len(head) - 4) / len(one)
		return append(append([]byte(head), 0x80|byte(n+1), 0x80|byte((n+1)>>7), 0x80|byte((n+1)>>14), byte((n+1)>>21)),
			strings.Repeat(one, n)...)
	}
	flat := func(head, one string, size int) []byte {
		n := (size - len(head) - 4) / len(one)
		return append(binary.BigEndian.AppendUint32([]byte(head), uint32(n)), strings.Repeat(one, n)...)
	}
	metadata := kmsg.NewPtrMetadataRequest()
	for _, c := range []struct {
		name  string
		key   kmsg.Key
		r     kmsg.Request
		reply func(version int16) []byte
		most  int64
		says  string
	}{
		{"versions", kmsg.ApiVersions, metadata, func(version int16) []byte {
			if version > 2 {
				return fill("\x00\x00", element(9), much)
			}
			return flat("\x00\x00", "\x00\x00\x00\x00\x00\x00", much)
		}, maxSmall, "bytes, at most"},
		{"versions, as many as are taken", kmsg.ApiVersions, metadata, func(version int16) []byte {
			return flat("\x00\x00", "\x00\x00\x00\x00\x00\x00", maxSmall-8)
		}, 1 << 20, ""},
		{"metadata", kmsg.Metadata, metadata, func(int16) []byte {
			return fill("\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07\x00", much)
		}, 2 * maxSmall, "bytes, at most"},
		{"metadata, as much as is taken", kmsg.Metadata, metadata, func(int16) []byte {
			return fill("\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07\x00",
				maxMetadata-8)
		}, ListMemory, "enough data"},
		{"topics of messages", kmsg.Fetch, kmsg.NewPtrFetchRequest(), func(version int16) []byte {
			return flat(strings.Repeat("\x00", 10), "\x00\x00\x00\x00\x00\x00", much)
		}, 2 * maxSmall, "one was asked for"},
		{"partitions of messages", kmsg.Fetch, kmsg.NewPtrFetchRequest(), func(version int16) []byte {
			return flat(strings.Repeat("\x00", 10)+"\x00\x00\x00\x01\x00\x01t", strings.Repeat("\x00", 37), much)
		}, 2 * maxSmall, "one was asked for"},
	} {
		var made [][]byte // so that what the broker allocates is not counted
		for version := range int16(20) {
			made = append(made, c.reply(version))
			if c.key != kmsg.ApiVersions {
				break
			}
		}
		address := hostile(t, c.key, func(version int16) []byte { return made[min(int(version), len(made)-1)] })
		took, err := ask(t, address, c.r)
		if err == nil || !strings.Contains(err.Error(), c.says) || took > c.most {
			t.Errorf("%s: %d bytes are taken, at most %d should be, %v", c.name, took, c.most, err)
		}
	}
}

// A client that produces to one topic holds no more than is accounted for, however many partitions a cluster says that
// the topic has.
func TestProducersAreBounded(t *testing.T) {
	many := topicOf((maxTopicMetadata - 200) / 18)
	address := hostile(t, kmsg.Metadata, func(int16) []byte { return many })
	var trouble Trouble
	a := Access{BootstrapServers: address, Plaintext: true}
	options, err := a.ProducerOptions(egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), &trouble, nil)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ready := partitioned{make(chan struct{})}
	client, err := kgo.NewClient(append(options, kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.WithHooks(ready))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Produce(t.Context(), &kgo.Record{Topic: "t"}, func(*kgo.Record, error) {})
	select {
	case <-ready.first: // It knows the partitions.
	case <-time.After(20 * time.Second):
		t.Fatal("the client does not take what the broker says")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > ProducerMemory {
		t.Errorf("a producer holds %d bytes, at most %d should be", held, ProducerMemory)
	}
}

// topicOf returns what a broker says of a topic with many partitions.
func topicOf(partitions int) []byte {
	r := kmsg.NewPtrMetadataResponse()
	r.Version = 12
	broker := kmsg.NewMetadataResponseBroker()
	broker.Host, broker.Port = "127.0.0.1", 1
	name, topic := "t", kmsg.NewMetadataResponseTopic()
	topic.Topic = &name
	for i := range partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition = int32(i)
		topic.Partitions = append(topic.Partitions, p)
	}
	r.Brokers, r.Topics = append(r.Brokers, broker), append(r.Topics, topic)
	return r.AppendTo([]byte{0}) // the tags of the head
}

// partitioned tells when a client has found the partition of a record.
type partitioned struct{ first chan struct{} }

func (p partitioned) OnProduceRecordPartitioned(*kgo.Record, int32) { close(p.first) }
