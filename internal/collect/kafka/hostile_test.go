package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirlog/weir/internal/brokers"
	"github.com/weirlog/weir/internal/collect"
)

// counted is memory that is accounted for.
type counted struct {
	held, highest int64
	most          int64 // if 0, there is no bound
	exempt        int64 // This much at a time is taken, whatever the bound.
}

var errHeld = errors.New("too much is held")

func (c *counted) Grow(n int64) error {
	if c.most > 0 && c.held+n > c.most && n != c.exempt {
		return errHeld
	}
	c.held += n
	c.highest = max(c.highest, c.held)
	return nil
}

func (c *counted) Release() { c.held = 0 }

// message returns one as it lies in a batch.
func message(delta int32, key, value []byte, headers int32, rest []byte) []byte {
	body := kbin.AppendVarint([]byte{0, 0}, delta)
	body = kbin.AppendVarintBytes(body, key)
	body = kbin.AppendVarintBytes(body, value)
	body = append(kbin.AppendVarint(body, headers), rest...)
	return append(kbin.AppendVarint(nil, int32(len(body))), body...)
}

// packed returns a batch.
func packed(first int64, attributes int16, count int32, records []byte) []byte {
	b := kmsg.NewRecordBatch()
	b.FirstOffset, b.Magic, b.Attributes, b.NumRecords, b.LastOffsetDelta = first, 2, attributes, count, max(count-1, 0)
	b.FirstTimestamp, b.MaxTimestamp, b.Records = 1795158062000, 1795158062000, records
	b.Length = int32(headBytes - headSize + len(records))
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[crcAt:], castagnoli))
	return raw
}

// readAll reads a reply from an offset on.
func readAll(raw []byte, from int64) (all []collect.Message, next int64, hold counted, err error) {
	p := &partition{source: &Source{most: most, settings: Settings{Mapping: Raw}}, topic: topic}
	r := reader{p: p, next: from, hold: &hold, aborted: map[int64][]int64{}, each: func(m *collect.Message) error {
		c := *m
		c.Value = slices.Clone(m.Value)
		if m.Refused == "" {
			if made, err := p.Map(nil, m, time.UnixMilli(1795158062000)); err == nil && len(made) >
				collect.MapFactor*most+collect.MapMemory {
				panic("an event is larger than it may be")
			}
		}
		all = append(all, c)
		return nil
	}}
	err = r.read(raw)
	return all, r.next, hold, err
}

