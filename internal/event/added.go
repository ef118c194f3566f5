package event

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Facts is what weir says of an event, and no producer can. A line has it as the member weir of unmapped, which is
// OCSF's place for what a class has no attribute for:
//
//	"unmapped":{"weir":{"taken":1763970000000,"by":"6a7941c22c88faeba59c580d","salt":"k7xq2mwp4zt5aohs3"}}
//
// If the producer sent no metadata.logged_time, weir's stands there, and taken is left out, which would say the same
// again: a time of its own costs an event six bytes on disk.
//
// The salt is there for the hashes of lines: a line that can be guessed but for its salt cannot be confirmed by a hash
// of it, or of a tree that has it. See Origin.
//
// If a producer sends such a member, it is kept within weir's as the member claimed, and is what the producer says. So
// a download that is recorded again, in another log or by another weir, shows what the first weir said as a claim.
type Facts struct {
	Taken time.Time // when the event was taken in, to the millisecond, by the clock of the node that did
	By    string    // id of the credential that sent it, or System
}

// What stands in Facts.By where no credential sent an event. No credential has such an id.
const (
	System = "weir"   // weir itself made the event.
	Sample = "sample" // It is one of those that weir ships for trying.
)

// Facts returns the facts of the line that Scan read last; false if the line has none, so was not made by Append.
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

// addedMembers are the members of metadata that weir adds, as it writes them.
var addedMembers = [...]struct {
	at   place
	name string
}{{metadataUID, `"uid":`}, {metadataLogName, `"log_name":`}, {metadataTenant, `"tenant_uid":`},
	{metadataLogged, `"logged_time":`}}

// maxCuts is the most that is left out of a line to get what was sent.
const maxCuts = len(addedMembers) + 1

// sent returns, in parts that alias the event, what a producer sent of the event that was read: all of it without
// weir's facts, without the members of metadata that weir adds to a line, as it writes them, and without a metadata or
// an unmapped that has no others. So it is the same for what a producer sends, for the line that is recorded, and for
// that line when it is recorded again. Where a producer wrote such members itself they are no part of it either: of the
// uid the key tells, of the others nothing.
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

// cutMetadata puts what sent leaves out of metadata into cuts, and returns how much it is.
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

// only returns the member of the event that the object at a place is, from its comma on. It is false if the object has
// more between its braces than bytesCut, or is not written as weir writes it, behind name.
func (p *Parser) only(at place, name string, bytesCut int) (span, bool) {
	v := p.values[at]
	if v.missing() || p.read[v.start] != '{' || v.end-v.start-2 != bytesCut ||
		!bytes.HasSuffix(p.read[:v.start], []byte(name)) {
		return span{}, false
	}
	return span{v.start - len(name), v.end}, true
}

// factsMember returns where the member of unmapped stands whose place weir's facts take, with one comma if it has a
// neighbour; the zero span if there is none.
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

// added returns how many bytes of the event that was scanned a weir may have added, so that what was taken once is
// taken again. It cannot be told who wrote them, so those of a producer do not count either.
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

// line appends the line of an event: what was sent, with what is missing in metadata put at its end, and weir's facts
// at the end of unmapped. Both objects are made if need be.
type line struct {
	parser *Parser
	event  []byte
	copied int  // how much of event dst has
	cut    span // of event: what dst shall not have
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

// copy appends the event up to a place.
func (l *line) copy(end int) {
	if l.copied <= l.cut.start && l.cut.end <= end {
		l.dst = append(l.dst, l.event[l.copied:l.cut.start]...)
		l.copied = l.cut.end
	}
	l.dst = append(l.dst, l.event[l.copied:end]...)
	l.copied = end
}

// open copies up to the end of the object at a place, and tells whether the object was made, and whether its next
// member needs a comma.
func (l *line) open(at place, name string) (made, comma bool) {
	object := l.parser.values[at]
	if object.missing() {
		l.copy(len(l.event) - 1)
		l.dst = append(append(l.dst, ',', '"'), name...) // not the first member: there is time
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
