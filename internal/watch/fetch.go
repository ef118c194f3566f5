package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

const (
	maxCheckpoint = 1 << 20 // bytes
	maxTile       = torchwood.TileWidth * tlog.HashSize
	atOnce        = 4 // concurrent requests for tiles of one log
)

// fetcher is a torchwood.TileReader of a log served as https://c2sp.org/tlog-tiles says. Unlike torchwood.TileFetcher,
// it reads no more bytes than a tile can have, distinguishes missing tiles from unreachable servers, and does not
// retry: the next round does.
type fetcher struct {
	base  string // URL to which paths are appended; ends with '/'
	http  *http.Client
	agent string
	saved map[tlog.Tile][]byte // tiles that have been verified
}

// fetchError says that a request got no answer, or no successful one.
type fetchError struct {
	url    string
	status int // HTTP status; 0 if there was no answer
	err    error
}

func (e *fetchError) Error() string {
	if e.status != 0 {
		return fmt.Sprintf("%s: the server answers %d %s", e.url, e.status, http.StatusText(e.status))
	}
	return e.err.Error() // errors of net/http contain the URL
}

func (e *fetchError) Unwrap() error { return e.err }

// missing tells whether a server answered that an object does not exist.
func missing(err error) bool {
	var e *fetchError
	return errors.As(err, &e) && (e.status == http.StatusNotFound || e.status == http.StatusGone)
}

// unreached tells whether an error says nothing about the log.
func unreached(err error) bool {
	var e *fetchError
	return errors.As(err, &e) && !missing(err)
}

func (f *fetcher) get(ctx context.Context, path string, most int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		return nil, &fetchError{err: err}
	}
	req.Header.Set("User-Agent", f.agent)
	resp, err := f.http.Do(req)
	if err != nil {
		return nil, &fetchError{err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &fetchError{url: f.base + path, status: resp.StatusCode}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err != nil {
		return nil, &fetchError{err: fmt.Errorf("%s: %w", f.base+path, err)}
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", f.base+path, most)
	}
	return data, nil
}

// ReadEndpoint implements torchwood.TileReader.
func (f *fetcher) ReadEndpoint(ctx context.Context, path string) ([]byte, error) {
	return f.get(ctx, path, maxCheckpoint)
}

// ReadTiles implements torchwood.TileReader.
func (f *fetcher) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, t := range tiles {
		if data[i] = f.saved[t]; data[i] != nil {
			continue
		}
		group.Go(func() (err error) {
			data[i], err = f.tile(ctx, t)
			return err
		})
	}
	return data, group.Wait()
}

// tile reads a tile. If a partial one is missing, it tries the full one, since a log may remove partial tiles then.
func (f *fetcher) tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	data, err := f.get(ctx, torchwood.TilePath(t), maxTile)
	if !missing(err) || t.W == torchwood.TileWidth {
		return data, err
	}
	full := t
	full.W = torchwood.TileWidth
	whole, fullErr := f.get(ctx, torchwood.TilePath(full), maxTile)
	if missing(fullErr) || fullErr == nil && len(whole) != maxTile {
		return nil, err
	}
	if fullErr != nil {
		return nil, fullErr
	}
	return whole[:t.W*tlog.HashSize], nil
}

// SaveTiles implements torchwood.TileReader.
func (f *fetcher) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		f.saved[t] = data[i]
	}
}
