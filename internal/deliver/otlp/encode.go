package otlp

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlog/weir/internal/deliver"
)

// Numbers of fields of opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest, and of the messages in it.
const (
	resourceLogs = 1 // of the request

	resource  = 1 // of ResourceLogs
	scopeLogs = 2

	resourceAttributes = 1 // of Resource

	scope      = 1 // of ScopeLogs
	logRecords = 2

	scopeName = 1 // of InstrumentationScope

	timeUnixNano         = 1 // of LogRecord
	body                 = 5
	recordAttributes     = 6
	observedTimeUnixNano = 11

	attributeKey   = 1 // of KeyValue
	attributeValue = 2

	stringValue = 1 // of AnyValue
)

// Append appends the export request that has the events of a batch, which are of one log.
func Append(dst []byte, batch []deliver.Event) []byte {
	if len(batch) == 0 {
		return dst
	}
	first := &batch[0]
	of := appendAttribute(nil, resourceAttributes, "service.name", "weir")
	of = appendAttribute(of, resourceAttributes, "weir.log.id", first.Log)
	of = appendAttribute(of, resourceAttributes, "weir.log.name", first.Name)
	by := protowire.AppendTag(nil, scopeName, protowire.BytesType)
	by = protowire.AppendString(by, "weir")

	records := 0
	for i := range batch {
		records += sizeOfField(logRecords, sizeOfRecord(&batch[i]))
	}
	inScope := sizeOfField(scope, len(by)) + records
	inResource := sizeOfField(resource, len(of)) + sizeOfField(scopeLogs, inScope)
	dst = slices.Grow(dst, sizeOfField(resourceLogs, inResource))

	dst = appendLength(dst, resourceLogs, inResource)
	dst = append(appendLength(dst, resource, len(of)), of...)
	dst = appendLength(dst, scopeLogs, inScope)
	dst = append(appendLength(dst, scope, len(by)), by...)
	for i := range batch {
		dst = appendLength(dst, logRecords, sizeOfRecord(&batch[i]))
		dst = appendRecord(dst, &batch[i])
	}
	return dst
}

// uidName is the attribute by which OpenTelemetry tells records apart.
const uidName = "log.record.uid"

// nanos returns the time of an event in nanoseconds; 0, which means unknown, if it cannot be said so.
func nanos(e *deliver.Event) uint64 {
	const most = int64(1<<63-1) / 1e6
	if e.Time <= 0 || e.Time > most {
		return 0
	}
	return uint64(e.Time) * 1e6
}

func appendRecord(dst []byte, e *deliver.Event) []byte {
	dst = protowire.AppendTag(dst, timeUnixNano, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, nanos(e))
	dst = appendLength(dst, body, sizeOfField(stringValue, len(e.Line)))
	dst = append(appendLength(dst, stringValue, len(e.Line)), e.Line...)
	var id [64]byte
	dst = appendAttribute(dst, recordAttributes, uidName, e.AppendID(id[:0]))
	dst = protowire.AppendTag(dst, observedTimeUnixNano, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, nanos(e))
}

func sizeOfRecord(e *deliver.Event) int {
	var id [64]byte
	times := sizeOfFixed(timeUnixNano) + sizeOfFixed(observedTimeUnixNano)
	line := sizeOfField(body, sizeOfField(stringValue, len(e.Line)))
	return times + line + sizeOfField(recordAttributes, sizeOfAttribute(len(uidName), len(e.AppendID(id[:0]))))
}

// appendAttribute appends a field that is a KeyValue.
func appendAttribute[T string | []byte](dst []byte, field protowire.Number, name string, value T) []byte {
	dst = appendLength(dst, field, sizeOfAttribute(len(name), len(value)))
	dst = append(appendLength(dst, attributeKey, len(name)), name...)
	dst = appendLength(dst, attributeValue, sizeOfField(stringValue, len(value)))
	return append(appendLength(dst, stringValue, len(value)), value...)
}

func sizeOfAttribute(name, value int) int {
	return sizeOfField(attributeKey, name) + sizeOfField(attributeValue, sizeOfField(stringValue, value))
}

// appendLength appends the beginning of a field that has so many bytes.
func appendLength(dst []byte, field protowire.Number, length int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(length))
}

func sizeOfField(field protowire.Number, length int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(length)
}

func sizeOfFixed(field protowire.Number) int {
	return protowire.SizeTag(field) + protowire.SizeFixed64()
}
