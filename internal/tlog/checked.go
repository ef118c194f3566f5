package tlog

import "sync"

// checked says which blocks of a version of a segment's object were compared with their digests. What was compared once
// need not be again as long as the object has not changed.
type checked struct {
	version string // of the object

	mu     sync.Mutex
	blocks []bool // by number
}

// checkedBlocks returns what is known of the blocks of an object in a version. Of a bucket that knows no versions nothing
// is ever known.
func (s *objects) checkedBlocks(key, version string) *checked {
	if c, ok := s.checked.GetIfPresent(key); ok && c.version == version {
		return c
	}
	c := &checked{version: version}
	if version != "" {
		s.checked.Set(key, c)
	}
	return c
}

// has tells whether n blocks from a number on were compared.
func (c *checked) has(number, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number+n > len(c.blocks) {
		return false
	}
	for _, done := range c.blocks[number : number+n] {
		if !done {
			return false
		}
	}
	return true
}

func (c *checked) add(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.blocks) <= number {
		c.blocks = append(c.blocks, false)
	}
	c.blocks[number] = true
}
