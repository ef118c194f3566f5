package api

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/connect/splunk"
	"github.com/weirlog/weir/internal/record"
)

// hec are the operations of Splunk's HTTP Event Collector.
type hec struct {
	recordings
	tag func(purpose string, content []byte) []byte // a tag that only a node can compute
}

// hecReply is a reply of Splunk's API.
type hecReply struct {
	Text    string `json:"text"`
	Code    int    `json:"code"`
	Invalid *int   `json:"invalid-event-number,omitempty"` // from 0
	AckID   *int64 `json:"ackId,omitempty"`                // if the request names a channel
}

// Codes of problems of these operations. hecCodes maps them to Splunk's codes.
const (
	hecNoData    = "NO_DATA"
	hecFormat    = "INVALID_DATA_FORMAT"
	hecNoChannel = "DATA_CHANNEL_MISSING"
	hecChannel   = "INVALID_DATA_CHANNEL"
)

func hecProblem(code, detail string, invalid ...any) *problem {
	return &problem{status: 400, code: code, detail: detail, parameters: invalid}
}

// events records JSON objects that follow one another.
func (h hec) events(c *call) (any, error) {
	m := h.mapping(c)
	return h.take(c, h.intakeOf(c, auditLog, true, &m), (*record.Intake).ReadObjects)
}

// raw records lines of text.
func (h hec) raw(c *call) (any, error) {
	lines := &splunk.Lines{Mapping: h.mapping(c)}
	return h.take(c, h.intakeOf(c, auditLog, true, lines), (*record.Intake).ReadLines)
}

// mapping returns a mapping with the defaults that the query gives for all events.
func (h hec) mapping(c *call) splunk.Mapping {
	return splunk.Mapping{Delivery: h.delivery(c, auditLog), Defaults: splunk.Metadata{Time: c.query.Get(hecTime.name),
		Host: c.query.Get(hecHost.name), Source: c.query.Get(hecSource.name), SourceType: c.query.Get(hecSourceType.name),
		Index: c.query.Get(hecIndex.name)}}
}

// take records the events that read reads, even if later ones cannot be read or are refused. Splunk does the same; the
// reply says which event is the first that was not recorded. take closes the intake.
func (h hec) take(c *call, in *record.Intake, read func(*record.Intake, io.Reader) error) (any, error) {
	defer in.Close()
	channel, err := channelOf(c)
	if err != nil {
		return nil, err
	}
	body, ok := in.Unpack(strings.Join(c.r.Header.Values("Content-Encoding"), ","), c.r.Body)
	if !ok {
		return nil, unsupportedType("The Content-Encoding may be identity, gzip or zstd.")
	}
	defer body.Close()
	broken := read(in, body)
	if broken != nil && !errors.As(broken, new(*record.Malformed)) {
		return nil, recordingProblem(broken)
	}
	taken := in.Events()
	done, err := in.Record(c.context())
	switch {
	case errors.Is(err, record.ErrNoEvents) && broken == nil:
		return nil, hecProblem(hecNoData, "No data")
	case err != nil && !errors.Is(err, record.ErrNoEvents):
		return nil, recordingProblem(err)
	}
	h.reply(done, true)
	switch {
	case done.FirstRefused > 0:
		why := done.Reasons[0]
		return nil, hecProblem(hecFormat, "Event refused, the others are recorded: "+why.Event+": "+why.Text,
			done.FirstRefused-1)
	case broken != nil:
		return nil, hecProblem(hecFormat, "Invalid data format, the events before it are recorded: "+broken.Error(), taken)
	}
	reply := hecReply{Text: "Success"}
	if channel != "" {
		id := h.ackID(c, channel)
		reply.AckID = &id
	}
	return reply, nil
}

// channelPattern is the form of a channel: a GUID.
var channelPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// channelOf returns the channel that a request names, or "".
func channelOf(c *call) (string, error) {
	channel := c.r.Header.Get("X-Splunk-Request-Channel")
	if channel == "" {
		channel = c.query.Get(hecChannelName.name)
	}
	if channel != "" && !channelPattern.MatchString(channel) {
		return "", hecProblem(hecChannel, "Invalid data channel: a channel is a GUID.")
	}
	return strings.ToLower(channel), nil
}

// An acknowledgement is a number of 53 bits, which senders in any language can store: some random bits, and a tag by
// which any node verifies that a node issued it for this channel of this workspace. It is issued when the events are
// durable, so it is true at once, and no node has to remember it.
const (
	ackBits    = 53
	ackTagBits = 24
)

