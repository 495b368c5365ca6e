package dnssec

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// followCNAME takes a step along an alias, which must stand alone at its name.
func (a *answer) followCNAME(sets []*rrset) bool {
	rs := a.accept(sets)
	if rs == nil {
		return false
	}
	var target name
	ok := len(rs.unique()) == 1
	if ok {
		var rr *dns.CNAME
		if rr, ok = rs.rrs[0].(*dns.CNAME); ok {
			target, ok = parseName(rr.Target)
		}
	}
	if !ok {
		a.end(Bogus, a.fail(CodeOther, "RFC 2181 section 10.1", fmt.Errorf("%w: more than one CNAME", ErrAlias)))
		return false
	}
	a.rrs = append(a.rrs, rs.unique()...)
	a.cur = target
	return true
}

// dnames finds DNAME records above the current name.
func (a *answer) dnames() []*rrset {
	for up := a.cur; up != root; {
		up = up.parent()
		if sets := a.v.recs.answers[question{up, dns.TypeDNAME}]; len(sets) > 0 {
			return sets
		}
	}
	return nil
}

// followDNAME makes the CNAME itself and believes no other (RFC 6672 section 5.3.1).
func (a *answer) followDNAME(sets, cnames []*rrset) bool {
	rs := a.accept(sets)
	if rs == nil {
		return false
	}
	const rule = "RFC 6672 section 5.3.1"
	rr, ok := rs.rrs[0].(*dns.DNAME)
	to, parsed := name(""), false
	if ok {
		to, parsed = parseName(rr.Target)
	}
	if !ok || !parsed || len(rs.unique()) != 1 {
		a.end(Bogus, a.fail(CodeOther, rule, fmt.Errorf("%w: malformed DNAME", ErrAlias)))
		return false
	}
	target := a.cur[:len(a.cur)-len(rs.owner)] + to
	if len(target) > 255 {
		a.end(Bogus, a.fail(CodeOther, "RFC 6672 section 2.3", fmt.Errorf("%w: name too long after DNAME", ErrAlias)))
		return false
	}
	for _, c := range cnames {
		if got, ok := c.rrs[0].(*dns.CNAME); !ok || !strings.EqualFold(dns.Fqdn(got.Target), target.String()) {
			a.end(Bogus, a.fail(CodeOther, rule, fmt.Errorf("%w: CNAME does not follow from the DNAME", ErrAlias)))
			return false
		}
	}
	a.rrs = append(a.rrs, rs.unique()...)
	a.rrs = append(a.rrs, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: a.cur.String(), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: rs.ttl()},
		Target: target.String(),
	})
	if a.q.typ != dns.TypeCNAME {
		a.cur = target
	}
	return true
}
