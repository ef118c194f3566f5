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
	atOnce        = 4 // requests for tiles of one log
)

// fetcher is a torchwood.TileReader of a log as https://c2sp.org/tlog-tiles serves it. Other than torchwood.TileFetcher
// it reads no more than a tile can have, tells what is missing from what cannot be reached, and leaves trying again to
// the next round.
type fetcher struct {
	base  string // URL that paths are appended to, with '/' at its end
	http  *http.Client
	agent string
	saved map[tlog.Tile][]byte // that were found to be good
}

// fetchError says that the answer to a request is not there.
type fetchError struct {
	url    string
	status int // of HTTP; 0: there was no answer
	err    error
}

func (e *fetchError) Error() string {
	if e.status != 0 {
		return fmt.Sprintf("%s: the server answers %d %s", e.url, e.status, http.StatusText(e.status))
	}
	return e.err.Error() // net/http says the URL
}

func (e *fetchError) Unwrap() error { return e.err }

// missing tells whether a server answered that it does not have what was asked for.
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

// tile reads a tile. A log may remove a partial one as soon as the full one is there.
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