func pack(t *testing.T, codec int16, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch codec {
	case packedGzip:
		w := gzip.NewWriter(&b)
		_, err = w.Write(data)
		w.Close()
	case packedSnappy:
		return s2.EncodeSnappy(nil, data)
	case packedLZ4:
		w := lz4.NewWriter(&b)
		_, err = w.Write(data)
		w.Close()
	case packedZstd:
		var w *zstd.Encoder
		if w, err = zstd.NewWriter(&b); err == nil {
			_, err = w.Write(data)
			w.Close()
		}
	default:
		return data
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Batches of all ways of packing are read, those behind a batch that is cut off are not, and nothing stays held.
func TestBatchesAreRead(t *testing.T) {
	records := append(message(0, nil, []byte("a"), 0, nil), message(1, []byte("k"), []byte("b"), 0, nil)...)
	for codec := range int16(5) {
		raw := packed(7, codec, 2, pack(t, codec, records))
		all, next, hold, err := readAll(append(raw, raw[:40]...), 8)
		if err != nil || next != 9 || len(all) != 1 || string(all[0].Value) != "b" || hold.held != 0 {
			t.Errorf("%d: %+v, next %d, held %d, %v", codec, all, next, hold.held, err)
		}
	}
	framed := append(slices.Clone(snappyMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	for _, part := range [][]byte{records[:5], records[5:]} {
		block := s2.EncodeSnappy(nil, part)
		framed = append(binary.BigEndian.AppendUint32(framed, uint32(len(block))), block...)
	}
	if all, _, _, err := readAll(packed(0, packedSnappy, 2, framed), 0); err != nil || len(all) != 2 {
		t.Errorf("as Java packs snappy: %+v, %v", all, err)
	}
}

// A batch that unpacks to more than is taken is refused as a whole, in bounded memory, and what follows is read.
func TestBombsAreRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	bomb := make([]byte, maxUnpacked+1)
	for codec := int16(1); codec < 5; codec++ {
		raw := append(packed(3, codec, 4, pack(t, codec, bomb)), packed(7, 0, 1, message(0, nil, []byte("x"), 0, nil))...)
		all, next, hold, err := readAll(raw, 4)
		if err != nil || next != 8 || len(all) != 2 || all[0].Refused == "" || all[0].Offset != 4 || all[0].Last != 6 ||
			string(all[1].Value) != "x" || hold.held != 0 || hold.highest > 4*maxUnpacked {
			t.Errorf("%d: %d messages, next %d, held %d of %d, %v", codec, len(all), next, hold.held, hold.highest, err)
		}
	}
}

// The decoder of a batch is not made before its memory is accounted for. With the costliest batches that is enough.
func TestUnpackingIsAccountedFor(t *testing.T) {
	one := message(0, nil, bytes.Repeat([]byte("x"), 8<<20), 0, nil)
	var wide, blocks bytes.Buffer
	z, err := zstd.NewWriter(&wide, zstd.WithWindowSize(maxWindow), zstd.WithSingleSegment(false))
	l := lz4.NewWriter(&blocks)
	if err = errors.Join(err, l.Apply(lz4.LegacyOption(true))); err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{z, l} {
		if _, err := w.Write(one); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
	}
	for codec, data := range map[int16][]byte{packedGzip: pack(t, packedGzip, one), packedLZ4: blocks.Bytes(),
		packedZstd: wide.Bytes()} {
		hold := &counted{most: decoderMemory[codec] - 1}
		r := reader{hold: hold}
		b := kmsg.RecordBatch{Attributes: codec, Records: data}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.unpack(&b)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, errHeld) || hold.held != 0 || took > 4<<10 {
			t.Errorf("%d: %v, held %d, %d bytes are taken", codec, err, hold.held, took)
		}
		hold.most = 0
		runtime.ReadMemStats(&before)
		out, err := r.unpack(&b)
		runtime.ReadMemStats(&after)
		const grown = 2 * 32 << 20 // what is unpacked, in buffers that double
		if took := int64(after.TotalAlloc - before.TotalAlloc); err != nil || !bytes.Equal(out, one) ||
			hold.held != int64(len(out)) || took > decoderMemory[codec]+grown {
			t.Errorf("%d: %v, held %d, %d bytes are taken", codec, err, hold.held, took)
		}
	}
}

// A batch that claims more than it has costs no memory, and is not taken for messages.
func TestClaimsOfBatches(t *testing.T) {
	one := message(0, nil, []byte("x"), 0, nil)
	for name, raw := range map[string][]byte{
		"more messages than there are":  packed(0, 0, 1<<30, one),
		"fewer messages than there are": packed(0, 0, 1, append(one, message(1, nil, nil, 0, nil)...)),
		"an offset twice":               packed(0, 0, 2, append(one, one...)),
		"an offset outside":             packed(0, 0, 1, message(5, nil, nil, 0, nil)),
		"more headers than bytes":       packed(0, 0, 1, message(0, nil, nil, 1<<30, nil)),
		"a length beyond its end":       packed(0, 0, 1, kbin.AppendVarint(nil, 1<<30)),
		"an unknown way of packing":     packed(0, 7, 1, one),
		"no gzip":                       packed(0, packedGzip, 1, one),
	} {
		if all, next, hold, err := readAll(raw, 0); err == nil || next != 0 || hold.held != 0 || len(all) > 1 {
			t.Errorf("%s: %+v, next %d, held %d, %v", name, all, next, hold.held, err)
		}
	}
	flipped := packed(0, 0, 1, one)
	flipped[len(flipped)-1] ^= 1
	if _, next, _, err := readAll(flipped, 0); err == nil || next != 0 {
		t.Error("a wrong checksum is taken")
	}
}

func FuzzBatches(f *testing.F) {
	records := append(message(0, nil, []byte(`{"a":1}`), 0, nil),
		message(1, []byte("k"), nil, 1, []byte{2, 'h', 2, 'v'})...)
	for codec := range int16(5) {
		f.Add(packed(7, codec, 2, records), int64(7))
	}
	f.Fuzz(func(t *testing.T, raw []byte, from int64) {
		if len(raw) > crcAt { // so that most inputs get behind the checksum
			if size := int64(int32(binary.BigEndian.Uint32(raw[8:]))) + headSize; size > crcAt && size <= int64(len(raw)) {
				binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[crcAt:size], castagnoli))
			}
		}
		all, next, hold, _ := readAll(raw, from)
		if next < from || hold.held != 0 {
			t.Errorf("from %d to %d, held %d", from, next, hold.held)
		}
		for _, m := range all {
			if m.Offset < from {
				t.Errorf("a message of offset %d, from %d on", m.Offset, from)
			}
		}
	})
}

