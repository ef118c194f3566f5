package proof

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ErrMalformed is returned (wrapped) for bytes that are not a proof.
var ErrMalformed = errors.New("malformed proof")

// Bounds of a File, so that any text takes bounded memory.
const (
	maxParts      = 4 << 20
	maxProofLine  = 64 << 10 // bytes
	maxCheckpoint = 1 << 20  // bytes, with all signatures
)

// ReadFile reads the text of a File. Each File has only one text: if Write would write it in another way, it is
// malformed.
func ReadFile(r io.Reader) (*File, error) {
	p := &parser{from: bufio.NewReaderSize(r, maxProofLine)}
	f, err := p.file()
	if p.readErr != nil {
		return nil, p.readErr
	}
	if err != nil {
		return nil, fmt.Errorf("%w: line %d: %w", ErrMalformed, p.number, err)
	}
	return f, nil
}

// parser reads the lines of a File one after the other.
type parser struct {
	from    *bufio.Reader
	number  int    // number of the last line that was read, from 1
	line    string // the last line that was read and not yet parsed
	readErr error  // error of the reader
}

var errNoLine = errors.New("it is cut off, or has a line that is too long")

// next reads the next line.
func (p *parser) next() error {
	p.number++
	line, err := p.from.ReadSlice('\n')
	if err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			p.readErr = err
		}
		return errNoLine
	}
	p.line = string(line[:len(line)-1])
	return nil
}

// is tells whether the line begins with a name, and returns what follows.
func (p *parser) is(name string) (rest string, ok bool) { return strings.CutPrefix(p.line, name+" ") }

func (p *parser) file() (*File, error) {
	if err := p.next(); err != nil || p.line != fileHead {
		return nil, errors.Join(err, fmt.Errorf("it does not begin with %q", fileHead))
	}
	f := &File{}
	if err := errors.Join(p.next(), p.head(f)); err != nil {
		return nil, err
	}
	for p.line != "" {
		part, err := parsePart(p.line)
		if err != nil {
			return nil, err
		}
		if len(f.Parts) == maxParts {
			return nil, fmt.Errorf("it has more than %d parts", maxParts)
		}
		f.Parts = append(f.Parts, part)
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	checkpoint, err := io.ReadAll(io.LimitReader(p.from, maxCheckpoint+1))
	if err != nil {
		p.readErr = err
	}
	if p.number++; len(checkpoint) > maxCheckpoint {
		return nil, fmt.Errorf("its checkpoint has more than %d bytes", maxCheckpoint)
	}
	f.Checkpoint = string(checkpoint)
	return f, nil
}

// head parses the lines before the parts, in their order, and reads the next one.
func (p *parser) head(f *File) error {
	c := &f.Claims
	for _, field := range []struct {
		name     string
		optional bool
		parse    func(rest string) error
	}{
		{"log", false, func(rest string) error { f.Log = rest; return nil }},
		{"source", false, func(rest string) error { c.Source = rest; return nil }},
		{"range", false, func(rest string) error { return parseNumbers(rest, math.MinInt64, &c.Start, &c.End) }},
		{"processor", true, func(rest string) error { return parseQuoted(rest, &c.Processor) }},
		{"query", true, func(rest string) error { return parseQuoted(rest, &c.Query) }},
		{"removed", true, func(rest string) error {
			err := parseNumbers(rest, 0, &c.Removed.First, &c.Removed.Count)
			if err == nil && c.Removed.Count == 0 {
				err = errors.New("the number of entries is 0")
			}
			return err
		}},
		{"sequenced", false, func(rest string) error { return parseNumbers(rest, 0, &c.Sequenced) }},
		{"pending", true, func(rest string) error { return parseNumbers(rest, 1, &c.Pending) }},
	} {
		rest, ok := p.is(field.name)
		if !ok && field.optional {
			continue
		}
		if !ok {
			return fmt.Errorf("want %q", field.name)
		}
		if err := field.parse(rest); err != nil {
			return fmt.Errorf("%s: %w", field.name, err)
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	return nil
}

// parseQuoted reads a text that is not empty, quoted as fmt does.
func parseQuoted(rest string, text *string) (err error) {
	if *text, err = strconv.Unquote(rest); err == nil && (*text == "" || strconv.Quote(*text) != rest) {
		err = strconv.ErrSyntax
	}
	return err
}

func parsePart(line string) (p Part, err error) {
	name, rest, _ := strings.Cut(line, " ")
	fields := strings.Split(rest, " ")
	numbers := []*int64{&p.First, &p.Count}
	switch {
	case name == "hash":
		p.Hashed = true
	case name == "entries":
		p.Held, p.Hashed = true, len(fields) > 3
		numbers = append(numbers, &p.Line)
	default:
		return p, fmt.Errorf("%.40q is not known", name)
	}
	if p.Hashed {
		if p.Hash, err = parseHash(fields[len(fields)-1]); err != nil {
			return p, err
		}
		fields = fields[:len(fields)-1]
	}
	if err := parseNumbers(strings.Join(fields, " "), 0, numbers...); err != nil {
		return p, err
	}
	if p.Count == 0 || p.line() != line {
		return p, fmt.Errorf("%.80q is not a part of a proof", line)
	}
	return p, nil
}

// parseNumbers reads numbers with single spaces between them, formatted as fmt does.
func parseNumbers(text string, least int64, numbers ...*int64) error {
	const most = math.MaxInt64 / 4 // so that sums do not overflow
	fields := strings.Split(text, " ")
	if len(fields) != len(numbers) {
		return fmt.Errorf("want %d numbers, there are %d", len(numbers), len(fields))
	}
	for i, field := range fields {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || n < least || least >= 0 && n > most || strconv.FormatInt(n, 10) != field {
			return fmt.Errorf("%.40q is not a valid number here", field)
		}
		*numbers[i] = n
	}
	return nil
}

func parseHash(text string) (h Hash, err error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) != len(h) {
		return h, fmt.Errorf("%.60q is not a hash", text)
	}
	return Hash(data), nil
}
