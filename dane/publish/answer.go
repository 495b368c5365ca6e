package publish

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// maxAliases bounds the CNAME and DNAME steps of one answer.
const maxAliases = 8

// resolver works out the answer to one query.
type resolver struct {
	reply
	zones   map[string]*Zone
	qtype   uint16
	name    []byte // current name, lower-case: the question's, then its aliases
	nameBuf [maxName + 1]byte
	aliases []*rrset // CNAMEs followed so far

	// the zone being asked, its version and time, and the key of name in it
	z   *Zone
	st  *state
	now time.Time
	key string
}

// find chooses the deepest zone for the current name; for a DS at an origin
// the zone above, if it is here (RFC 4035 s3.1.4.1).
func (r *resolver) find() bool {
	r.z = nil
	var child *Zone
	for off := 0; ; off += int(r.name[off]) + 1 {
		z := r.zones[string(r.name[off:])]
		switch {
		case z == nil:
		case off == 0 && r.qtype == dns.TypeDS && r.name[0] != 0:
			child = z
		default:
			return r.use(z)
		}
		if r.name[off] == 0 {
			break
		}
	}
	return child != nil && r.use(child)
}

func (r *resolver) use(z *Zone) bool {
	r.z, r.st, r.now = z, z.state.Load(), z.now()
	r.key = relativeKey(r.name[:len(r.name)-len(z.origin)])
	return true
}

// resolve follows the current name to an answer (RFC 1034 s4.3.2).
func (r *resolver) resolve() {
	if !r.find() {
		r.rcode = dns.RcodeRefused
		return
	}
	r.aa, r.aliases = true, r.aliases[:0]
	for range maxAliases + 1 {
		if !r.step() || r.rcode != dns.RcodeSuccess || r.full() || !r.find() {
			break
		}
	}
	r.authority()
}

// step answers for the current name in the current zone. It returns true when
// that led to an alias, which is now the current name.
func (r *resolver) step() (again bool) {
	if cut := r.st.cutAbove(r.key); cut != nil && (cut.key != r.key || r.qtype != dns.TypeDS) {
		r.referral(cut)
		return false
	}
	if n := r.st.root.get(r.key); n != nil {
		return r.atNode(n)
	}
	if n := r.dnameAbove(); n != nil {
		return r.redirect(n)
	}
	if r.st.hasBelow(r.key) { // empty non-terminal
		r.deny(r.st.covering(r.key))
		return false
	}
	encloser := commonKey(r.key, r.st.root.floor(r.key).key)
	if next := r.st.root.ceil(r.key); next != nil {
		encloser = longer(encloser, commonKey(r.key, next.key))
	}
	wild := encloser + "*\x00"
	if n := r.st.root.get(wild); n != nil {
		r.prove(r.st.covering(r.key))
		return r.atNode(n)
	}
	r.deny(r.st.covering(r.key))
	r.prove(r.st.covering(wild))
	if r.rcode == dns.RcodeSuccess {
		r.rcode = dns.RcodeNameError
	}
	return false
}

func longer(a, b string) string {
	if len(a) > len(b) {
		return a
	}
	return b
}

// atNode answers from a node: the one asked for, or the wildcard that stands
// in for it.
func (r *resolver) atNode(n *node) (again bool) {
	switch s := n.set(r.qtype); {
	case s != nil:
		r.answer(n.key, s)
	case r.qtype == dns.TypeNSEC && r.z.isSigned() && n.key == r.key:
		r.answer(n.key, r.z.nsec(r.st, n))
	case r.qtype == dns.TypeANY: // RFC 8482 s4.1
		r.answer(n.key, n.sets[0])
	case r.qtype == dns.TypeRRSIG && r.z.isSigned(): // RFC 8482 s7
		if sigs := r.signatures(n.key, n.sets[0]); sigs != nil {
			r.records(0, r.name, sigs.wire)
		}
	case n.set(dns.TypeCNAME) != nil:
		return r.follow(n.key, n.set(dns.TypeCNAME))
	default:
		r.deny(n)
	}
	return false
}

// follow answers with a CNAME and makes its target the current name, unless
// that goes in circles.
func (r *resolver) follow(key string, s *rrset) (again bool) {
	if slices.Contains(r.aliases, s) {
		return false
	}
	r.aliases = append(r.aliases, s)
	r.answer(key, s)
	r.name = append(r.nameBuf[:0], s.wire[bodyHead:]...)
	return true
}

