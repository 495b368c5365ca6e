package dnssec

import (
	"slices"

	"github.com/miekg/dns"
)

// typeNXNAME in a type bitmap says that the name does not exist although a
// record matches it (RFC 9824 section 2).
const typeNXNAME uint16 = 128

// types is a type bitmap.
type types []uint16

func (t types) has(typ uint16) bool { return slices.Contains(t, typ) }

// delegation is true at a zone cut seen from above (RFC 6840 section 4.1).
func (t types) delegation() bool { return t.has(dns.TypeNS) && !t.has(dns.TypeSOA) }

// deniesBelow is true for the owner of a record that proves nothing about names
// below it: a delegation or a DNAME (RFC 6840 section 4.1).
func (t types) deniesNothingBelow() bool { return t.delegation() || t.has(dns.TypeDNAME) }

// lacks reports whether a record that matches a name proves that it has no
// records of a type and no alias either (RFC 4035 section 5.4, RFC 6840 section
// 4.3 and 4.4): the parent speaks for DS, the child for everything else.
func (t types) lacks(owner name, typ uint16) bool {
	if t.has(typ) || t.has(dns.TypeCNAME) {
		return false
	}
	if typ == dns.TypeDS {
		return owner == root || !t.has(dns.TypeSOA)
	}
	return !t.delegation()
}

// nsecRecord is an NSEC record with its names read.
type nsecRecord struct {
	set   *rrset
	owner name
	next  name
	types types
}

// readNSEC returns nil for what is not one well-formed NSEC record.
func readNSEC(rs *rrset) *nsecRecord {
	if len(rs.rrs) != 1 {
		return nil
	}
	rr, ok := rs.rrs[0].(*dns.NSEC)
	if !ok {
		return nil
	}
	next, ok := parseName(rr.NextDomain)
	if !ok {
		return nil
	}
	return &nsecRecord{rs, rs.owner, next, rr.TypeBitMap}
}

// covers reports whether n falls between the owner and the next name in a zone,
// and the record may speak about n at all.
func (r *nsecRecord) covers(zone, n name) bool {
	if !n.within(zone) || !r.owner.within(zone) || !r.next.within(zone) || r.owner.compare(n) >= 0 {
		return false
	}
	if n.below(r.owner) && r.types.deniesNothingBelow() {
		return false
	}
	if r.owner.compare(r.next) < 0 {
		return n.compare(r.next) < 0
	}
	return r.next == zone // the last record of the zone leads back to its apex
}

// emptyNonTerminal reports whether a covered name exists because names below it
// do (RFC 4592 section 2.2.2).
func (r *nsecRecord) emptyNonTerminal(n name) bool { return r.next.below(n) }

// denial is a proof found.
type denial struct {
	rcode  int // NXDOMAIN or NOERROR
	optOut bool
	err    error // set with status: the reason why it is only Insecure
}

// matchNSEC and coverNSEC find a verified record of a zone.
func (v *validation) matchNSEC(z *zone, n name) *nsecRecord {
	for _, r := range v.recs.nsec {
		if r.owner == n && r.owner.within(z.name) && r.next.within(z.name) && v.proves(r.set, z) {
			return r
		}
	}
	return nil
}

func (v *validation) coverNSEC(z *zone, n name) *nsecRecord {
	for _, r := range v.recs.nsec {
		if r.covers(z.name, n) && v.proves(r.set, z) {
			return r
		}
	}
	return nil
}

// denyNSEC looks for a proof that a name has no records of a type (RFC 4035
// section 5.4).
func (v *validation) denyNSEC(z *zone, n name, t uint16) (denial, bool) {
	if r := v.matchNSEC(z, n); r != nil {
		rcode := dns.RcodeSuccess
		if r.types.has(typeNXNAME) {
			rcode = dns.RcodeNameError
		}
		return denial{rcode: rcode}, r.types.lacks(n, t)
	}
	r := v.coverNSEC(z, n)
	if r == nil {
		return denial{}, false
	}
	if r.emptyNonTerminal(n) {
		return denial{rcode: dns.RcodeSuccess}, true
	}
	wild := r.closestEncloser(n).wildcard()
	if wild == "" {
		return denial{}, false
	}
	if w := v.matchNSEC(z, wild); w != nil {
		return denial{rcode: dns.RcodeSuccess}, w.types.lacks(wild, t)
	}
	if w := v.coverNSEC(z, wild); w != nil {
		if w.emptyNonTerminal(wild) { // only names below the wildcard exist: it is there, and empty
			return denial{rcode: dns.RcodeSuccess}, true
		}
		return denial{rcode: dns.RcodeNameError}, true
	}
	return denial{}, false
}

// closestEncloser of a covered name is the deepest of its ancestors that the
// record shows to exist.
func (r *nsecRecord) closestEncloser(n name) name {
	a, b := n.common(r.owner), n.common(r.next)
	if len(a) > len(b) {
		return a
	}
	return b
}

// expansionNSEC proves that a wildcard was rightly used: nothing stands between
// it and the name (RFC 4035 section 5.3.4).
func (v *validation) expansionNSEC(z *zone, n, encloser name) bool {
	r := v.coverNSEC(z, nextCloser(n, encloser))
	return r != nil && !r.emptyNonTerminal(nextCloser(n, encloser))
}

// nextCloser is the name one label longer than the closest encloser, towards n.
func nextCloser(n, encloser name) name { return n.suffix(encloser.labels() + 1) }

// noCutNSEC judges whether a name is a delegation, as its parent's records say.
func (v *validation) cutNSEC(z *zone, n name) cutKind {
	if r := v.matchNSEC(z, n); r != nil {
		return cutByTypes(r.types)
	}
	if v.coverNSEC(z, n) != nil {
		return noCut
	}
	return cutUnknown
}

type cutKind int

const (
	cutUnknown   cutKind = iota
	noCut                // the name is not a delegation
	cutUnsigned          // a delegation without DS
	cutOptOut            // not signed for, by the parent's choice
	cutExcessive         // cannot be told for less work than allowed
)

// cutByTypes is RFC 6840 section 4.4: an unsigned delegation has NS but neither
// DS nor SOA.
func cutByTypes(t types) cutKind {
	switch {
	case t.has(dns.TypeDS) || t.has(dns.TypeSOA):
		return cutUnknown
	case t.has(dns.TypeNS):
		return cutUnsigned
	}
	return noCut
}
