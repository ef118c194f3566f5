// Package connect makes events of records that other systems send in their own formats. Below it is one package for
// each format. None of them knows how bytes arrive.
//
// The event of a record that has an identity, or a time, does not depend on when it arrives, so that a record that is
// sent again is recognised (Delivery.Time, Delivery.Distinct). If a record has neither, nobody can tell whether it is
// sent again or has happened again: it is a new event each time (Delivery.Anew). A record that cannot be read is kept
// as it is (Delivery.Keep).
package connect

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/event"
)

// Delivery describes records that arrive together, beside their bytes. It may not be used concurrently.
type Delivery struct {
	Log      string    // id of the log that takes it
	Received time.Time // when it was taken in
	First    *First    // If nil, a record without a time gets that of its receipt, also when it is sent again.

	equal map[[16]byte]int // number of equal events, by their hash
}

// Distinct returns an event so that it is recorded beside the equal events of the delivery: the first of them stays as
// it is, since its bytes identify it, and each other one gets a uid, unless it has one. The uids are the same when the
// delivery is sent again. Events are compared as they are recorded, not as they arrive, because two that differ only in
// parts that a mapping leaves out are one event in the log. Distinct may change the bytes behind the event. Of each
// event it remembers 16 bytes.
func (d *Delivery) Distinct(made []byte) []byte {
	if bytes.ContainsAny(made, "\r\n") {
		made = event.AppendCompact(made[:0], made) // as event.Parser records it
	}
	if d.equal == nil {
		d.equal = map[[16]byte]int{}
	}
	sum := sha256.Sum256(made)
	key := [16]byte(sum[:])
	d.equal[key]++
	if n := d.equal[key]; n > 1 {
		return addUID(made, 0, fmt.Sprintf("%x-%d", key, n))
	}
	return made
}

// Anew returns the time and a new uid for a record that has neither a time nor an identity.
func (d *Delivery) Anew() (ms int64, uid string) {
	return d.Received.UnixMilli(), strings.ToLower(rand.Text())
}

// Time returns the time of a record that has an identity but no time of its own, in milliseconds since the epoch: when
// it was first received, as far as this node remembers.
func (d *Delivery) Time(identity ...[]byte) int64 {
	if d.First == nil {
		return d.Received.UnixMilli()
	}
	return d.First.at(d.Received.UnixMilli(), d.Log, identity...)
}

// CheckTime says why an event may not have a time, in milliseconds since the epoch. The reason does not depend on when
// it is asked for.
func (d *Delivery) CheckTime(ms int64) error {
	switch {
	case ms < event.Earliest:
		return fmt.Errorf("its time, %d in milliseconds since the epoch, is before the year 2008", ms)
	case ms > d.Received.Add(event.MaxAhead).UnixMilli():
		return fmt.Errorf("its time, %d in milliseconds since the epoch, was in the future when it arrived", ms)
	}
	return nil
}

// Keep returns an event of the base class that keeps a record of a format that could not be read, byte by byte, with
// the reason. It is a new event each time.
func (d *Delivery) Keep(dst, raw []byte, format, why string) []byte {
	ms, uid := d.Anew()
	return KeepAs(dst, raw, format, why, ms, uid, nil)
}

// KeepAs is Delivery.Keep for a record that has a time and a uid, so that it is the same event when it comes again. If
// more is not nil, it appends a member of unmapped, with data that came with the bytes.
func KeepAs(dst, raw []byte, format, why string, ms int64, uid string, more func([]byte) []byte) []byte {
	encoding, text := "text", string(raw)
	if !utf8.Valid(raw) {
		encoding, text = "base64", base64.StdEncoding.EncodeToString(raw)
	}
	b := Base{Time: ms, UID: uid, Activity: "Unread", Product: format,
		Message: "This could not be read as " + format + ", and is kept as it is: " + why}
	return b.Append(dst, func(dst []byte) []byte {
		dst = String(Name(dst, "raw_data"), text)
		dst = append(Name(dst, "unmapped"), '{')
		dst = append(Name(dst, "unread"), '{')
		dst = String(Name(dst, "format"), format)
		dst = String(Name(dst, "reason"), why)
		dst = append(String(Name(dst, "encoding"), encoding), '}')
		if more != nil {
			dst = more(dst)
		}
		return append(dst, '}')
	})
}

// Base is an event of OCSF's base class in the making. Fields that are empty or 0 are left out, but for the time.
type Base struct {
	Time           int64 // milliseconds since the epoch
	Activity       string
	Severity       int // OCSF's number (default 1, informational)
	SeverityText   string
	Message        string
	Product        string // name of the product that made the event
	ProductVersion string
	UID            string
	Code           string // the source's own name of the kind of event
	Correlation    string
	OriginalTime   string // as the source wrote it
}

// Append appends the event in JSON. more appends members of the event to it.
func (b *Base) Append(dst []byte, more func([]byte) []byte) []byte {
	dst = append(dst, `{"activity_id":99`...)
	dst = String(Name(dst, "activity_name"), b.Activity)
	dst = append(dst, `,"category_uid":0,"class_uid":0,"type_uid":99`...)
	dst = fmt.Appendf(Name(dst, "time"), "%d", b.Time)
	dst = fmt.Appendf(Name(dst, "severity_id"), "%d", max(b.Severity, 1))
	dst = Given(dst, "severity", b.SeverityText)
	dst = Given(dst, "message", b.Message)
	dst = append(Name(dst, "metadata"), `{"version":"1.8.0"`...)
	dst = append(Name(dst, "product"), '{')
	dst = String(Name(dst, "name"), b.Product)
	dst = append(Given(dst, "version", b.ProductVersion), '}')
	dst = Given(dst, "uid", b.UID)
	dst = Given(dst, "event_code", b.Code)
	dst = Given(dst, "correlation_uid", b.Correlation)
	dst = append(Given(dst, "original_time", b.OriginalTime), '}')
	return append(more(dst), '}')
}

// AppendWith appends the event in JSON, with an object as it was sent below a name in unmapped.
func (b *Base) AppendWith(dst []byte, name string, sent []byte) []byte {
	return b.Append(dst, func(dst []byte) []byte {
		dst = append(Name(dst, "unmapped"), '{')
		dst = append(Name(dst, name), sent...)
		return append(dst, '}')
	})
}
