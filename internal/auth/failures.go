package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures bounds how often an address may send wrong credentials.
type failures struct {
	perMinute int // 0: no bound

	mu        sync.Mutex
	byAddress map[netip.Prefix]*rate.Limiter
}

// maxAddresses bounds how many addresses are remembered; past it those that are not limited at the moment are forgotten.
const maxAddresses = 50_000

func newFailures(perMinute int) *failures {
	return &failures{perMinute: perMinute, byAddress: map[netip.Prefix]*rate.Limiter{}}
}

// network is what counts as one address: of IPv6, a /64, which is what one host commonly has.
func network(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Addr has the zero Prefix
	return p
}

// wait returns how long an address must wait before it may try again.
func (f *failures) wait(addr netip.Addr, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.byAddress[network(addr)]
	if l == nil || l.TokensAt(now) >= 1 {
		return 0
	}
	return time.Duration((1 - l.TokensAt(now)) / float64(l.Limit()) * float64(time.Second))
}

func (f *failures) count(addr netip.Addr, now time.Time) {
	if f.perMinute == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := network(addr)
	l := f.byAddress[key]
	if l == nil {
		if len(f.byAddress) >= maxAddresses {
			f.forget(now)
		}
		l = rate.NewLimiter(rate.Limit(float64(f.perMinute)/60), f.perMinute)
		f.byAddress[key] = l
	}
	l.AllowN(now, 1)
}

func (f *failures) forget(now time.Time) {
	for key, l := range f.byAddress {
		if l.TokensAt(now) >= 1 {
			delete(f.byAddress, key)
		}
	}
	if len(f.byAddress) >= maxAddresses {
		clear(f.byAddress)
	}
}
