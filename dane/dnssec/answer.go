package dnssec

import (
	"fmt"
	"slices"
	"strings"
	"time"

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
	v.needs, v.trail, v.retry = nil, &trail{}, false
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
