package dnssec

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// judgement is the verdict on one RRset.
type judgement struct {
	status  Status
	err     error
	missing bool
	set     *rrset
	sig     *signature
	zone    *zone
	win     window
}

// judge validates one of the versions of an RRset that came.
func (v *validation) judge(sets []*rrset) judgement {
	a := v.anchors.over(side(sets[0].owner, sets[0].typ), v.now)
	if a == nil || a.negative {
		return v.judgeUnsigned(sets[0])
	}
	var failed *judgement
	note := func(j judgement) {
		if failed == nil || (j.zone.status == Secure && failed.zone.status != Secure) {
			failed = &j
		}
	}
	for _, rs := range sets {
		for _, signer := range signers(rs, a.name) {
			z := v.zone(signer)
			j := judgement{status: z.status, err: z.err, missing: z.missing, set: rs, zone: z, win: z.win}
			switch z.status {
			case Secure:
				s, err := v.verify(rs, z)
				if err == nil {
					j.sig = s
					j.win.meet(v.span(rs, s))
					return j
				}
				j.status, j.err = Bogus, err
				note(j)
			case Insecure:
				j.win.meet(v.span(rs, nil))
				return j
			default:
				note(j)
			}
		}
	}
	if failed != nil && (failed.zone.status == Secure || failed.missing) {
		return *failed
	}
	return v.judgeUnsigned(sets[0])
}

// judgeUnsigned is for a set that nobody who matters signed: fine only where
// nothing is signed (RFC 4035 section 4.3).
func (v *validation) judgeUnsigned(rs *rrset) judgement {
	z := v.cover(side(rs.owner, rs.typ))
	j := judgement{status: z.status, err: z.err, missing: z.missing, set: rs, zone: z, win: z.win}
	switch z.status {
	case Secure:
		j.status = Bogus
		j.err = fail(z, rs, CodeRRSIGsMissing, "RFC 4035 section 5.3.1", ErrNoSignature)
	case Insecure:
		j.win.meet(v.span(rs, nil))
	}
	return j
}

// side is the name whose zone holds the records: for DS that of the parent.
func side(n name, typ uint16) name {
	if typ == dns.TypeDS {
		return n.parent()
	}
	return n
}

// signers lists who may have signed a set, the deepest first, at most two: the
// zone of the name, and for DS one above it (RFC 4035 section 5.3.1). What is
// above the anchor has no say: the longest match decides.
func signers(rs *rrset, top name) []name {
	var list []name
	for _, s := range rs.sigs {
		if !s.signer.within(top) {
			continue
		}
		if rs.typ == dns.TypeDS && rs.owner != root && s.signer == rs.owner {
			continue
		}
		if rs.typ == dns.TypeDNSKEY && s.signer != rs.owner {
			continue
		}
		if !slices.Contains(list, s.signer) {
			list = append(list, s.signer)
		}
	}
	slices.SortFunc(list, func(a, b name) int { return len(b) - len(a) })
	return list[:min(len(list), 2)]
}

// answer is a walk along the aliases of one question.
type answer struct {
	v      *validation
	q      question
	cur    name
	status Status
	err    error
	rrs    []dns.RR
	rcode  int
}

// run judges a question by the records there are. A verdict of Bogus or
// Indeterminate may change while v.needs is not empty.
func (v *validation) run(q question) *Result {
	if v.zones == nil {
		v.zones = map[name]*zone{}
	}
	for n, z := range v.zones {
		if z.missing || z.status == Indeterminate || v.retry && z.status == Bogus {
			delete(v.zones, n)
		}
	}
	v.needs, v.trail, v.retry, v.unknown = nil, &trail{}, false, nil
	a := &answer{v: v, q: q, cur: q.name, status: Secure, rcode: dns.RcodeSuccess}
	a.walk()
	if v.limitErr != nil {
		a.status, a.err = Bogus, v.limitErr
	}
	if a.status == Indeterminate && v.recs.dropped {
		a.status = Bogus
		a.err = &Error{Code: CodeBogus, Name: q.name.String(), Type: q.typ, Err: fmt.Errorf("%w: messages or records per message", ErrLimit)}
	}
	return a.result()
}

