package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// formatSize writes a number of bytes with the largest binary unit of which it is a multiple.
func formatSize(n int64) string {
	for i := range 4 {
		if u := units[3-i]; n > 0 && n%int64(u.bytes) == 0 {
			return fmt.Sprintf("%d%s", n/int64(u.bytes), u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseSize reads a number of bytes: 1000, 64KiB, 500MB, 1.5GiB.
func parseSize(text string) (int64, error) {
	number, factor := strings.TrimSpace(text), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(strings.ToLower(number), strings.ToLower(u.name)); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n*factor >= math.MaxInt64 {
		return 0, fmt.Errorf("%s is not a size such as 500MB or 20GiB", shown(text))
	}
	return int64(n * factor), nil
}
