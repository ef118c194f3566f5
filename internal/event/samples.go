package event

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// asp-audit.ndjson has one event of each kind that a stream processing workspace records in its audit log.
//
//go:embed ocsf/asp-audit.ndjson
var samples string

// The kinds, by their line numbers in asp-audit.ndjson.
const (
	logon = iota
	logonFailed
	create
	start
	sample
	process
	stop
	modify
	dropRefused
	drop
	download
	downloadRefused
	logoff
)

// visit is the sequence of events of one connection.
type visit struct {
	before    time.Duration // how long before the end of the samples it begins
	processor string
	kinds     []int
}

// visits are the connections of the three days of Samples, oldest first. Each ends before the next begins.
var visits = []visit{
	{71 * time.Hour, "orders-enrich", []int{logon, create, start, sample, logoff}},
	{70 * time.Hour, "payments-window", []int{logon, create, start, logoff}},
	{66 * time.Hour, "", []int{logonFailed, logonFailed}},
	{61 * time.Hour, "clickstream-rollup", []int{logon, process, create, start, sample, sample, logoff}},
	{49 * time.Hour, "payments-window", []int{logon, dropRefused, logoff}},
	{47 * time.Hour, "orders-enrich", []int{logon, stop, modify, start, sample, logoff}},
	{36 * time.Hour, "", []int{download}},
	{30 * time.Hour, "", []int{downloadRefused}},
	{25 * time.Hour, "clickstream-rollup", []int{logon, sample, stop, drop, logoff}},
	{20 * time.Hour, "payments-window", []int{logon, stop, modify, start, sample, logoff}},
	{9 * time.Hour, "orders-enrich", []int{logon, sample, sample, logoff}},
	{5 * time.Hour, "", []int{logonFailed}},
	{3 * time.Hour, "clickstream-rollup", []int{logon, create, start, logoff}},
	{time.Hour, "", []int{download}},
	{20 * time.Minute, "orders-enrich", []int{logon, stop, start, sample, logoff}},
}

// Samples returns the events of a workspace in the three days before until, sorted by time and complete but for
// metadata.logged_time. The same arguments give the same events. Other arguments give other uids.
func Samples(workspace, project string, until time.Time) [][]byte {
	kinds := strings.Split(samples, "\n")
	id := func(of ...any) [32]byte {
		return sha256.Sum256(fmt.Append(nil, project, "/", workspace, "/", until.UnixMilli(), "/", of))
	}
	var events [][]byte
	for _, v := range visits {
		at := until.Add(-v.before)
		connection := id("connection", v.before)
		processor := id("processor", v.processor)
		for i, kind := range v.kinds {
			uid := id("event", v.before, i)
			at = at.Add(time.Second + time.Duration(uid[0])*137*time.Millisecond) // up to 36 s apart
			line := kinds[kind]
			// Replacer takes the first match at each position, and does not search the replacements.
			events = append(events, []byte(strings.NewReplacer(
				between(line, `"time":`, `,`), strconv.FormatInt(at.UnixMilli(), 10),
				between(line, `},"uid":"`, `"`), uuid(uid),
				between(line, `"correlation_uid":"`, `"`), uuid(connection),
				`"prod-orders"`, string(appendQuoted(nil, workspace)),
				`"6a793f48c0eb9e7a17712c9a"`, string(appendQuoted(nil, project)),
				"orders-enrich", v.processor, "6a7941c22c88faeba59c580d", hex.EncodeToString(processor[:12]),
				"payments-window", v.processor, "6a7941c22c88faeba59c580f", hex.EncodeToString(processor[:12]),
			).Replace(line)))
		}
	}
	return events
}

// between returns the part of s between the first before and the next after.
func between(s, before, after string) string {
	_, rest, _ := strings.Cut(s, before)
	value, _, _ := strings.Cut(rest, after)
	return value
}

// uuid returns a version-8 UUID (RFC 9562 section 5.8) of a hash.
func uuid(h [32]byte) string {
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