func (a *answer) walk() {
	seen := map[name]bool{}
	for {
		if seen[a.cur] {
			a.end(Bogus, a.fail(CodeOther, "RFC 1034 section 5.2.2", fmt.Errorf("%w: loop", ErrAlias)))
			return
		}
		if len(seen) > a.v.recs.limits.Aliases {
			a.end(Bogus, a.fail(CodeOther, "RFC 1034 section 5.2.2", fmt.Errorf("%w: %w: aliases, at most %d", ErrAlias, ErrLimit, a.v.recs.limits.Aliases)))
			return
		}
		seen[a.cur] = true
		if !a.hop() {
			return
		}
	}
}

// end sets the verdict, which is never better than that of an earlier alias.
func (a *answer) end(s Status, err error) {
	if s < a.status {
		a.status, a.err = s, err
	}
}

func (a *answer) fail(code uint16, rule string, err error) *Error {
	return &Error{Code: code, Name: a.cur.String(), Type: a.q.typ, Rule: rule, Err: err}
}

// hop takes one step; it is true if that led to another name.
func (a *answer) hop() bool {
	recs := a.v.recs
	direct := recs.answers[question{a.cur, a.q.typ}]
	cnames := recs.answers[question{a.cur, dns.TypeCNAME}]
	if (a.q.typ == dns.TypeCNAME || len(direct) == 0) && (len(cnames) == 0 || len(cnames[0].sigs) == 0) {
		if dnames := a.dnames(); len(dnames) > 0 {
			return a.followDNAME(dnames, cnames) && a.q.typ != dns.TypeCNAME
		}
	}
	switch {
	case len(direct) > 0:
		if rs := a.accept(direct); rs != nil {
			a.rrs = append(a.rrs, rs.unique()...)
		}
		return false
	case len(cnames) > 0:
		return a.followCNAME(cnames)
	}
	a.deny()
	return false
}

// accept judges a set and notes what it rests on. Nil means the walk is over.
func (a *answer) accept(sets []*rrset) *rrset {
	v := a.v
	j := v.judge(sets)
	if j.status != Secure && j.status != Insecure {
		a.end(j.status, j.err)
		return nil
	}
	v.follow(j.zone)
	v.trail.add(j.win, j.set)
	if j.status == Insecure {
		a.end(Insecure, j.err)
		return j.set
	}
	if ce, expanded := j.sig.closestEncloser(j.set.owner); expanded {
		if st, err := v.expanded(j, ce); st != Secure {
			a.end(st, err)
			if st != Insecure {
				return nil
			}
		}
	}
	return j.set
}

// follow notes the zones down to z as what the verdict rests on.
func (v *validation) follow(z *zone) {
	for ; z != nil; z = z.parent {
		v.trail.add(z.win, z.proof...)
	}
}

// expanded checks an answer made from a wildcard.
func (v *validation) expanded(j judgement, ce name) (Status, error) {
	rs := j.set
	switch rs.typ {
	case dns.TypeDNSKEY, dns.TypeDS, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeDNAME, dns.TypeSOA:
		return Bogus, fail(j.zone, rs, CodeBogus, "RFC 4592 section 4", fmt.Errorf("%w: such records cannot come from a wildcard", ErrSignature))
	}
	if v.expansionNSEC(j.zone, rs.owner, ce) {
		return Secure, nil
	}
	list, excessive := v.nsec3Params(j.zone)
	for _, p := range list {
		if optOut, ok := v.expansionNSEC3(j.zone, rs.owner, ce, p); ok {
			if optOut {
				return Insecure, fail(j.zone, rs, CodeOther, "RFC 5155 section 8.8", ErrOptOut)
			}
			return Secure, nil
		}
	}
	if excessive != nil && v.proves(excessive.set, j.zone) {
		return Insecure, fail(j.zone, rs, CodeUnsupportedIterations, "RFC 9276 section 3.2", ErrIterations)
	}
	return Bogus, fail(j.zone, rs, CodeNSECMissing, "RFC 4035 section 5.3.4", fmt.Errorf("%w: that the name itself is absent, so that the wildcard applies", ErrNoProof))
}