// answer writes an RRset found at key into the answer section.
func (r *resolver) answer(key string, s *rrset) {
	r.records(0, r.name, s.wire)
	if !r.do || !r.z.isSigned() || !r.st.authoritative(key, s.typ) {
		return
	}
	if sigs := r.signatures(key, s); sigs != nil {
		r.records(0, r.name, sigs.wire)
	}
}

// signatures returns an RRset's signatures. Without them the answer becomes
// SERVFAIL.
func (r *resolver) signatures(key string, s *rrset) *signatures {
	sigs, err := r.z.signed(key, s, r.now)
	if err != nil {
		r.rcode = dns.RcodeServerFailure
		return nil
	}
	return sigs
}

// deny proves that the current name has no such data, with the NSEC of n.
func (r *resolver) deny(n *node) {
	r.keep("", r.st.root.get("").set(dns.TypeSOA), true)
	r.prove(n)
}

// prove keeps the NSEC of n for the authority section, if the client wants it.
func (r *resolver) prove(n *node) {
	if r.do && r.z.isSigned() {
		r.keep(n.key, r.z.nsec(r.st, n), true)
	}
}

// keep puts an RRset aside for the authority section.
func (r *resolver) keep(key string, s *rrset, sign bool) {
	p := proof{set: s}
	if sign && r.do && r.z.isSigned() {
		if p.sigs = r.signatures(key, s); p.sigs == nil {
			return
		}
	}
	r.later(p, key, r.z.origin)
}

// referral points to the servers of a zone below, which is not served here
// (RFC 4035 s3.1.4).
func (r *resolver) referral(cut *node) {
	if r.counts[0] == 0 {
		r.aa = false
	}
	ns := cut.set(dns.TypeNS)
	r.keep(cut.key, ns, false)
	if ds := cut.set(dns.TypeDS); ds == nil {
		r.prove(cut)
	} else if r.do {
		r.keep(cut.key, ds, true)
	}
	r.authority()
	r.proof = r.proof[:0]
	for _, host := range ns.rdata() {
		r.glue(host)
	}
}

// glue adds the addresses of a name server, as far as they fit.
func (r *resolver) glue(host []byte) {
	cut, ok := below(host, r.z.origin)
	if !ok {
		return
	}
	n := r.st.root.get(relativeKey(host[:cut]))
	for _, typ := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		if n == nil || n.set(typ) == nil {
			continue
		}
		size, count := len(r.buf), r.counts
		r.records(2, host, n.set(typ).wire)
		if len(r.buf)+11 > r.limit {
			r.buf, r.counts = r.buf[:size], count
		}
	}
}

// dnameAbove returns the node above the current name that has a DNAME, or nil.
func (r *resolver) dnameAbove() *node {
	if r.st.dnames == 0 {
		return nil
	}
	for key := range parentKeys(r.key) {
		if n := r.st.root.get(key); n != nil && n.set(dns.TypeDNAME) != nil {
			return n
		}
	}
	return nil
}

// redirect answers with a DNAME and the CNAME made from it (RFC 6672 s3.2).
func (r *resolver) redirect(n *node) (again bool) {
	var buf, to [maxName + 1]byte
	owner := appendOwner(buf[:0], n.key, r.z.origin)
	s := n.set(dns.TypeDNAME)
	from := r.name
	r.name = owner
	r.answer(n.key, s)
	target := s.wire[bodyHead:]
	above := from[:len(from)-len(owner)]
	if len(above)+len(target) > maxName {
		r.name = from
		r.rcode = dns.RcodeYXDomain
		return false
	}
	name := append(append(to[:0], above...), target...)
	r.records(0, from, appendBody(nil, dns.TypeCNAME, binary.BigEndian.Uint32(s.wire[4:]), name))
	r.name = append(r.nameBuf[:0], name...)
	return r.qtype != dns.TypeCNAME
}

// refused reports whether queries of a type are not answered at all: zone
// transfers, and what is no type to ask for.
func refused(qtype uint16) (rcode int, bad bool) {
	switch qtype {
	case dns.TypeAXFR, dns.TypeIXFR:
		return dns.RcodeRefused, true
	case dns.TypeMAILA, dns.TypeMAILB:
		return dns.RcodeNotImplemented, true
	case dns.TypeANY:
		return 0, false
	}
	if !ordinary(qtype) {
		return dns.RcodeFormatError, true
	}
	return 0, false
}