func (h hec) ackID(c *call, channel string) int64 {
	var random [8]byte
	rand.Read(random[:]) // never fails
	id := int64(binary.BigEndian.Uint64(random[:]) >> (64 - ackBits + ackTagBits) << ackTagBits)
	return id | h.ackTag(c, channel, id)
}

func (h hec) ackTag(c *call, channel string, id int64) int64 {
	content := binary.BigEndian.AppendUint64(nil, uint64(id>>ackTagBits))
	content = append(append(content, c.scope.workspace.ID...), channel...)
	return int64(binary.BigEndian.Uint32(h.tag("acknowledgement", content)) >> (32 - ackTagBits))
}

// maxAcks is the maximum number of acknowledgements in a request.
const maxAcks = 10_000

// acks tells which acknowledgements of a channel were issued.
func (h hec) acks(c *call) (any, error) {
	channel, err := channelOf(c)
	if err != nil {
		return nil, err
	}
	if channel == "" {
		return nil, hecProblem(hecNoChannel, "Data channel is missing")
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxBody))
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return nil, tooLarge("The body may have at most %d bytes.", maxBody)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	var asked struct {
		Acks []int64 `json:"acks"`
	}
	if err := json.Unmarshal(data, &asked); err != nil {
		return nil, hecProblem(hecFormat, `Invalid data format: send {"acks":[1,2]}.`)
	}
	if len(asked.Acks) > maxAcks {
		return nil, tooLarge("A request may ask for at most %d acknowledgements.", maxAcks)
	}
	acks := make(map[string]bool, len(asked.Acks))
	for _, id := range asked.Acks {
		acks[strconv.FormatInt(id, 10)] = id > 0 && id&(1<<ackTagBits-1) == h.ackTag(c, channel, id)
	}
	return map[string]any{"acks": acks}, nil
}

// health tells whether this node records events.
func (h hec) health(c *call) (any, error) {
	if err := h.recorder.Ready(); err != nil {
		return nil, err
	}
	return hecReply{Text: "HEC is healthy", Code: 17}, nil
}

// hecForm is the form of Splunk.
var hecForm = &wireForm{body: func(c *call, p *problem) any {
	reply := hecReply{Text: cut(p.detail, maxDetail), Code: hecCode(c, p)}
	if p.code == hecFormat && len(p.parameters) > 0 {
		n := p.parameters[0].(int)
		reply.Invalid = &n
	}
	return reply
}}

// hecCode returns Splunk's code for a problem.
func hecCode(c *call, p *problem) int {
	switch p.code {
	case hecNoData:
		return 5
	case hecNoChannel:
		return 10
	case hecChannel:
		return 11
	}
	switch p.status {
	case http.StatusUnauthorized:
		if c.r.Header.Get("Authorization") == "" {
			return 2 // Token is required
		}
		return 4 // Invalid token
	case http.StatusForbidden:
		return 1 // Token disabled
	case http.StatusNotFound:
		return 7 // Incorrect index
	case http.StatusRequestEntityTooLarge:
		return 27 // Request entity exceeds the limit
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return 9 // Server is busy
	case http.StatusInternalServerError:
		return 8 // Internal server error
	}
	return 6 // Invalid data format
}

var (
	hecChannelName = parameter{name: "channel", want: func(value string) string {
		if channelPattern.MatchString(value) {
			return ""
		}
		return "must be a GUID"
	}}
	hecTime = parameter{name: "time", want: func(value string) string {
		if _, err := connect.Instant(connect.String(nil, value)); err != nil {
			return "must be a number of seconds since the epoch"
		}
		return ""
	}}
	// hecExtract changes nothing: weir reads no time in the text of an event.
	hecExtract = parameter{name: "auto_extract_timestamp", want: wantFlag}

	hecHost       = parameter{name: "host", want: wantMetadata}
	hecSource     = parameter{name: "source", want: wantMetadata}
	hecSourceType = parameter{name: "sourcetype", want: wantMetadata}
	hecIndex      = parameter{name: "index", want: wantMetadata}
)

// wantMetadata bounds a text as it is recorded of each event, in which some characters become six bytes.
func wantMetadata(value string) string {
	if len(connect.String(nil, value)) <= maxName+len(`""`) {
		return ""
	}
	return fmt.Sprintf("may have at most %d bytes in JSON", maxName)
}
