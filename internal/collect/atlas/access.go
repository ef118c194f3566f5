package atlas

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/connect"
)

// accessList is the accesses to the databases of a cluster: the newest ones of a range, and no pages.
type accessList struct {
	*Source
	path string
}

// Bounds on a reply.
const (
	accessBytes = 4 << 20
	mostBytes   = 16 << 20 // of the shortest slice

	usualAccesses = 2000   // which fit into accessBytes
	mostAccesses  = 20_000 // that Atlas gives out at once
)

// accesses is how many are asked for at once.
type accesses struct{ usual, most int }

// read implements itemList.
func (l *accessList) read(ctx context.Context, s slice) (reply, error) {
	return l.ask(ctx, s, l.accesses.usual, accessBytes)
}

// readShortest implements itemList.
func (l *accessList) readShortest(ctx context.Context, s slice) (reply, error) {
	r, err := l.ask(ctx, s, l.accesses.most, mostBytes)
	if err == nil && r.more {
		err = fmt.Errorf("%w: a second has more than %d accesses", collect.ErrTooMuch, l.accesses.most)
	}
	return r, err
}

// ahead is how far behind now a range ends that has no end: a server's clock may be ahead.
const ahead = 24 * time.Hour

func (l *accessList) ask(ctx context.Context, s slice, n int, most int64) (r reply, err error) {
	end := s.to + margin
	if s.open {
		end += int64(ahead / time.Second)
	}
	q := url.Values{"nLogs": {strconv.Itoa(n)}, "start": {strconv.FormatInt((s.from-margin)*1000, 10)},
		"end": {strconv.FormatInt(end*1000+999, 10)}}
	members, now, err := l.readMembers(ctx, most, func(ctx context.Context) (*client.Download, error) {
		return l.client.GetJSON(ctx, l.path, q)
	})
	if err != nil {
		return r, err
	}
	r.now = now
	if err := connect.Elements(members["accessLogs"], func(item []byte) error {
		if len(r.items) == maxItems {
			return errTooManyItems
		}
		r.items = append(r.items, settled(item))
		return nil
	}); err != nil {
		return r, fmt.Errorf("%w: accessLogs: %w", collect.ErrIncomplete, err)
	}
	slices.Reverse(r.items)
	r.more = len(r.items) >= n
	return r, nil
}
