package api

import (
	"net/netip"

	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
)

// signIns are the operations on the failed sign-ins that nodes remember.
type signIns struct {
	control
	auth *auth.Authenticator
}

type forgottenView struct {
	Network string `json:"network"`
	Note    string `json:"note"`
}

// forget makes this node forget how often an address has sent wrong credentials of any caller, so that it is no longer
// limited. An owner of any organization may do so, since the limit only bounds the cost of wrong credentials; no secret
// depends on it (see auth.Authenticator).
func (h signIns) forget(c *call) (any, error) {
	in, err := decode[struct {
		Address *string `json:"ipAddress"`
	}](c)
	if err != nil {
		return nil, err
	}
	var k checks
	text := require(&k, "ipAddress", in.Address)
	address, err := netip.ParseAddr(text)
	k.check(in.Address == nil || err == nil && address.Zone() == "", "ipAddress", "%.50q is not an IP address", text)
	if err := k.err(); err != nil {
		return nil, err
	}
	view := forgottenView{Network: auth.Network(address).String(),
		Note: "forgotten by the node that answered; ask each other node by itself"}
	return view, h.change(c, changed{activity: event.Delete, kind: "Failed Sign-Ins", id: view.Network,
		name: view.Network}, func() (any, any, error) {
		h.auth.Forget(address)
		return view, nil, nil
	})
}
