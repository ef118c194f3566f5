package event

import (
	"bytes"
	"io"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// benchmarkLines calls work with each of the samples in turn, which are about 700 bytes long.
func benchmarkLines(b *testing.B, lines [][]byte, work func(line []byte) error) {
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	b.SetBytes(int64(size / len(lines)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := work(lines[i%len(lines)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	var p Parser
	var dst []byte
	for name, lines := range map[string][][]byte{"uid=given": sampleLines(), "uid=derived": withoutUID()} {
		b.Run(name, func(b *testing.B) {
			benchmarkLines(b, lines, func(line []byte) (err error) {
				dst, _, err = p.Append(dst[:0], line, origin)
				return err
			})
		})
	}
}

func withoutUID() [][]byte {
	lines := sampleLines()
	for i, line := range lines {
		lines[i] = bytes.Replace(line, []byte(`},"uid":`), []byte(`},"original_uid":`), 1)
	}
	return lines
}

func BenchmarkScan(b *testing.B) {
	var p Parser
	benchmarkLines(b, sampleLines(), func(line []byte) error {
		_, err := p.Scan(line)
		return err
	})
}

func BenchmarkMayConcern(b *testing.B) {
	benchmarkLines(b, sampleLines(), func(line []byte) error {
		if MayConcern(line, "clickstream-rollup") {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
}

func BenchmarkConform(b *testing.B) {
	benchmarkLines(b, sampleLines(), func(line []byte) error {
		_, err := Conform(line)
		return err
	})
}

// BenchmarkTokenizer and BenchmarkIsValid measure what checking alone costs with a general package. Their results are
// why this package has its own scanner.
func BenchmarkTokenizer(b *testing.B) {
	input := new(bytes.Buffer)
	d := jsontext.NewDecoder(input)
	benchmarkLines(b, sampleLines(), func(line []byte) error {
		input.Reset()
		input.Write(line)
		d.Reset(input)
		for {
			if _, err := d.ReadToken(); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
}

func BenchmarkIsValid(b *testing.B) {
	benchmarkLines(b, sampleLines(), func(line []byte) error {
		if !jsontext.Value(line).IsValid() {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
}
