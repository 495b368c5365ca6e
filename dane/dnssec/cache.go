package dnssec

import (
	"sync"
	"time"
)

// zoneCache keeps the keys of zones validated in earlier look-ups, and the
// names below which nothing is signed. Answers are not kept.
type zoneCache struct {
	mu      sync.Mutex
	anchors *Anchors
	zones   map[name]*zone
	cutters map[name]bool // zones that are known to delegate
}

// get returns a copy of a zone that is valid at a time.
func (c *zoneCache) get(n name, now time.Time) *zone {
	c.mu.Lock()
	defer c.mu.Unlock()
	z := c.zones[n]
	if z == nil || !now.Before(z.win.expires) || now.Before(z.win.from) {
		return nil
	}
	return z.forReuse()
}

// at returns get for a fixed time.
func (c *zoneCache) at(now time.Time) func(name) *zone {
	return func(n name) *zone { return c.get(n, now) }
}

// forReuse copies what a validation may write to.
func (z *zone) forReuse() *zone {
	c := *z
	c.cached = true
	c.keys = make([]*key, len(z.keys))
	for i, k := range z.keys {
		dup := *k
		dup.used = false
		c.keys[i] = &dup
	}
	return &c
}

// put keeps the zones of a validation that have a lasting verdict.
func (c *zoneCache) put(zones map[name]*zone, limit int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.zones == nil {
		c.zones, c.cutters = map[name]*zone{}, map[name]bool{}
	}
	for n, z := range zones {
		if z.cached || z.name != n || z.status != Secure && z.status != Insecure || !now.Before(z.win.expires) {
			continue
		}
		if len(c.zones) >= limit && c.zones[n] == nil {
			c.evict(now)
		}
		c.zones[n] = z
		if z.parent != nil {
			if len(c.cutters) > limit {
				clear(c.cutters)
			}
			c.cutters[z.parent.name] = true
		}
	}
}

// evict drops what has expired, or else the entry that expires first.
func (c *zoneCache) evict(now time.Time) {
	var first name
	for n, z := range c.zones {
		if !now.Before(z.win.expires) {
			delete(c.zones, n)
			continue
		}
		if old := c.zones[first]; old == nil || z.win.expires.Before(old.win.expires) {
			first = n
		}
	}
	delete(c.zones, first)
}

// drop forgets a zone that turned out to be outdated.
func (c *zoneCache) drop(n name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.zones, n)
}

// use empties the cache when the anchors are others than before.
func (c *zoneCache) use(a *Anchors) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.anchors != a {
		c.anchors, c.zones, c.cutters = a, nil, nil
	}
}

// delegates reports whether a zone is known to have zones below it.
func (c *zoneCache) delegates(n name) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutters[n]
}
