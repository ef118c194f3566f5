package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/collect"
)

// How batches of messages lie in a reply (https://kafka.apache.org/documentation/#recordbatch).
const (
	headSize  = 12 // of the offset, and of the length of the rest
	magicAt   = 16
	crcAt     = 21 // what is checked begins here
	headBytes = 61 // of a batch without its messages

	codecMask     = 0b00_0111
	logAppendTime = 0b00_1000
	transactional = 0b01_0000
	control       = 0b10_0000
)

// maxUnpacked bounds a batch that is unpacked, in bytes.
const maxUnpacked = 32 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reader reads the messages of a reply. Its memory for a message does not depend on the numbers that a batch claims.
type reader struct {
	p       *partition
	next    int64
	hold    collect.Hold
	each    func(*collect.Message) error
	aborted map[int64][]int64 // offsets where transactions begin that were aborted, by producer
	headers []header
}

// aborted returns the transactions that were aborted, of which a reply has messages too.
func aborted(reply *kmsg.FetchResponseTopicPartition) map[int64][]int64 {
	all := map[int64][]int64{}
	for _, a := range reply.AbortedTransactions {
		all[a.ProducerID] = append(all[a.ProducerID], a.FirstOffset)
	}
	for _, list := range all {
		slices.Sort(list)
	}
	return all
}

// read reads all batches. The last one of a reply may be cut off.
func (r *reader) read(raw []byte) error {
	for len(raw) > magicAt {
		first := int64(binary.BigEndian.Uint64(raw))
		size := int64(int32(binary.BigEndian.Uint32(raw[8:]))) + headSize
		if size <= magicAt || size > int64(len(raw)) {
			return nil
		}
		if err := r.batch(first, raw[:size]); err != nil {
			return fmt.Errorf("messages at offset %d: %w", first, err)
		}
		raw = raw[size:]
	}
	return nil
}

func (r *reader) batch(first int64, raw []byte) error {
	if raw[magicAt] != 2 {
		if first < r.next {
			return nil
		}
		return r.refuse(r.next, first, "they are in a format from before Kafka 0.11, which weir does not read")
	}
	var b kmsg.RecordBatch
	if len(raw) < headBytes || b.ReadFrom(raw) != nil || b.LastOffsetDelta < 0 || first < 0 {
		return fmt.Errorf("%w: it is not a batch", collect.ErrIncomplete)
	}
	if crc32.Checksum(raw[crcAt:], castagnoli) != uint32(b.CRC) {
		return fmt.Errorf("%w: its checksum does not match", collect.ErrIncomplete)
	}
	last := first + int64(b.LastOffsetDelta)
	if last < r.next {
		return nil
	}
	if r.leaveOut(&b) {
		r.next = last + 1
		return nil
	}
	records, err := r.unpack(&b)
	if errors.Is(err, errUnpacked) {
		return r.refuse(max(r.next, first), last, err.Error())
	}
	if err != nil {
		return err
	}
	err = r.records(&b, records)
	if shrunk := r.hold.Grow(-int64(len(records))); err == nil {
		err = shrunk
	}
	if err == nil {
		r.next = last + 1
	}
	return err
}

// leaveOut tells whether a batch has no messages for anybody: it is of an aborted transaction, or marks the end of one.
func (r *reader) leaveOut(b *kmsg.RecordBatch) bool {
	begun := r.aborted[b.ProducerID]
	within := b.Attributes&transactional != 0 && len(begun) > 0 && b.FirstOffset >= begun[0]
	if b.Attributes&control == 0 {
		return within
	}
	if within && endsAborted(b.Records) {
		r.aborted[b.ProducerID] = begun[1:]
	}
	return true
}

// endsAborted tells whether the record of a control batch marks the end of a transaction that was aborted.
func endsAborted(records []byte) bool {
	_, n := kbin.Varint(records)
	if n <= 0 {
		return false
	}
	in := kbin.Reader{Src: records[n:]}
	in.Int8()
	in.Varlong()
	in.Varint()
	key := in.VarintBytes()
	return in.Ok() && len(key) >= 4 && key[2] == 0 && key[3] == 0
}

// refuse says of messages that they are beyond a limit.
func (r *reader) refuse(first, last int64, why string) error {
	m := collect.Message{Offset: first, Last: last, Refused: why, Epoch: -1, UID: r.p.uid(first, nil)}
	err := r.each(&m)
	if err == nil {
		r.next = last + 1
	}
	return err
}

// records reads the messages of a batch.
func (r *reader) records(b *kmsg.RecordBatch, in []byte) error {
	wrong := fmt.Errorf("%w: its messages do not match its header", collect.ErrIncomplete)
	before := b.FirstOffset - 1
	for range b.NumRecords {
		size, n := kbin.Varint(in)
		if n <= 0 || size < 0 || int(size) > len(in)-n {
			return wrong
		}
		one, ok := r.record(b, in[n:n+int(size)])
		if !ok || one.Offset <= before || one.Offset > b.FirstOffset+int64(b.LastOffsetDelta) {
			return wrong
		}
		before, in = one.Offset, in[n+int(size):]
		if one.Offset < r.next {
			continue
		}
		if err := r.each(&one); err != nil {
			return err
		}
	}
	if len(in) > 0 {
		return wrong
	}
	return nil
}

// record reads a message. It reads only the headers that are shown.
func (r *reader) record(b *kmsg.RecordBatch, raw []byte) (m collect.Message, ok bool) {
	in := kbin.Reader{Src: raw}
	in.Int8()
	at := b.FirstTimestamp + in.Varlong()
	m.Offset = b.FirstOffset + int64(in.Varint())
	key, value := in.VarintBytes(), in.VarintBytes()
	count := in.VarintArrayLen()
	if b.Attributes&logAppendTime != 0 {
		at = b.MaxTimestamp
	}
	if !in.Ok() || count < 0 {
		return m, false
	}
	m.Epoch, m.Time, m.Value, m.UID = b.PartitionLeaderEpoch, at, value, r.p.uid(m.Offset, raw)
	m.Size = len(raw)
	if len(raw) > r.p.source.most {
		m.Refused = fmt.Sprintf("it has %d bytes, at most %d are taken", len(raw), r.p.source.most)
		m.Last, m.Value, m.Size = m.Offset, nil, 0
		return m, true
	}
	r.headers = r.headers[:0]
	left, also := maxHeaders, &extra{key: key, count: int(count)}
	for range min(int(count), maxHeaderCount) {
		h := header{in.VarintString(), in.VarintBytes()}
		if left -= len(h.name) + len(h.value); !in.Ok() || left < 0 {
			break
		}
		r.headers = append(r.headers, h)
	}
	also.headers, m.Also = r.headers, also
	return m, true
}
