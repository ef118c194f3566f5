package failures

import (
	"errors"
	"testing"
)

func TestFirstErrorIsKeptAndOthersAreCounted(t *testing.T) {
	first := errors.New("first")
	for _, tt := range []struct {
		added []error
		want  string
	}{
		{nil, ""},
		{[]error{nil, nil}, ""},
		{[]error{nil, first, nil}, "first"},
		{[]error{first, nil, errors.New("b"), errors.New("c")}, "first (and 2 more errors)"},
	} {
		var b Brief
		for _, err := range tt.added {
			b.Add(err)
		}
		switch err := b.Err(); {
		case err == nil && tt.want != "":
			t.Errorf("%v: no error", tt.added)
		case err != nil && (err.Error() != tt.want || !errors.Is(err, first)):
			t.Errorf("%v: %v", tt.added, err)
		}
	}
}