// Messages that are large, have many headers, no value, no time or no text are events, or an event says why not.
func TestHostileMessages(t *testing.T) {
	w := newWorld(t, 1)
	w.settings.Mapping = Raw
	var headers []kgo.RecordHeader
	for range 1000 {
		headers = append(headers, kgo.RecordHeader{Key: "h", Value: []byte("\xff")})
	}
	w.produce(&kgo.Record{Value: bytes.Repeat([]byte{1}, most)}, &kgo.Record{Value: bytes.Repeat([]byte{1}, most-100)},
		&kgo.Record{Headers: headers}, &kgo.Record{Value: []byte("\xfe"), Key: []byte("key")},
		&kgo.Record{Value: []byte("old"), Timestamp: time.UnixMilli(5)},
		&kgo.Record{Value: []byte("new"), Timestamp: time.Now().Add(time.Hour)})
	state := w.collect()
	if state.Refused != 1 || state.Unread != 2 || state.Recorded != 6 {
		t.Errorf("%+v", state.Counts)
	}
	all := w.entries()
	if len(all) != 6 {
		t.Fatalf("%+v", all)
	}
	text := map[string]int{}
	for _, e := range all {
		switch {
		case e.Unmapped.Missing != nil && e.Unmapped.Missing.FirstOffset == 0 && e.Unmapped.Missing.LastOffset == 0:
			text["refused: "+e.Unmapped.Missing.Reason[:7]]++
		case e.Unmapped.Unread.Reason != "":
			text["unread "+e.Raw]++
		case len(e.Raw) > 1000:
			text["large "+strings.Trim(e.Raw, "\x01")]++
		default:
			shown, _ := e.Unmapped.Kafka["headers"].([]any)
			if len(shown) > 0 && (len(shown) != maxHeaderCount || e.Unmapped.Kafka["headers_left_out"] != 950.0) {
				t.Errorf("%+v", e.Unmapped.Kafka)
			}
			text[e.Raw]++
		}
	}
	for _, want := range []string{"refused: it has ", "unread old", "unread new", "large ", "", "/g=="} {
		if text[want] != 1 {
			t.Errorf("%q: %d times in %v", want, text[want], text)
		}
	}
}

// A message that cannot be read keeps its key and headers, and says where it lies. All of it is accounted for.
func TestUnreadMessagesAreKeptWhole(t *testing.T) {
	for _, mapping := range []Mapping{OCSF, Confluent, JSON} {
		w := newWorld(t, 1)
		w.settings.Mapping, w.hold = mapping, &counted{}
		key := strings.Repeat("k", 20<<10)
		w.produce(&kgo.Record{Key: []byte(key), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}},
			&kgo.Record{Key: []byte("\xff"), Value: []byte("no object")})
		if state := w.collect(); state.Unread != 2 || state.Recorded != 2 {
			t.Errorf("%s: %+v", mapping, state.Counts)
		}
		if least := int64(40 * len(key)); w.hold.highest < least {
			t.Errorf("%s: %d bytes were accounted for", mapping, w.hold.highest)
		}
		all := w.entries()
		if len(all) != 2 {
			t.Fatalf("%s: %+v", mapping, all)
		}
		first, second := all[0].Unmapped.Kafka, all[1].Unmapped.Kafka
		if first["key"] != key || first["offset"] != 0.0 || first["partition"] != 0.0 || first["topic"] != topic ||
			!strings.HasPrefix(fmt.Sprint(first["headers"]), "[map[name:h value:v") {
			t.Errorf("%s: %.300v", mapping, first)
		}
		if second["key"] != "/w==" || second["key_encoding"] != "base64" || all[1].Raw != "no object" {
			t.Errorf("%s: %+v", mapping, all[1])
		}
	}
}

// The memory of a broker's reply is accounted for before the request.
func TestRepliesAreAccountedFor(t *testing.T) {
	w := newWorld(t, 1)
	w.produce(numbered(0, 1)...)
	w.collect()
	w.produce(numbered(1, 1)...)
	for most, says := range map[int64]string{brokers.ListMemory - 1: "list what the source has", maxReply - 1: ""} {
		w.hold = &counted{most: most}
		if most < maxReply {
			w.hold.exempt = brokers.ListMemory
		}
		state, err := w.round(t.Context())
		if !errors.Is(err, errHeld) || !strings.Contains(state.Error, says) || state.Recorded != 1 || len(state.Units) != 1 {
			t.Errorf("%d: %+v, %v", most, state, err)
		}
	}
	w.hold = nil
	if state := w.collect(); state.Recorded != 2 || w.texts() != "m0 m1" {
		t.Errorf("%+v, %s", state, w.texts())
	}
}
