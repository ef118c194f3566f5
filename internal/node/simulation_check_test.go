package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"filippo.io/torchwood"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// check looks at the bucket after a change of it: from outside, as somebody without weir would, and as a node that has
// just started would.
func (c *cluster) check(op bucketest.Op, key string) error {
	if strings.HasPrefix(key, "deliverystate/") {
		return c.checkDelivery(key)
	}
	for _, log := range c.logs {
		inLog, inWAL := strings.HasPrefix(key, "logs/"+log.id+"/"), strings.HasPrefix(key, wal.Prefix(log.shard))
		planned := strings.HasPrefix(key, fmt.Sprintf("plans/%02d/", log.shard))
		if !inLog && !planned && !(inWAL && op == bucketest.Delete) {
			continue
		}
		c.mu.Lock()
		err := c.look(log)
		if err == nil {
			err = c.durable(log)
		}
		c.mu.Unlock()
		if err == nil && (planned || strings.HasPrefix(key, "logs/"+log.id+"/manifest/")) {
			err = c.download(context.Background(), c.observer, log, tlog.Query{Start: math.MinInt64,
				End: math.MaxInt64})
		}
		if err != nil {
			return fmt.Errorf("log %s: %w", log.id, err)
		}
	}
	return nil
}

// look compares a log with what it was: entries never change their places or bytes, none is there twice, none goes
// before its time, and every checkpoint that lies there is that of the log's first entries (I2, I3, I7).
func (c *cluster) look(log *simulatedLog) error {
	m, err := c.manifest(log.id)
	if err != nil || m == nil {
		return err
	}
	segments := m.Segments
	for _, h := range slices.Backward(m.History) {
		older, err := read(c, h.Key, decode[[]listedSegment])
		if err != nil {
			return err
		}
		segments = slices.Concat(older, segments)
	}
	next := m.Entries
	if len(segments) > 0 {
		next = segments[0].First
	}
	if err := log.remove(next); err != nil {
		return err
	}
	for _, s := range segments {
		lines, err := read(c, s.Key, gunzip)
		if err != nil {
			return err
		}
		if s.First != next || s.Count != int64(len(lines)) {
			return fmt.Errorf("%s has %d entries, should have %d, from %d to %d", s.Key, len(lines), s.Count,
				s.First, next)
		}
		for _, line := range lines {
			if err := log.entry(next, line); err != nil {
				return err
			}
			next++
		}
	}
	if next != m.Entries || next < int64(len(log.lines)) {
		return fmt.Errorf("the manifest says %d entries, there are %d, there were %d", m.Entries, next, len(log.lines))
	}
	return c.checkpoints(log)
}

type listedSegment struct {
	Key          string
	First, Count int64
}

type manifest struct {
	Entries    int64
	History    []listedSegment
	Segments   []listedSegment
	Checkpoint string
}

// manifest returns the highest version; nil if there is none.
func (c *cluster) manifest(log string) (*manifest, error) {
	highest := ""
	for info := range c.world.Bucket.List(context.Background(), "logs/"+log+"/manifest/", "") {
		highest = info.Key
	}
	if highest == "" {
		return nil, nil
	}
	m, err := read(c, highest, decode[manifest])
	return &m, err
}

// read returns what parse makes of an object, which is parsed once for each version.
func read[T any](c *cluster, key string, parse func([]byte) (T, error)) (v T, err error) {
	o, err := c.world.Bucket.Get(context.Background(), key, bucket.Range{})
	if err != nil {
		return v, err
	}
	id := key + "#" + o.Version
	if known, ok := c.parsed[id]; ok {
		return known.(T), nil
	}
	data, err := io.ReadAll(o)
	if err == nil {
		v, err = parse(data)
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", key, err)
	}
	c.parsed[id] = v
	return v, nil
}

func decode[T any](data []byte) (v T, err error) {
	return v, json.NewDecoder(bytes.NewReader(data)).Decode(&v) // a manifest's signature follows it
}

