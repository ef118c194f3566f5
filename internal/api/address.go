package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

func peer(r *http.Request) netip.AddrPort {
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

func trustedPeer(r *http.Request, trusted []netip.Prefix) bool {
	return isTrusted(peer(r).Addr(), trusted)
}

// callerAddress returns the address of the client. X-Forwarded-For counts only from trusted proxies, and only the part
// that they wrote: the right-most address that is not a trusted proxy.
func callerAddress(r *http.Request, trusted []netip.Prefix) netip.AddrPort {
	caller := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !isTrusted(caller.Addr(), trusted) {
			break
		}
		hop = strings.TrimSpace(hop)
		if addr, err := netip.ParseAddr(hop); err == nil {
			caller = netip.AddrPortFrom(addr.Unmap().WithZone(""), 0)
		} else if both, err := netip.ParseAddrPort(hop); err == nil {
			caller = netip.AddrPortFrom(both.Addr().Unmap().WithZone(""), both.Port())
		} else {
			break
		}
	}
	return caller
}
