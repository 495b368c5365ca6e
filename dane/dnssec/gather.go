package dnssec

import (
	"slices"

	"github.com/miekg/dns"
)

// question is a name and type of class IN.
type question struct {
	name name
	typ  uint16
}

// records is what a validation may use: everything that came, sorted into
// RRsets but not yet believed.
type records struct {
	limits  Limits
	answers map[question][]*rrset // from answer sections; and DS from authority sections
	nsec    []*nsecRecord
	nsec3   []*nsec3Record
	replies map[question]int // rcode of the reply to each question
	count   int              // messages
	dropped bool             // a message was over a limit
	signed  bool             // at least one RRSIG came
}

func newRecords(l Limits) *records {
	return &records{limits: l, answers: map[question][]*rrset{}, replies: map[question]int{}}
}

// versions caps how many different RRsets of one owner and type are kept, and
// denials how many NSEC and how many NSEC3 records. Denials are checked only
// when they bear on the name, but each costs a comparison.
const (
	versions = 4
	denials  = 512
)

// add takes a message in. Only the sections count that can hold signed data.
func (r *records) add(m *dns.Msg) {
	if m == nil {
		return
	}
	if r.count++; r.count > r.limits.Messages || len(m.Answer)+len(m.Ns) > r.limits.Records {
		r.dropped = true
		return
	}
	if len(m.Question) == 1 && m.Question[0].Qclass == dns.ClassINET {
		if n, ok := parseName(m.Question[0].Name); ok {
			r.replies[question{n, m.Question[0].Qtype}] = m.Rcode
		}
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return
	}
	for _, rs := range group(m.Answer) {
		r.keep(rs)
	}
	var proofs []*rrset
	for _, rs := range group(m.Ns) {
		switch rs.typ {
		case dns.TypeDS:
			r.keep(rs)
		case dns.TypeNSEC, dns.TypeNSEC3:
			proofs = append(proofs, rs)
		}
		r.signed = r.signed || len(rs.sigs) > 0
	}
	r.keepDenials(proofs)
}

// addFlat takes records without message or section, as evidence has them.
func (r *records) addFlat(rrs []dns.RR) {
	if len(rrs) > r.limits.Records {
		r.dropped = true
		return
	}
	var proofs []*rrset
	for _, rs := range group(rrs) {
		r.keep(rs)
		if rs.typ == dns.TypeNSEC || rs.typ == dns.TypeNSEC3 {
			proofs = append(proofs, rs)
		}
	}
	r.keepDenials(proofs)
}

func (r *records) keep(rs *rrset) {
	r.signed = r.signed || len(rs.sigs) > 0
	q := question{rs.owner, rs.typ}
	if len(r.answers[q]) < versions {
		r.answers[q] = append(r.answers[q], rs)
	}
}

// keepDenials keeps the NSEC and NSEC3 records of one message. NSEC3 records of
// one zone with different parameters are not a proof of anything (RFC 5155
// section 8.2), and which is the odd one out is unknown.
func (r *records) keepDenials(sets []*rrset) {
	first := map[name]nsec3Params{}
	var mixed []name
	var list []*nsec3Record
	for _, rs := range sets {
		if rs.typ == dns.TypeNSEC {
			if rec := readNSEC(rs); rec != nil && len(r.nsec) < denials {
				r.nsec = append(r.nsec, rec)
			}
			continue
		}
		rec := readNSEC3(rs)
		if rec == nil {
			continue
		}
		zone := rs.owner.parent()
		if p, ok := first[zone]; ok && p != rec.params {
			mixed = append(mixed, zone)
		}
		first[zone] = rec.params
		list = append(list, rec)
	}
	for _, rec := range list {
		if !slices.Contains(mixed, rec.set.owner.parent()) && len(r.nsec3) < denials {
			r.nsec3 = append(r.nsec3, rec)
		}
	}
}

// group sorts records into RRsets, in order of appearance, with the RRSIGs that
// cover them. Signatures that cannot be meant for the set are left out.
func group(rrs []dns.RR) []*rrset {
	var list []*rrset
	sets := make(map[question]*rrset, 8)
	var last string
	var owner name
	for _, rr := range rrs {
		if rr == nil {
			continue
		}
		h := rr.Header()
		if h.Class != dns.ClassINET {
			continue
		}
		if h.Name != last || owner == "" {
			n, ok := parseName(h.Name)
			if !ok {
				continue
			}
			last, owner = h.Name, n
		}
		sig, isSig := rr.(*dns.RRSIG)
		t := h.Rrtype
		if isSig {
			t = sig.TypeCovered
		} else if t == dns.TypeRRSIG {
			continue
		}
		rs := sets[question{owner, t}]
		if rs == nil {
			rs = &rrset{owner: owner, typ: t}
			sets[question{owner, t}] = rs
			list = append(list, rs)
		}
		if !isSig {
			rs.rrs = append(rs.rrs, rr)
		} else if signer, ok := parseName(sig.SignerName); ok && owner.within(signer) {
			rs.sigs = append(rs.sigs, &signature{sig, signer})
		}
	}
	return slices.DeleteFunc(list, func(rs *rrset) bool { return len(rs.rrs) == 0 })
}