// remove notes that the log has nothing before an index any more.
func (l *simulatedLog) remove(first int64) error {
	for i := l.gone; i < min(first, int64(len(l.lines))); i++ {
		if !l.mayBeGone(l.lines[i]) {
			return fmt.Errorf("entry %d was removed before its time: %s", i, l.lines[i])
		}
	}
	l.gone = max(l.gone, first)
	return nil
}

// entry compares an entry with what was at its place, or takes it as new.
func (l *simulatedLog) entry(i int64, line string) error {
	switch {
	case i > int64(len(l.lines)):
		return fmt.Errorf("entry %d follows entry %d", i, len(l.lines)-1)
	case i < int64(len(l.lines)):
		if l.lines[i] != line {
			return fmt.Errorf("entry %d was %s and has become %s", i, l.lines[i], line)
		}
		return nil
	case slices.Contains(l.lines[l.gone:], line):
		return fmt.Errorf("entry %d is there already: %s", i, line)
	}
	if _, ok := l.sent[line]; !ok {
		return fmt.Errorf("entry %d was never sent to this log: %s", i, line)
	}
	l.lines = append(l.lines, line)
	l.tree.Append(proof.Leaf(proof.Digest([]byte(line))))
	l.roots = append(l.roots, l.tree.Root())
	return nil
}

// checkpoints checks every checkpoint of a log that lies in the bucket, whether or not it counts.
func (c *cluster) checkpoints(log *simulatedLog) error {
	for info := range c.world.Bucket.List(context.Background(), "logs/"+log.id+"/manifest/", "") {
		m, err := read(c, info.Key, decode[manifest])
		if err != nil {
			return err
		}
		if c.checked[info.Key] || m.Entries == 0 {
			continue
		}
		text, _, _ := strings.Cut(m.Checkpoint, "\n\n")
		p, err := torchwood.ParseCheckpoint(text + "\n")
		if err != nil || p.N != m.Entries || p.N > int64(len(log.roots)) || p.Hash != log.roots[p.N-1] {
			return fmt.Errorf("%s: %d entries, checkpoint %q does not fit: %v", info.Key, m.Entries, m.Checkpoint, err)
		}
		c.checked[info.Key] = true
	}
	return nil
}

// durable checks that every acknowledged event is in the log or in the write-ahead log (I1).
func (c *cluster) durable(log *simulatedLog) error {
	there := map[string]bool{}
	for _, line := range log.lines[log.gone:] {
		there[line] = true
	}
	reader := c.reader
	objects, err := reader.List(context.Background(), log.shard)
	if err != nil {
		return err
	}
	for _, o := range objects {
		sections, err := reader.Sections(context.Background(), o.Key)
		if err != nil {
			return err
		}
		for _, s := range sections {
			if s.Log != log.id {
				continue
			}
			data, err := reader.Member(context.Background(), o.Key, s)
			if err == nil {
				data, err = gzipmember.Decode(nil, data, s.RawLength)
			}
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(data)) {
				there[strings.TrimSuffix(line, "\n")] = true
			}
		}
	}
	for line := range log.acked {
		if !there[line] && !log.mayBeGone(line) {
			return fmt.Errorf("acknowledged, and neither in the log nor waiting: %s", line)
		}
	}
	return nil
}

// settled checks that nothing waits any more, and that what is past its time is gone.
func (c *cluster) settled() error {
	for info := range c.world.Bucket.List(context.Background(), "wal/", "") {
		if written, err := wal.Written(info.Key); err != nil || time.Since(written) > 2*c.config.SequenceDelay {
			return fmt.Errorf("%s waits, written at %v, %v", info.Key, written, err)
		}
	}
	for _, log := range c.logs {
		if err := c.look(log); err != nil {
			return err
		}
		for line := range log.acked {
			if !slices.Contains(log.lines, line) {
				return fmt.Errorf("log %s: acknowledged long ago and not sequenced: %s", log.id, line)
			}
		}
	}
	return nil
}

func gunzip(file []byte) ([]string, error) {
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("no gzip: %w", err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("no whole gzip: %w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), nil
}
