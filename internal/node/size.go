package node

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a flag with a number of bytes: 1000, 64KiB, 500MB, 1.5GiB.
type size int64

var units = []struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

func (s *size) String() string {
	for i := range 4 {
		if u := units[3-i]; *s > 0 && int64(*s)%int64(u.bytes) == 0 {
			return fmt.Sprintf("%d%s", int64(*s)/int64(u.bytes), u.name)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

func (s *size) Set(text string) error {
	number, factor := strings.TrimSpace(text), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(strings.ToLower(number), strings.ToLower(u.name)); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n*factor >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size such as 500MB or 20GiB", text)
	}
	*s = size(n * factor)
	return nil
}

func (s *size) Type() string { return "size" }
