package dnssec

import (
	"slices"
	"time"

	"github.com/miekg/dns"
)

// result closes the walk.
func (a *answer) result() *Result {
	v := a.v
	r := &Result{
		Status: a.status, Reason: a.err, Rcode: a.rcode, Name: a.cur.String(),
		Verifications: v.verifications, Hashes: v.hashCount,
	}
	if a.status == Secure || a.status == Insecure {
		win := v.trail.win
		r.RRs = capped(a.rrs, v.now, win.expires)
		r.Expires, r.ValidFrom, r.ValidUntil = win.expires, win.from, win.until
	} else if rcode, ok := v.recs.replies[a.q]; ok {
		r.Rcode = rcode
	}
	if a.status == Secure {
		r.proof = v.trail.sets
	}
	r.Zones = v.links()
	return r
}

// capped returns the records with no TTL that outlives what they rest on.
func capped(rrs []dns.RR, now, expires time.Time) []dns.RR {
	if len(rrs) == 0 {
		return nil
	}
	left := uint32(max(0, expires.Sub(now)/time.Second))
	list := make([]dns.RR, 0, len(rrs))
	for _, rr := range rrs {
		if rr.Header().Ttl > left {
			rr = dns.Copy(rr)
			rr.Header().Ttl = left
		}
		list = append(list, rr)
	}
	return list
}

// links lists the zones met, in canonical order, so that parents come first.
func (v *validation) links() []Zone {
	var list []*zone
	for _, z := range v.zones {
		if !slices.Contains(list, z) {
			list = append(list, z)
		}
	}
	slices.SortFunc(list, func(a, b *zone) int { return a.name.compare(b.name) })
	links := make([]Zone, len(list))
	for i, z := range list {
		links[i] = z.link()
	}
	return links
}

func (z *zone) link() Zone {
	l := Zone{
		Name: z.name.String(), Status: z.status, Reason: z.err, Anchor: z.anchor,
		DS: slices.Clone(z.ds), Cached: z.cached, Expires: z.win.expires,
	}
	if z.parent != nil {
		l.Parent = z.parent.name.String()
	}
	for _, k := range z.keys {
		l.Keys = append(l.Keys, Key{KeyTag: k.tag, Algorithm: k.alg, Flags: k.flags, Used: k.used})
	}
	return l
}
