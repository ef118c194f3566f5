package api

import (
	"testing"
	"time"

	"github.com/weirlog/weir/internal/collect"
)

// A log of which nothing is to be collected is not behind, and stands behind the others.
func TestIdleLogsAreNotBehind(t *testing.T) {
	at := time.Unix(1786331578, 0)
	v := viewStatus(&collect.State{Units: map[string]*collect.Progress{
		"a": {Label: "gone", Next: 1, Gone: 2}, "b": {Label: "left", Next: 1, Left: 3},
		"c": {Label: "slow", Next: at.Unix() - 60}, "d": {Label: "failed", Next: at.Unix() - 9, Failed: "why"}}}, at)
	names := ""
	for _, l := range v.Logs {
		names += " " + l.Name
	}
	if v.Behind != 60 || names != " failed slow gone left" || v.Logs[2].Gone == nil || v.Logs[3].Left == nil {
		t.Errorf("%d seconds behind:%s, %+v", v.Behind, names, v.Logs)
	}
}
