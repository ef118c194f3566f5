package record

import (
	"regexp"
	"testing"
	"time"
)

// A salt differs between logs, minutes and processes. A search treats it as one word.
func TestSaltsDifferByLogMinuteAndProcess(t *testing.T) {
	s, other := newSalts(), newSalts()
	at := time.Unix(1_790_000_040, 0)
	one := s.of("log", at)
	if !regexp.MustCompile(`^[a-z2-7]{17}$`).MatchString(one) {
		t.Errorf("%q is no salt", one)
	}
	if again := s.of("log", at.Add(19*time.Second)); again != one {
		t.Errorf("within the minute: %s, then %s", one, again)
	}
	for what, salt := range map[string]string{
		"another minute":        s.of("log", at.Add(time.Minute)),
		"another log":           s.of("log2", at),
		"another process":       other.of("log", at),
		"a process without key": salts{}.of("log", at),
	} {
		if salt == one {
			t.Errorf("%s has the same salt", what)
		}
	}
}
