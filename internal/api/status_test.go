package api

import (
	"testing"

	"github.com/weirlog/weir/internal/account"
)

func TestSystemStatus(t *testing.T) {
	w := newWorld(t, Options{})
	got := want[statusView](t, 200, w.as(account.GroupOwner, "GET", "/api/atlas/v2", ""))
	if got.APIKey.ID != w.callers[account.GroupOwner].UserID || len(got.APIKey.Roles) != 1 {
		t.Errorf("got %+v", got)
	}
}
