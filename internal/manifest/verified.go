package manifest

import "sync"

// VerifiedBlocks says which blocks of a version of a segment's object were compared with their digests. They need not
// be compared again as long as the object has not changed.
type VerifiedBlocks struct {
	version string // of the object

	mu     sync.Mutex
	blocks []bool // by number
}

// Verified returns what is known of the blocks of an object in a version. If the bucket does not report
// versions, this is always nothing.
func (s *Objects) Verified(key, version string) *VerifiedBlocks {
	if c, ok := s.verified.GetIfPresent(key); ok && c.version == version {
		return c
	}
	c := &VerifiedBlocks{version: version}
	if version != "" {
		s.verified.Set(key, c)
	}
	return c
}

// Has tells whether n blocks from a number on were compared.
func (c *VerifiedBlocks) Has(number, n int) bool {
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

// Add notes that the block of a number was compared.
func (c *VerifiedBlocks) Add(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.blocks) <= number {
		c.blocks = append(c.blocks, false)
	}
	c.blocks[number] = true
}
