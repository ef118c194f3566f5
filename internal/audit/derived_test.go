package audit

import (
	"math"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

// fillBeside makes a log that was merged and pruned, with objects of a kind beside its segments.
func fillBeside(t *testing.T, kind segment.Kind) *audited {
	o := small
	o.Keys, _ = tlogtest.NewKeys(t)
	o.Origin, o.Beside = tlogtest.Origin, []segment.Kind{kind}
	a := &audited{t, bucketest.NewMemory(), o, o.Keys}
	s := newStore(a.b, o)
	tlogtest.Fill(t, s, 2000, 130, 3)
	if _, err := s.PruneTo(t.Context(), tlogtest.Log, 1_200_000, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	return a
}

// findings audits the log, and makes the objects beside segments again.
func (a *audited) findings(kind segment.Kind) (*Audit, []Finding) {
	a.t.Helper()
	d := &Auditor{Bucket: a.b, Keys: a.keys, Beside: []segment.Kind{kind}}
	result, err := d.Log(a.t.Context(), tlogtest.Log)
	if err != nil {
		a.t.Fatal(err)
	}
	return result, result.Findings
}

func TestObjectsBesideSegmentsAreReproducible(t *testing.T) {
	for _, kind := range []segment.Kind{tlogtest.LineCounts{}, index.Kind{Least: 1}} {
		a := fillBeside(t, kind)
		if keys := a.keysOf("beside/"); len(keys) < 3 {
			t.Fatalf("%s: only %d objects", kind.ID(), len(keys))
		}
		if result, found := a.findings(kind); len(found) > 0 || result.Removed == 0 {
			t.Errorf("%s: %d entries removed; %+v", kind.ID(), result.Removed, found)
		}
	}
}

// An object beside a segment that does not agree with the lines is found, even if the manifest that names it is signed
// by a trusted key. The lines still verify.
func TestSignedLiesBesideSegmentsAreFound(t *testing.T) {
	for _, test := range []struct {
		lie   segment.Kind
		truth segment.Kind
	}{
		{miscounting{}, tlogtest.LineCounts{}},
		{forgetful{index.Kind{Least: 1}}, index.Kind{Least: 1}},
	} {
		a := fillBeside(t, test.lie)
		result, found := a.findings(test.truth)
		named := 0
		for _, s := range a.highest().Segments {
			named += len(s.Beside)
		}
		if len(found) == 0 || len(found) < named || result.Content+result.Removed != result.Size {
			t.Errorf("%s: %d findings, at least %d objects; %d of %d entries", test.truth.ID(), len(found), named,
				result.Content+result.Removed, result.Size)
		}
		for _, f := range found {
			if !strings.Contains(f.Object, "/beside/") || !strings.Contains(f.What, "does not match its lines") {
				t.Errorf("%+v", f)
			}
		}
		if _, found := a.findings(test.lie); len(found) > 0 {
			t.Errorf("%s: made again as it was made, it differs: %+v", test.truth.ID(), found)
		}
	}
}

// miscounting counts one line less than a block has.
type miscounting struct{ tlogtest.LineCounts }

func (k miscounting) Note(c segment.Content) any { return k.LineCounts.Note(c).(uint64) - 1 }

// forgetful is an index without the first name of each block.
type forgetful struct{ index.Kind }

func (k forgetful) Note(c segment.Content) any {
	c.Lines = []byte(strings.Replace(string(c.Lines), `"metadata"`, `"metadatA"`, 1))
	return k.Kind.Note(c)
}
