package api

import (
	"net/netip"

	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
)

// signIns are the operations on what nodes remember of attempts to sign in.
type signIns struct {
	control
	auth *auth.Authenticator
}

type forgottenView struct {
	Network string `json:"network"`
	Note    string `json:"note"`
}

// forget has this node forget how often an address has sent wrong credentials, whoever's, so that it is not limited any
// more. An owner of any organization may: the limit bounds what wrong credentials cost, and no secret needs it
// (auth.Authenticator).
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
	k.check(in.Address == nil || err == nil && address.Zone() == "", "ipAddress", "%.50q is not an address", text)
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
