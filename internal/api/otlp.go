package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlog/weir/internal/connect/otlp"
	"github.com/weirlog/weir/internal/record"
)

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// sentAs returns the media type of a request's body, without its parameters.
func sentAs(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// otlpLogs records an export request of OTLP/HTTP. Good records are recorded although others are refused. The reply
// names the refused ones: this is a partial success, which the sender must not repeat.
func (h recordings) otlpLogs(c *call) (result, error) {
	read := otlp.Protobuf
	switch sentAs(c.r) {
	case protobufType:
	case jsonType:
		read = otlp.JSON
	default:
		return nil, unsupportedType("Send an ExportLogsServiceRequest as " + protobufType + " or " + jsonType + ".")
	}
	in := h.intakeOf(c, auditLog, true, &otlp.Mapping{Delivery: h.delivery(c, auditLog)})
	defer in.Close()
	whole, ok := in.Unpack(strings.Join(c.r.Header.Values("Content-Encoding"), ","), c.r.Body)
	if !ok {
		return nil, unsupportedType("The Content-Encoding may be identity, gzip or zstd.")
	}
	defer whole.Close()
	var spent int64
	body, err := in.ReadWhole(whole)
	if err == nil {
		err = in.Reserve(otlp.ProtobufFactor * min(len(body), in.EventBytes()))
	}
	if err == nil {
		err = read(body, in.EventBytes(), func(raw []byte, size int) error {
			if err := h.spend(c, &spent, len(raw)); err != nil {
				return err
			}
			if raw == nil {
				return in.RefuseTooLong(size)
			}
			return in.Add(raw)
		})
	}
	if errors.Is(err, otlp.ErrProtobuf) || errors.Is(err, otlp.ErrJSON) {
		return nil, invalid(err.Error())
	}
	if err != nil {
		return nil, recordingProblem(err)
	}
	done, err := in.Record(c.context())
	if err != nil && !errors.Is(err, record.ErrNoEvents) {
		return nil, recordingProblem(err)
	}
	reply := h.reply(done, true)
	return otlpReply(c, reply), nil
}

// otlpFactor bounds the total size of a request's records, as a multiple of the size of the request. Each record
// repeats its resource and scope, which the request contains once.
const otlpFactor = 4

// spend counts the size of a record, and returns an error if the total is too large.
func (h recordings) spend(c *call, spent *int64, size int) error {
	if err := c.context().Err(); err != nil {
		return context.Cause(c.context())
	}
	*spent += int64(size)
	if most := otlpFactor * h.options.MaxRequestBytes; most > 0 && *spent > most {
		return tooLarge("The records of a request, each with its resource and scope, may have at most %d bytes.", most)
	}
	return nil
}

// otlpReply returns an ExportLogsServiceResponse, in the encoding of the request.
func otlpReply(c *call, r recorded) result {
	why := ""
	if *r.Rejected > 0 {
		why = "refused: " + r.BadRequestDetail.Fields[0].Field + ": " + r.BadRequestDetail.Fields[0].Description
	}
	if sentAs(c.r) == jsonType {
		type partial struct {
			Rejected int    `json:"rejectedLogRecords,string"`
			Message  string `json:"errorMessage"`
		}
		var reply struct {
			Partial *partial `json:"partialSuccess,omitempty"`
		}
		if why != "" {
			reply.Partial = &partial{*r.Rejected, why}
		}
		return value{reply}
	}
	var reply []byte
	if why != "" {
		partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(*r.Rejected))
		partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), why)
		reply = protowire.AppendBytes(protowire.AppendTag(reply, 1, protowire.BytesType), partial)
	}
	return &text{protobufType, "no-store", reply}
}

// otlpForm is the form of OTLP/HTTP: a google.rpc.Status, in the encoding of the request.
var otlpForm = &wireForm{
	body: func(c *call, p *problem) any {
		return struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{rpcCode(p.status), otlpMessage(p)}
	},
	bytes: func(c *call, p *problem) (string, []byte) {
		if sentAs(c.r) != protobufType {
			return "", nil
		}
		status := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(rpcCode(p.status)))
		return protobufType, protowire.AppendString(protowire.AppendTag(status, 2, protowire.BytesType), otlpMessage(p))
	},
}

func otlpMessage(p *problem) string { return cut(p.code+": "+p.detail, maxDetail) }

// rpcCode returns the google.rpc.Code for an HTTP status.
func rpcCode(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 5 // NOT_FOUND
	case http.StatusTooManyRequests:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusInternalServerError:
		return 13 // INTERNAL
	case http.StatusServiceUnavailable:
		return 14 // UNAVAILABLE
	}
	return 3 // INVALID_ARGUMENT
}
