package index

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"net/netip"
	"strconv"
	"unsafe"

	"github.com/weirlog/weir/internal/query"
)

// present is the kind of a value that stands for an empty object. It follows the kinds of package query.
const present = query.Bool + 1

// Encodings of a value in a dictionary. The first byte is one of these, and the text follows, as it is or shorter.
const (
	several   byte = iota // several values: the length of each (uvarint), and the value
	plainText             // a string
	uuid                  // a string of 36 bytes in lower case, as 16 bytes
	hexText               // a string of lower-case hexadecimal digits, two in a byte
	ipv4                  // a string as 4 bytes
	plainNumber
	wholeNumber // without sign, in as few bytes as possible, the highest first
	isTrue
	isFalse
	isObject
)

// leastHex is the least number of digits for hexText.
const leastHex = 16

// appendValue appends the encoding of a value. Equal values have equal encodings.
func appendValue(dst []byte, v query.Scalar) []byte {
	switch v.Kind {
	case query.String:
		return appendText(dst, v.Text)
	case query.Number:
		if n, ok := whole(v.Text); ok {
			dst = append(dst, wholeNumber)
			for shift := (bits.Len64(n) + 7) / 8 * 8; shift > 0; shift -= 8 {
				dst = append(dst, byte(n>>(shift-8)))
			}
			return dst
		}
		return append(append(dst, plainNumber), v.Text...)
	case query.Bool:
		if v.Text == "true" {
			return append(dst, isTrue)
		}
		return append(dst, isFalse)
	}
	return append(dst, isObject)
}

// whole returns the number in a text, if it is an unsigned 64-bit number in the usual form.
func whole(text string) (n uint64, ok bool) {
	if text == "" || len(text) > 19 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for i := 0; i < len(text); i++ {
		digit := text[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = n*10 + uint64(digit)
	}
	return n, true
}

func appendText(dst []byte, text string) []byte {
	switch {
	case isUUID(text):
		dst = append(dst, uuid)
		for i := 0; i < len(text); i += 2 {
			if text[i] == '-' {
				i++
			}
			dst = append(dst, hexDigit(text[i])<<4|hexDigit(text[i+1]))
		}
		return dst
	case len(text) >= leastHex && len(text)%2 == 0 && allHex(text):
		dst = append(dst, hexText)
		for i := 0; i < len(text); i += 2 {
			dst = append(dst, hexDigit(text[i])<<4|hexDigit(text[i+1]))
		}
		return dst
	}
	if len(text) <= len("255.255.255.255") && mayBeIPv4(text) {
		if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
			b := a.As4()
			return append(append(dst, ipv4), b[:]...)
		}
	}
	return append(append(dst, plainText), text...)
}

func isUUID(text string) bool {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	return allHex(text[:8]) && allHex(text[9:13]) && allHex(text[14:18]) && allHex(text[19:23]) && allHex(text[24:])
}

func allHex(text string) bool {
	for i := 0; i < len(text); i++ {
		if hexDigits[text[i]] == 0 {
			return false
		}
	}
	return true
}

// hexDigits has the value plus 1 of each lower-case digit, and 0 for other bytes.
var hexDigits = func() (digits [256]byte) {
	for i, c := range []byte("0123456789abcdef") {
		digits[c] = byte(i + 1)
	}
	return digits
}()

func hexDigit(c byte) byte { return hexDigits[c] - 1 }

func mayBeIPv4(text string) bool {
	dots := 0
	for i := 0; i < len(text); i++ {
		if text[i] == '.' {
			dots++
		} else if text[i]-'0' > 9 {
			return false
		}
	}
	return dots == 3
}

// listed is an encoded list of values in a dictionary. An empty one stands for values that are not listed.
type listed []byte

// appendListed appends a list of values that appendValue has encoded.
func appendListed(dst []byte, values [][]byte) []byte {
	if len(values) == 1 {
		return append(dst, values[0]...)
	}
	dst = append(dst, several)
	for _, v := range values {
		dst = append(binary.AppendUvarint(dst, uint64(len(v))), v...)
	}
	return dst
}

// textBytes returns approximately the length of the texts of the values, which is at least the length of the list.
func (l listed) textBytes() int {
	if len(l) > 0 && (l[0] == uuid || l[0] == hexText) {
		return 2 * len(l)
	}
	return len(l)
}

// decoder decodes lists. The texts of the values are valid until the next call.
type decoder struct {
	text   []byte
	values []query.Scalar
}

// decode returns the values of a list. If l is not a result of appendListed, ok is false.
func (d *decoder) decode(l listed) (values []query.Scalar, ok bool) {
	d.text, d.values = d.text[:0], d.values[:0]
	if len(l) == 0 || l[0] != several {
		ok = len(l) == 0 || d.add(l)
		return d.values, ok
	}
	for l = l[1:]; len(l) > 0; {
		size, n := binary.Uvarint(l)
		if n <= 0 || size == 0 || size > uint64(len(l)-n) {
			return nil, false
		}
		if l = l[n:]; !d.add(l[:size]) {
			return nil, false
		}
		l = l[size:]
	}
	return d.values, true
}

func (d *decoder) add(value listed) bool {
	start, kind, body := len(d.text), query.String, value[1:]
	switch value[0] {
	case plainText:
		d.values = append(d.values, query.Scalar{Kind: query.String, Text: textOf(body)})
		return true
	case plainNumber:
		d.values = append(d.values, query.Scalar{Kind: query.Number, Text: textOf(body)})
		return true
	case isTrue:
		d.values = append(d.values, query.Scalar{Kind: query.Bool, Text: "true"})
		return true
	case isFalse:
		d.values = append(d.values, query.Scalar{Kind: query.Bool, Text: "false"})
		return true
	case isObject:
		d.values = append(d.values, query.Scalar{Kind: present})
		return true
	case uuid:
		if len(body) != 16 {
			return false
		}
		d.text = hex.AppendEncode(d.text, body[:4])
		for _, at := range [][2]int{{4, 6}, {6, 8}, {8, 10}, {10, 16}} {
			d.text = hex.AppendEncode(append(d.text, '-'), body[at[0]:at[1]])
		}
	case hexText:
		d.text = hex.AppendEncode(d.text, body)
	case ipv4:
		if len(body) != 4 {
			return false
		}
		d.text = netip.AddrFrom4([4]byte(body)).AppendTo(d.text)
	case wholeNumber:
		if len(body) > 8 {
			return false
		}
		n := uint64(0)
		for _, c := range body {
			n = n<<8 | uint64(c)
		}
		kind, d.text = query.Number, strconv.AppendUint(d.text, n, 10)
	default:
		return false
	}
	d.values = append(d.values, query.Scalar{Kind: kind, Text: textOf(d.text[start:])})
	return true
}

// textOf returns bytes as a string without copying them. The bytes must not change while the string is used.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
