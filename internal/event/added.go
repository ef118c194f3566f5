package event

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Facts are statements of weir about an event that no producer can make. A recorded line has them as the member weir of
// unmapped, OCSF's place for data without an attribute in the class:
//
//	"unmapped":{"weir":{"taken":1763970000000,"by":"6a7941c22c88faeba59c580d","salt":"k7xq2mwp4zt5aohs3"}}
//
// If the producer sent no metadata.logged_time, weir writes its own time there and leaves out taken, which would repeat
// it. A separate taken costs an event six bytes on disk.
//
// The salt protects the hashes of lines. Without knowing the salt, nobody can confirm a guess of a line by its hash, or
// by a tree that contains the hash. See Origin.
//
// If a producer sends a member weir, weir keeps it as the member claimed of its own, where it counts as a statement of
// the producer. So if a download is recorded again, in another log or by another weir, the facts of the first weir
// appear as a claim.
type Facts struct {
	Taken time.Time // when a node took the event in, by the node's clock, to the millisecond
	By    string    // id of the credential that sent it, or System
}

// Values of Facts.By for events that no credential sent. No credential has such an id.
const (
	System = "weir"   // weir itself made the event.
	Sample = "sample" // The event is one of the samples that weir ships.
)

// Facts returns the facts of the line that the last Scan read. It returns false if the line has none, because Append
// did not make it.
func (p *Parser) Facts() (Facts, bool) {
	taken, by := p.values[factsTaken], p.string(p.read, factsBy)
	if taken.missing() {
		taken = p.values[metadataLogged]
	}
	if taken.missing() || by == nil {
		return Facts{}, false
	}
	ms, err := strconv.ParseInt(string(taken.of(p.read)), 10, 64)
	return Facts{Taken: time.UnixMilli(ms), By: string(by)}, err == nil
}

// addedMembers are the members of metadata that weir adds, with their names as weir writes them.
var addedMembers = [...]struct {
	at   place
	name string
}{{metadataUID, `"uid":`}, {metadataLogName, `"log_name":`}, {metadataTenant, `"tenant_uid":`},
	{metadataLogged, `"logged_time":`}}

// maxCuts is the maximum number of spans that sent leaves out of a line.
const maxCuts = len(addedMembers) + 1

// sent returns, in parts that alias the event, what a producer sent of the event that was read. It leaves out weir's
// facts, the members of metadata in the form in which weir adds them, and a metadata or an unmapped that has no other
// members. So the result is the same for the event as the producer sends it, for the recorded line, and for that line
// when it is recorded again. Such members are left out even if the producer wrote them: the key covers the uid anyway,
// and nothing covers the others.
func (p *Parser) sent() [][]byte {
	var cuts [maxCuts]span
	n := p.cutMetadata(cuts[:])
	c := p.factsMember()
	if all, ok := p.only(unmapped, `,"unmapped":`, c.end-c.start); ok {
		c = all
	}
	if !c.missing() {
		cuts[n] = c
		n++
	}
	slices.SortFunc(cuts[:n], func(a, b span) int { return cmp.Compare(a.start, b.start) })
	parts, start := p.parts[:0], 0
	for _, c := range cuts[:n] {
		parts, start = append(parts, p.read[start:c.start]), c.end
	}
	return append(parts, p.read[start:])
}

// cutMetadata puts the spans of metadata that sent leaves out into cuts, and returns their number.
func (p *Parser) cutMetadata(cuts []span) int {
	n, bytesCut := 0, 0
	for _, m := range addedMembers {
		v := p.values[m.at]
		if v.missing() || !bytes.HasSuffix(p.read[:v.start], []byte(m.name)) {
			continue
		}
		v.start -= len(m.name)
		if p.read[v.start-1] == ',' {
			v.start--
		}
		cuts[n] = v
		n++
		bytesCut += v.end - v.start
	}
	if all, ok := p.only(metadata, `,"metadata":`, bytesCut); ok {
		cuts[0], n = all, 1
	}
	return n
}

// only returns the span of the object at a place, with its name and the comma before it. It returns false if the object
// has more between its braces than bytesCut bytes, or if name, as weir writes it, does not precede it.
func (p *Parser) only(at place, name string, bytesCut int) (span, bool) {
	v := p.values[at]
	if v.missing() || p.read[v.start] != '{' || v.end-v.start-2 != bytesCut ||
		!bytes.HasSuffix(p.read[:v.start], []byte(name)) {
		return span{}, false
	}
	return span{v.start - len(name), v.end}, true
}

// factsMember returns the span of the member of unmapped that has the name of weir's facts, with one comma if it has a
// neighbour. It returns the zero span if there is none.
func (p *Parser) factsMember() span {
	v := p.values[facts]
	if v.missing() {
		return span{}
	}
	space := func(i int) bool { return p.read[i] <= ' ' }
	before, behind := p.factsName-1, v.end
	for space(before) {
		before--
	}
	for space(behind) {
		behind++
	}
	switch {
	case p.read[before] == ',':
		return span{before, v.end}
	case p.read[behind] == ',':
		return span{p.factsName, behind + 1}
	}
	return span{p.factsName, v.end}
}

