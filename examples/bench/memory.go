package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// canned answers from memory, so that only the validator's own allocations are
// counted.
type canned struct {
	next dnssec.Exchanger
	mu   sync.Mutex
	have map[dns.Question]*dns.Msg
}

func (c *canned) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	c.mu.Lock()
	m := c.have[q.Question[0]]
	c.mu.Unlock()
	if m == nil {
		var err error
		if m, err = c.next.Exchange(ctx, q); err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.have[q.Question[0]] = m
		c.mu.Unlock()
	}
	answer := *m
	answer.Id = q.Id
	return &answer, nil
}

// memory measures what look-ups allocate and what a resolver keeps.
func (b *daneRun) memory(ctx context.Context, r *report) error {
	s := r.section("memory", "Memory, with answers at hand")
	if err := b.allocations(ctx, s); err != nil {
		return err
	}
	return b.cache(ctx, s)
}

func (b *daneRun) allocations(ctx context.Context, s *section) error {
	w := danetest.NewWorld(b.stage, danetest.Config{Zones: threeZones()})
	if err := addDevices(w, b.names); err != nil {
		return err
	}
	anchors, err := anchorsOf(w)
	if err != nil {
		return err
	}
	c := &canned{next: w, have: map[dns.Question]*dns.Msg{}}
	fresh := func() *dnssec.Resolver {
		return &dnssec.Resolver{Exchanger: c, Anchors: anchors, Now: w.Now}
	}
	for _, kind := range []struct {
		name string
		of   func() func() *dnssec.Resolver
	}{
		{"cold", func() func() *dnssec.Resolver { return fresh }},
		{"warm", func() func() *dnssec.Resolver {
			one := fresh()
			return func() *dnssec.Resolver { return one }
		}},
	} {
		pass := func(resolver func() *dnssec.Resolver) error {
			for i := range b.names {
				if _, err := secure(ctx, resolver(), device(i), dns.TypeCERT); err != nil {
					return err
				}
			}
			return nil
		}
		resolver := kind.of()
		if err := pass(resolver); err != nil { // fills the can and, if warm, the cache
			return err
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := pass(resolver); err != nil {
			return err
		}
		runtime.ReadMemStats(&after)
		n := float64(b.names)
		s.add(kind.name+"_bytes", float64(after.TotalAlloc-before.TotalAlloc)/n, "octets", "allocated per look-up")
		s.add(kind.name+"_allocations", float64(after.Mallocs-before.Mallocs)/n, "objects", "allocated per look-up")
	}
	return nil
}

// cache visits many more zones than a resolver may keep.
func (b *daneRun) cache(ctx context.Context, s *section) error {
	limit := b.zones
	zones := []string{"."}
	for i := range 4 * limit {
		zones = append(zones, fmt.Sprintf("z%d.", i))
	}
	w := danetest.NewWorld(b.stage, danetest.Config{Zones: zones})
	anchors, err := anchorsOf(w)
	if err != nil {
		return err
	}
	visit := func(r *dnssec.Resolver, zones []string) (uint64, error) {
		for _, z := range zones {
			if _, err := secure(ctx, r, z, dns.TypeSOA); err != nil {
				return 0, err
			}
		}
		w.Queries() // forgets them
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, nil
	}
	fresh := func() *dnssec.Resolver {
		return &dnssec.Resolver{Exchanger: w, Anchors: anchors, Now: w.Now, Limits: dnssec.Limits{Zones: limit}}
	}
	if _, err := visit(fresh(), zones[1:]); err != nil { // the world signs what it was never asked before
		return err
	}
	resolver := fresh()
	var heap [4]uint64
	for i, part := range [][]string{nil, zones[1 : limit+1], zones[limit+1 : 2*limit+1], zones[2*limit+1:]} {
		if heap[i], err = visit(resolver, part); err != nil {
			return err
		}
	}
	runtime.KeepAlive(resolver)
	kept := func(i int) float64 { return float64(heap[i]) - float64(heap[0]) }
	s.add("cache_octets_per_zone", kept(1)/float64(limit), "octets", fmt.Sprintf("%d zones kept, the limit set here; the default is 1024", limit))
	s.goal("cache_growth", kept(3)/max(kept(1), 1), "x", 1.2, fmt.Sprintf("heap after %d zones over that after %d", 4*limit, limit))
	return nil
}
