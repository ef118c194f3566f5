package query

import (
	"cmp"
	"strconv"
)

// decimal is an exact number: 0.d1d2d3… × 10^exponent, with the digits of whole followed by those of fraction. The
// first and the last digit are not 0. A number without digits is 0.
type decimal struct {
	negative        bool
	whole, fraction string
	exponent        int64
}

// isNumber tells whether a text is a JSON number.
func isNumber(text string) bool {
	_, ok := parseDecimal(text)
	return ok
}

// parseDecimal parses a JSON number. An exponent beyond ±10^15 is replaced by this limit.
func parseDecimal(text string) (d decimal, ok bool) {
	i := 0
	if i < len(text) && text[i] == '-' {
		d.negative = true
		i++
	}
	start := i
	i = digits(text, i)
	if d.whole = text[start:i]; d.whole == "" || len(d.whole) > 1 && d.whole[0] == '0' {
		return d, false
	}
	if i < len(text) && text[i] == '.' {
		start = i + 1
		i = digits(text, start)
		if d.fraction = text[start:i]; d.fraction == "" {
			return d, false
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		start = i + 1
		i = start
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		first := i
		if i = digits(text, i); i == first {
			return d, false
		}
		d.exponent = exponent(text[start:i])
	}
	d.normalize()
	return d, i == len(text)
}

func digits(text string, i int) int {
	for i < len(text) && text[i]-'0' < 10 {
		i++
	}
	return i
}

func exponent(text string) int64 {
	const most = 1_000_000_000_000_000
	e, _ := strconv.ParseInt(text, 10, 64) // a value out of range becomes the largest or the smallest
	return max(-most, min(e, most))
}

func (d *decimal) normalize() {
	for d.whole != "" && d.whole[0] == '0' {
		d.whole = d.whole[1:]
	}
	d.exponent += int64(len(d.whole))
	if d.whole == "" {
		for d.fraction != "" && d.fraction[0] == '0' {
			d.fraction = d.fraction[1:]
			d.exponent--
		}
	}
	for d.fraction != "" && d.fraction[len(d.fraction)-1] == '0' {
		d.fraction = d.fraction[:len(d.fraction)-1]
	}
	if d.fraction == "" {
		for d.whole != "" && d.whole[len(d.whole)-1] == '0' {
			d.whole = d.whole[:len(d.whole)-1]
		}
	}
	if d.len() == 0 {
		*d = decimal{}
	}
}

func (d decimal) len() int { return len(d.whole) + len(d.fraction) }

func (d decimal) digit(i int) byte {
	switch {
	case i < len(d.whole):
		return d.whole[i]
	case i < d.len():
		return d.fraction[i-len(d.whole)]
	}
	return '0'
}

// compare returns a negative number, 0 or a positive number if d is less than, equal to or greater than other.
func (d decimal) compare(other decimal) int {
	if c := cmp.Compare(d.sign(), other.sign()); c != 0 {
		return c
	}
	c := cmp.Compare(d.exponent, other.exponent)
	for i := 0; c == 0 && i < max(d.len(), other.len()); i++ {
		c = cmp.Compare(d.digit(i), other.digit(i))
	}
	if d.negative {
		return -c
	}
	return c
}

func (d decimal) sign() int {
	switch {
	case d.len() == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}