// added returns how many bytes of the scanned event a weir may have added. They do not count against the limit of size,
// so an event that was taken once is taken again. It is not known who wrote them, so bytes that a producer wrote in the
// same places do not count either.
func (p *Parser) added() int {
	n := 0
	add := func(at place, member string) {
		if v := p.values[at]; !v.missing() {
			n += len(member) + v.end - v.start
		}
	}
	add(metadataUID, `,"uid":`)
	add(metadataLogName, `,"log_name":`)
	add(metadataTenant, `,"tenant_uid":`)
	add(metadataLogged, `,"logged_time":`)
	if n > 0 {
		n += len(`,"metadata":{}`) - 1 // The first member has no comma.
	}
	if !p.values[facts].missing() {
		add(facts, `,"weir":`)
		n += len(`,"unmapped":{}`) - 1
	}
	if p.Operational && !p.values[tDate].missing() {
		add(eventTime, `,"time":`)
	}
	return min(n, maxAdded)
}

// line builds the recorded line of an event: the bytes that were sent, with missing members added at the end of
// metadata and weir's facts at the end of unmapped. Either object is added if the event lacks it.
type line struct {
	parser *Parser
	event  []byte
	copied int  // number of bytes of event that were copied to dst
	cut    span // span of event that is left out of dst
	dst    []byte
}

// fill appends the line to dst.
func (p *Parser) fill(dst, event, uid []byte, origin Origin) []byte {
	l := line{parser: p, event: event, cut: p.factsMember(), dst: dst}
	meta, rest := p.values[metadata], p.values[unmapped]
	if !rest.missing() && (meta.missing() || rest.end < meta.end) {
		l.facts(origin)
		l.metadata(uid, origin)
	} else {
		l.metadata(uid, origin)
		l.facts(origin)
	}
	l.copy(len(event))
	return append(l.dst, '\n')
}

// copy appends the event up to an offset.
func (l *line) copy(end int) {
	if l.copied <= l.cut.start && l.cut.end <= end {
		l.dst = append(l.dst, l.event[l.copied:l.cut.start]...)
		l.copied = l.cut.end
	}
	l.dst = append(l.dst, l.event[l.copied:end]...)
	l.copied = end
}

// open copies the event up to the end of the object at a place. It tells whether it had to add the object, and whether
// the object's next member needs a comma.
func (l *line) open(at place, name string) (made, comma bool) {
	object := l.parser.values[at]
	if object.missing() {
		l.copy(len(l.event) - 1)
		l.dst = append(append(l.dst, ',', '"'), name...) // It is not the first member: every event has a time.
		l.dst = append(l.dst, `":{`...)
		return true, false
	}
	l.copy(object.end - 1)
	last := len(l.dst) - 1
	for l.dst[last] <= ' ' {
		last--
	}
	return false, l.dst[last] != '{'
}

func (l *line) close(made bool) {
	if made {
		l.dst = append(l.dst, '}')
	}
}

func (l *line) metadata(uid []byte, origin Origin) {
	made, comma := l.open(metadata, "metadata")
	member := func(at place, name string) bool {
		if !l.parser.values[at].missing() {
			return false
		}
		if comma {
			l.dst = append(l.dst, ',')
		}
		comma = true
		l.dst = append(l.dst, name...)
		return true
	}
	if member(metadataUID, `"uid":"`) { // hexadecimal digits
		l.dst = append(append(l.dst, uid...), '"')
	}
	if origin.Workspace != "" && member(metadataLogName, `"log_name":`) {
		l.dst = appendQuoted(l.dst, origin.Workspace)
	}
	if origin.Project != "" && member(metadataTenant, `"tenant_uid":`) {
		l.dst = appendQuoted(l.dst, origin.Project)
	}
	if member(metadataLogged, `"logged_time":`) {
		l.dst = strconv.AppendInt(l.dst, origin.Received.UnixMilli(), 10)
	}
	l.close(made)
}

func (l *line) facts(origin Origin) {
	made, comma := l.open(unmapped, "unmapped")
	if comma {
		l.dst = append(l.dst, ',')
	}
	l.dst = append(l.dst, `"weir":{`...)
	if !l.parser.values[metadataLogged].missing() {
		l.dst = append(l.dst, `"taken":`...)
		l.dst = append(strconv.AppendInt(l.dst, origin.Received.UnixMilli(), 10), ',')
	}
	l.dst = append(l.dst, `"by":`...)
	l.dst = appendQuoted(l.dst, origin.By)
	if origin.Salt != "" {
		l.dst = append(l.dst, `,"salt":`...)
		l.dst = appendQuoted(l.dst, origin.Salt)
	}
	if claimed := l.parser.values[facts]; !claimed.missing() {
		l.dst = append(l.dst, `,"claimed":`...)
		l.dst = append(l.dst, claimed.of(l.event)...)
	}
	l.dst = append(l.dst, '}')
	l.close(made)
}
