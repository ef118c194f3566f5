// Package corpus makes events as a busy stream processing workspace audits them, the same for the same seed, to measure
// with.
package corpus

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Processors is how many stream processors there are. The first half works all the time, each of the others only in a
// tenth of it.
const Processors = 60

// Processor returns the name of a stream processor.
func Processor(n int) string { return fmt.Sprintf("processor-%02d", n) }

// Corpus yields Events events, spread evenly over the days before Until, in the order of their times.
type Corpus struct {
	Events int
	Days   int
	Until  time.Time
	Seed   uint64

	// Varied makes events less alike: their times are irregular, and not always in order, and each has a message of free
	// text and a duration.
	Varied bool

	// Sought puts things to search for into events: one connection of a hundred comes from BusyAddress, and one event of
	// 50,000 has RareWord.
	Sought bool

	rnd      *rand.Rand
	next     int
	sessions []session
	words    *rand.Zipf
}

// session is one connection: what it does has its user, address and correlation id.
type session struct {
	user, processor int
	ip              string
	port            int
	correlation     string
}

// The values that only a corpus that is Sought has.
const (
	BusyAddress = "198.51.100.7"
	RareWord    = "zanzibar"
)

// concurrent is how many connections are open at a time.
const concurrent = 40

// kinds are the actions, with the OCSF activity and atype of each.
var kinds = [...]struct {
	class, activity int
	atype           string
}{
	{3004, 10, "startStreamProcessor"}, {3004, 11, "stopStreamProcessor"}, {3004, 3, "modifyStreamProcessor"},
	{3004, 1, "createStreamProcessor"}, {6003, 2, "sampleStreamProcessor"}, {6003, 2, "sampleStreamProcessor"},
	{3002, 1, "authenticate"}, {3002, 2, "logout"},
}

// Next appends the next event and a newline to dst; ok is false behind the last one.
func (c *Corpus) Next(dst []byte) (line []byte, ok bool) {
	if c.next == c.Events {
		return dst, false
	}
	if c.rnd == nil {
		c.rnd = rand.New(rand.NewPCG(c.Seed, c.Seed))
		c.sessions = make([]session, concurrent)
		for i := range c.sessions {
			c.sessions[i] = c.connect()
		}
	}
	at := c.rnd.IntN(concurrent)
	if c.rnd.IntN(12) == 0 {
		c.sessions[at] = c.connect()
	}
	span := int64(c.Days) * 24 * 3600 * 1000
	time := c.Until.UnixMilli() - span + int64(float64(c.next)/float64(c.Events)*float64(span))
	if c.Varied {
		time = c.irregular(time, span)
	}
	c.next++
	return c.event(dst, &c.sessions[at], time), true
}

// irregular returns a time near another one: events come in bursts, and one of 50 is late by up to five seconds.
func (c *Corpus) irregular(ms, span int64) int64 {
	ms += int64(min(c.rnd.ExpFloat64(), 20) * float64(span) / float64(c.Events) / 2)
	if c.rnd.IntN(50) == 0 {
		ms -= c.rnd.Int64N(5000)
	}
	return min(ms, c.Until.UnixMilli()-1)
}

// varied appends a message and a duration.
func (c *Corpus) varied(dst []byte) []byte {
	const vocabulary = 5000
	if c.words == nil {
		c.words = rand.NewZipf(c.rnd, 1.2, 4, vocabulary-1)
	}
	dst = append(dst, `,"message":"`...)
	for i := range 4 + c.rnd.IntN(12) {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, word(c.words.Uint64())...)
	}
	return fmt.Appendf(dst, `","duration":%d`, int64(c.rnd.ExpFloat64()*20_000))
}

// word returns a word, the same for the same number.
func word(n uint64) []byte {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var w []byte
	for n += 40; n > 0; n /= uint64(len(consonants) * len(vowels)) {
		part := n % uint64(len(consonants)*len(vowels))
		w = append(w, consonants[part/uint64(len(vowels))], vowels[part%uint64(len(vowels))])
	}
	return w
}

func (c *Corpus) connect() session {
	user := c.rnd.IntN(400)
	s := session{user: user, processor: c.processor(), ip: fmt.Sprintf("203.0.%d.%d", 112+user%4, c.rnd.IntN(250)),
		port: 1024 + c.rnd.IntN(60000), correlation: c.uuid(c.rnd.Uint64())}
	if c.Sought && c.rnd.IntN(100) == 0 {
		s.ip = BusyAddress
	}
	return s
}

// processor returns one that works now.
func (c *Corpus) processor() int {
	const half = Processors / 2
	if n := c.rnd.IntN(Processors); n < half {
		return n
	}
	tenth := c.next * 10 / c.Events // of the time; three of the second half work in each
	return half + tenth*half/10 + c.rnd.IntN(half/10)
}

// uuid returns a UUID of version 7 whose first 48 bits are given.
func (c *Corpus) uuid(first uint64) string {
	a, b := c.rnd.Uint64(), c.rnd.Uint64()
	return fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", first>>16&0xffffffff, first&0xffff, a&0xfff, a>>16&0x3fff|0x8000,
		b&0xffffffffffff)
}

