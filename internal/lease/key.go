package lease

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/bucket/layout"
)

func prefix(role string) string { return layout.Beat.Prefix(role) }

// beatKey returns the key of a beat. It contains the member's id, the beat's number, and the seconds until the next
// beat.
func beatKey(role, id string, number int64, promised time.Duration) string {
	return fmt.Sprintf("%s%s/%012d-%d", prefix(role), id, number, (promised+time.Second-1)/time.Second)
}

// parseBeat parses the key of a beat of a role.
func parseBeat(role, key string) (id string, number int64, promised time.Duration, ok bool) {
	rest, ok := strings.CutPrefix(key, prefix(role))
	if !ok {
		return "", 0, 0, false
	}
	id, name, _ := strings.Cut(rest, "/")
	text, rest, _ := strings.Cut(name, "-")
	number, err := strconv.ParseInt(text, 10, 64)
	seconds, secondsErr := strconv.ParseUint(rest, 10, 16)
	return id, number, time.Duration(seconds) * time.Second, err == nil && secondsErr == nil && id != ""
}
