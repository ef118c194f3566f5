package manifest

import "sync"

// VerifiedBlocks records which blocks of one version of a segment's object were verified by their digests. They need
// not be verified again while the object has this version.
type VerifiedBlocks struct {
	version string // of the object

	mu     sync.Mutex
	blocks []bool // by number
}

// Verified returns the verified blocks of an object in a version. If the bucket does not report versions, none are ever
// recorded.
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

// Has tells whether n blocks were verified, from a number on.
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

// Add records that a block was verified.
func (c *VerifiedBlocks) Add(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.blocks) <= number {
		c.blocks = append(c.blocks, false)
	}
	c.blocks[number] = true
}
