package brokers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Maximum sizes of a broker's replies, in bytes, by the kind of the request. A client decodes a reply into many times
// its size, even before it has authenticated the broker. So each kind has a bound that fits it.
const (
	maxSmall    = 64 << 10  // for replies without a list that grows with the cluster
	maxOffsets  = 512 << 10 // for offsets of 1,000 partitions
	maxMetadata = 3 << 19   // for the topics of a cluster: some 7,000 of three partitions

	// ListMemory is the maximum memory of listing the topics of a cluster, in bytes: for a reply of maxMetadata that has
	// only elements of the kind that grows most when it is decoded.
	ListMemory = 42 * maxMetadata

	maxTopicMetadata = 64 << 10 // for one topic: some 1,500 partitions of three replicas

	// ProducerMemory is the maximum memory of a client that produces to one topic, in bytes: that of the largest Metadata
	// while it is decoded, and that of its partitions in the client.
	ProducerMemory = 6 << 20
)

// versions returns the highest version of each request that is sent. From some version on, each element of a reply can
// have tags, which become a map of 40 times their size. So nearly all requests stay below that version. They are of
// Kafka 2.3 or earlier, and Kafka 4 still takes them (KIP-896). Metadata has a higher version, since only there has a
// topic an id, which changes when the topic is created again. Requests of groups have higher versions too. The sizes of
// these replies are bounded.
func versions() *kversion.Versions {
	all := kversion.Stable()
	for key, version := range map[kmsg.Key]int16{
		kmsg.ApiVersions: 2, kmsg.SASLHandshake: 1, kmsg.SASLAuthenticate: 1, kmsg.FindCoordinator: 2,
		kmsg.Fetch: 11, kmsg.ListOffsets: 5, kmsg.OffsetForLeaderEpoch: 3, kmsg.OffsetCommit: 7,
		kmsg.Produce: 8, kmsg.InitProducerID: 1,
		kmsg.Metadata: 12, kmsg.OffsetFetch: 9, // later ones may name topics by ids alone
	} {
		all.SetMaxKeyVersion(key.Int16(), version)
	}
	return all
}

// maxReply returns how many bytes a reply may have. Of messages it is the client that bounds them.
func (r *replies) maxReply(key kmsg.Key) int32 {
	switch key {
	case kmsg.Fetch:
		return 1<<31 - 1
	case kmsg.Metadata:
		return r.maxMetadata
	case kmsg.ListOffsets, kmsg.OffsetFetch, kmsg.OffsetCommit, kmsg.Produce:
		return maxOffsets
	}
	return maxSmall
}

// question is the kind and the version of a request.
type question struct {
	key     kmsg.Key
	version int16
}

// replies is a connection whose replies are bounded by the kind of the request. Brokers answer in the order of
// requests.
type replies struct {
	net.Conn
	maxMetadata int32        // bytes
	writing     func() error // called before messages are written; if nil, nothing is called

	mu    sync.Mutex
	asked []question

	reply io.Reader // the rest of the reply that is being read
}

// Write implements net.Conn. The client writes a request at a time.
func (r *replies) Write(b []byte) (int, error) {
	if len(b) >= 8 {
		about := question{kmsg.Key(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))}
		if about.key == kmsg.Produce && r.writing != nil {
			if err := r.writing(); err != nil {
				return 0, err
			}
		}
		r.mu.Lock()
		r.asked = append(r.asked, about)
		r.mu.Unlock()
	}
	return r.Conn.Write(b)
}

// Read implements net.Conn.
func (r *replies) Read(b []byte) (int, error) {
	if r.reply != nil {
		n, err := r.reply.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if r.reply = nil; n > 0 {
			return n, nil
		}
	}
	if err := r.begin(); err != nil {
		return 0, err
	}
	return r.reply.Read(b)
}

// begin reads how a reply begins.
func (r *replies) begin() error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r.Conn, head); err != nil {
		return err
	}
	size := int32(binary.BigEndian.Uint32(head))
	r.mu.Lock()
	if len(r.asked) == 0 {
		r.mu.Unlock()
		return errors.New("the broker sends a reply without a request")
	}
	about := r.asked[0]
	r.asked = r.asked[1:]
	r.mu.Unlock()
	if most := r.maxReply(about.key); size < 0 || size > most {
		return fmt.Errorf("the broker's reply to %s has %d bytes, at most %d are taken: is it a Kafka broker? If it is, "+
			"name the topics instead of giving a pattern", about.key.Name(), size, most)
	}
	if about.key == kmsg.Fetch {
		seen := &bytes.Buffer{}
		if err := oneLog(about.version, io.TeeReader(io.LimitReader(r.Conn, int64(size)), seen)); err != nil {
			return err
		}
		head = append(head, seen.Bytes()...)
	}
	rest := int64(size) - int64(len(head)-4)
	r.reply = io.MultiReader(bytes.NewReader(head), io.LimitReader(r.Conn, rest))
	return nil
}

// oneLog reads as much of a reply with messages as tells that they are of one partition, as it was asked for: each that
// a reply says to have is held before it is read.
func oneLog(version int16, in io.Reader) error {
	const correlation, throttle, session = 4, 4, 2 + 4
	skip := int64(correlation + throttle)
	if version >= 7 {
		skip += session
	}
	for _, what := range []string{"topics", "partitions"} {
		if _, err := io.CopyN(io.Discard, in, skip); err != nil {
			return cut(err)
		}
		var count int32
		if err := binary.Read(in, binary.BigEndian, &count); err != nil {
			return cut(err)
		}
		if count < 0 || count > 1 {
			return fmt.Errorf("the broker's reply to Fetch has messages of %d %s, one was asked for", count, what)
		}
		if count == 0 || what == "partitions" {
			return nil
		}
		var name int16
		if err := binary.Read(in, binary.BigEndian, &name); err != nil {
			return cut(err)
		}
		if name < 0 || name > maxTopic {
			return fmt.Errorf("the broker's reply to Fetch has a topic of %d bytes", name)
		}
		skip = int64(name)
	}
	return nil
}

// cut says of a reply that ends too early that it does.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