func (c *Corpus) event(dst []byte, s *session, ms int64) []byte {
	k := kinds[c.rnd.IntN(len(kinds))]
	status, outcome, severity := 1, "Success", 1
	if c.rnd.IntN(30) == 0 {
		status, outcome, severity = 2, "Failure", 3
	}
	dst = fmt.Appendf(dst, `{"activity_id":%d,"category_uid":%d,"class_uid":%d,"type_uid":%d,"time":%d,`+
		`"severity_id":%d,"status_id":%d,"status":%q,`+
		`"metadata":{"version":"1.8.0","product":{"name":"Atlas Stream Processing","vendor_name":"MongoDB"},`+
		`"uid":"%s","log_name":"prod-orders","tenant_uid":"6a793f48c0eb9e7a17712c9a","correlation_uid":"%s"},`+
		`"actor":{"user":{"type_id":1,"name":"admin.user-%d","groups":[{"name":"admin.atlasAdmin"}]}},`+
		`"src_endpoint":{"ip":"%s","port":%d},"dst_endpoint":{"ip":"10.20.0.7","port":27017},`+
		`"unmapped":{"atype":"%s"}`,
		k.activity, k.class/1000, k.class, k.class*100+k.activity, ms, severity, status, outcome, c.uuid(uint64(ms)),
		s.correlation, s.user, s.ip, s.port, k.atype)
	name := Processor(s.processor)
	switch k.class {
	case 3004:
		dst = fmt.Appendf(dst, `,"entity":{"name":"%s","type":"Stream Processor","type_id":99,`+
			`"uid":"6a7941c22c88faeba59c58%02x"}`, name, s.processor)
	case 6003:
		dst = fmt.Appendf(dst, `,"api":{"operation":"%s","request":{"uid":"r-%d"}},"resources":[{"name":"%s",`+
			`"type":"Stream Processor"}]`, k.atype, c.next, name)
	case 3002:
		dst = fmt.Appendf(dst, `,"user":{"type_id":1,"name":"admin.user-%d"},"auth_protocol":"SCRAM-SHA-256"`, s.user)
	}
	if status == 2 {
		dst = append(dst, `,"status_code":"13","status_detail":"Unauthorized"`...)
	}
	if c.Varied {
		dst = c.varied(dst)
	}
	if c.Sought && c.next%50_000 == 25_000 {
		dst = append(dst, `,"comment":"called from `+RareWord+`, once"`...)
	}
	return append(dst, "}\n"...)
}

// Body is a request's body whose events become others, as large and as realistic, whenever Renew is called.
type Body struct {
	Lines []byte
	uids  []int // where the last 12 digits of each event's uid begin
	times []int // where the 13 digits of its time begin
}

// NewBody returns the next n events of a corpus as a body, fewer if it ends.
func (c *Corpus) NewBody(n int) *Body {
	b := &Body{}
	for range n {
		start := len(b.Lines)
		lines, ok := c.Next(b.Lines)
		if !ok {
			break
		}
		b.Lines = lines
		b.uids = append(b.uids, start+end(lines[start:], `"vendor_name":"MongoDB"},"uid":"`)+36-12)
		b.times = append(b.times, start+end(lines[start:], `"time":`))
	}
	return b
}

// end returns where the first text in line ends.
func end(line []byte, text string) int { return bytes.Index(line, []byte(text)) + len(text) }

// Count returns the number of events.
func (b *Body) Count() int { return len(b.uids) }

// Renew gives the events uids that no other call with another number gives, and times in the second before now.
func (b *Body) Renew(number uint64, now time.Time) { b.RenewOver(number, now, time.Second) }

// RenewOver is Renew with times spread evenly over a span before now.
func (b *Body) RenewOver(number uint64, now time.Time, span time.Duration) {
	var raw [6]byte
	first := now.Add(-span).UnixMilli()
	for i, at := range b.uids {
		n := number*uint64(len(b.uids)) + uint64(i)
		n *= 0x9e3779b97f4b // odd, so a permutation of 48 bits
		for j := range raw {
			raw[j] = byte(n >> (40 - 8*j))
		}
		hex.Encode(b.Lines[at:at+12], raw[:])
		// in place: 13 digits until the year 2286
		strconv.AppendInt(b.Lines[:b.times[i]], first+int64(i)*span.Milliseconds()/int64(len(b.uids)), 10)
	}
}

// Small returns n events of a small workspace, the newest last.
func Small(n int, seed uint64, until time.Time) []byte {
	c := Corpus{Events: n, Days: 30, Until: until, Seed: seed}
	var lines []byte
	for line, ok := c.Next(nil); ok; line, ok = c.Next(line[:0]) {
		lines = append(lines, line...)
	}
	return lines
}

// WorkspaceName returns the name of a small workspace.
func WorkspaceName(n int) string { return "small-" + strconv.Itoa(n) }
