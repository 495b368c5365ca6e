package dnssec

import (
	"slices"

	"github.com/miekg/dns"
)

// deny looks for proof that the current name has no records of the type.
func (a *answer) deny() {
	v, n, t := a.v, a.cur, a.q.typ
	for _, signer := range v.deniers(side(n, t)) {
		z := v.zone(signer)
		switch z.status {
		case Insecure:
			a.insecureDenial(z, z.err)
			return
		case Secure:
			outer := v.trail
			v.trail = &trail{sets: slices.Clone(outer.sets), win: outer.win}
			if d, ok := v.denial(z, n, t); ok {
				if d.err != nil { // the proof says only that nothing is signed there
					a.insecureDenial(z, d.err)
					return
				}
				v.follow(z)
				a.rcode = d.rcode
				return
			}
			v.trail = outer
		}
	}
	z := v.cover(side(n, t))
	switch z.status {
	case Insecure:
		a.insecureDenial(z, z.err)
	case Secure:
		e := a.fail(CodeNSECMissing, "RFC 4035 section 5.4", ErrNoProof)
		e.Zone = z.name.String()
		status, _, err := v.absent(question{n, t}, e)
		a.end(status, err)
	default:
		if !z.missing {
			a.end(z.status, z.err)
			return
		}
		a.end(Indeterminate, z.err)
		if n != a.q.name {
			v.need(question{n, t})
		}
	}
}

// insecureDenial takes the upstream's word where nothing is signed, if it gave
// it: below the zone, or in an opt-out span of it.
func (a *answer) insecureDenial(z *zone, reason error) {
	a.v.follow(z)
	rcode, ok := a.v.recs.replies[question{a.cur, a.q.typ}]
	if !ok && a.cur != a.q.name && !a.v.online {
		rcode, ok = a.v.recs.replies[a.q] // a resolver's answer ends at the last alias
	}
	if ok && (rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError) {
		a.rcode = rcode
		a.end(Insecure, reason)
		return
	}
	status, _, err := a.v.absent(question{a.cur, a.q.typ}, a.fail(CodeOther, "", ErrMissing))
	a.end(status, err)
}

// deniers lists the zones at or above a name, and not above its anchor, whose
// denial records came, the deepest first, at most four.
func (v *validation) deniers(n name) []name {
	a := v.anchors.over(n, v.now)
	if a == nil || a.negative {
		return nil
	}
	var list []name
	add := func(rs *rrset) {
		for _, s := range rs.sigs {
			if n.within(s.signer) && s.signer.within(a.name) && !slices.Contains(list, s.signer) {
				list = append(list, s.signer)
			}
		}
	}
	for _, r := range v.recs.nsec {
		add(r.set)
	}
	for _, r := range v.recs.nsec3 {
		add(r.set)
	}
	slices.SortFunc(list, func(a, b name) int { return len(b) - len(a) })
	return list[:min(len(list), 4)]
}

// denial tries NSEC, then NSEC3.
func (v *validation) denial(z *zone, n name, t uint16) (denial, bool) {
	if d, ok := v.denyNSEC(z, n, t); ok {
		return d, true
	}
	e := &Error{Zone: z.name.String(), Name: n.String(), Type: t}
	list, excessive := v.nsec3Params(z)
	for _, p := range list {
		if d, ok := v.denyNSEC3(z, n, t, p); ok {
			if d.optOut {
				e.Rule, e.Err = "RFC 5155 section 9.2", ErrOptOut
				d.err = e
			}
			return d, true
		}
	}
	// Further down the walk from the anchor says whether this is the zone of
	// the name at all.
	if excessive != nil && side(n, t) == z.name && v.proves(excessive.set, z) {
		e.Code, e.Rule, e.Err = CodeUnsupportedIterations, "RFC 9276 section 3.2", ErrIterations
		return denial{rcode: v.recs.replies[question{n, t}], err: e}, true
	}
	return denial{}, false
}
