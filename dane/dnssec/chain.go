package dnssec

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// zone is what is known about a zone, or about the part of the tree below a
// delegation that nobody signed for.
type zone struct {
	name    name
	status  Status
	err     error
	missing bool // more records may change this

	keys   []*key
	ds     []DS
	anchor bool
	parent *zone
	win    window
	proof  []*rrset
	cached bool
}

// need notes a question whose reply would help. It is false if the question was
// asked already.
func (v *validation) need(q question) bool {
	if _, ok := v.recs.replies[q]; ok {
		return false
	}
	if _, ok := v.failed[q]; ok {
		return false
	}
	if !slices.Contains(v.needs, q) {
		v.needs = append(v.needs, q)
	}
	return true
}

// absent judges that the records for q are not there: bogus if a reply should
// have had them, and no verdict if there was no proper reply.
func (v *validation) absent(q question, bogus *Error) (status Status, missing bool, err error) {
	e := *bogus
	rcode, replied := v.recs.replies[q]
	cause, failed := v.failed[q]
	switch {
	case replied && (rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError):
		return Bogus, false, &e
	case replied:
		e.Code, e.Rule = CodeNoReachableAuthority, ""
		e.Err = fmt.Errorf("%w with %s for %s %s", ErrUpstream, dns.RcodeToString[rcode], q.name, typeText(q.typ))
	case failed:
		e.Code, e.Rule = CodeNetworkError, ""
		e.Err = fmt.Errorf("%w to answer for %s %s: %w", ErrUpstream, q.name, typeText(q.typ), cause)
	default:
		missing = v.need(q)
		e.Code, e.Rule = CodeIndeterminate, ""
		e.Err = fmt.Errorf("%w: %s %s", ErrMissing, q.name, typeText(q.typ))
	}
	return Indeterminate, missing, &e
}

// speculate is how many labels ahead of what is known keys are asked for.
const speculate = 10

// needChain asks for the keys of all names below a zone, down to n: they are
// independent questions, and which of the names are zones is not known yet.
func (v *validation) needChain(top, n name) {
	path := n.downFrom(top)
	for i, d := range path {
		if i < speculate || i == len(path)-1 {
			v.need(question{d, dns.TypeDS})
			v.need(question{d, dns.TypeDNSKEY})
		}
	}
}

// zone returns what is known about the zone with this apex, if it is one.
func (v *validation) zone(n name) *zone {
	if z := v.zones[n]; z != nil {
		return z
	}
	z := v.recall(n)
	if z == nil {
		z = v.build(n)
	}
	v.zones[n] = z
	return z
}

// recall takes a zone from the cache. A zone that was not there stays unknown
// for the rest of the judgement: other look-ups fill the cache meanwhile, and
// what was concluded from its absence must not meet its presence.
func (v *validation) recall(n name) *zone {
	if v.cached == nil || v.stale[n] || v.unknown[n] {
		return nil
	}
	z := v.cached(n)
	if z == nil {
		if v.unknown == nil {
			v.unknown = map[name]bool{}
		}
		v.unknown[n] = true
	}
	return z
}

func (v *validation) build(n name) *zone {
	a := v.anchors.over(n, v.now)
	switch {
	case a == nil:
		return &zone{name: n, err: &Error{Code: CodeIndeterminate, Name: n.String(), Rule: "RFC 4033 section 5", Err: ErrNoAnchor}}
	case a.negative:
		return &zone{name: n, status: Insecure, err: &Error{Zone: a.name.String(), Name: n.String(), Rule: "RFC 7646", Err: ErrNegativeAnchor}}
	case a.name == n:
		return v.anchored(a)
	}
	sets := v.recs.answers[question{n, dns.TypeDS}]
	if len(sets) == 0 {
		return v.undelegated(n)
	}
	j := v.judge(sets)
	if j.status != Secure {
		return &zone{name: n, status: j.status, err: j.err, missing: j.missing, win: j.win, parent: j.zone}
	}
	z := &zone{name: n, parent: j.zone, win: j.win, proof: []*rrset{j.set}}
	if _, expanded := j.sig.closestEncloser(n); expanded {
		z.status, z.err = Bogus, fail(j.zone, j.set, CodeBogus, "RFC 4035 section 5.3.4", fmt.Errorf("%w: DS from a wildcard", ErrSignature))
		return z
	}
	var list []*dns.DS
	for _, rr := range j.set.rrs {
		if ds, ok := rr.(*dns.DS); ok && len(list) < v.recs.limits.DelegationTags {
			list = append(list, ds)
		}
	}
	v.admit(z, list)
	return z
}

// undelegated judges a name without DS records: below an unsigned delegation,
// or no zone at all.
func (v *validation) undelegated(n name) *zone {
	c := v.cover(n)
	if c.status != Secure {
		return c
	}
	return &zone{name: n, status: Bogus, parent: c, err: &Error{
		Code: CodeBogus, Zone: c.name.String(), Name: n.String(), Type: dns.TypeDS, Rule: "RFC 4035 section 5.3.1",
		Err: fmt.Errorf("%w: the signer is not a zone", ErrSignature)}}
}

// anchored builds a zone whose keys a trust anchor vouches for.
func (v *validation) anchored(a *anchor) *zone {
	z := &zone{name: a.name, anchor: true}
	list := a.valid(v.now)
	if len(list) == 0 {
		z.err = &Error{Code: CodeIndeterminate, Zone: a.name.String(), Name: a.name.String(), Rule: "RFC 9718 section 2.1",
			Err: fmt.Errorf("%w: none valid at %s", ErrNoAnchor, text(v.now))}
		return z
	}
	v.admit(z, list)
	if z.status == Insecure { // an anchor that cannot be used proves nothing
		z.status = Indeterminate
	}
	return z
}

// admit finds a key that one of the DS records stands for and that signs the
// key set; then all keys of the set are the zone's (RFC 4035 section 5.2).
func (v *validation) admit(z *zone, list []*dns.DS) {
	list = v.usable(z, list)
	if len(list) == 0 {
		z.status = Insecure
		return
	}
	q := question{z.name, dns.TypeDNSKEY}
	sets := v.recs.answers[q]
	best := &Error{Code: CodeDNSKEYMissing, Zone: z.name.String(), Name: z.name.String(), Type: dns.TypeDNSKEY,
		Rule: "RFC 4035 section 5.2", Err: ErrNoKey}
	if len(sets) == 0 {
		z.status, z.missing, z.err = v.absent(q, best)
		return
	}
	var err error = best
	for _, rs := range sets {
		if err = v.admitSet(z, rs, list); err == nil {
			z.status, z.err = Secure, nil
			return
		}
	}
	z.status, z.err = Bogus, err
}

// usable filters DS records: known algorithm and digest, and no SHA-1 beside a
// better digest (RFC 4509 section 3, RFC 9904).
func (v *validation) usable(z *zone, list []*dns.DS) []*dns.DS {
	best := uint8(0)
	var code uint16
	for _, ds := range list {
		z.ds = append(z.ds, DS{KeyTag: ds.KeyTag, Algorithm: ds.Algorithm, DigestType: ds.DigestType})
		switch {
		case !v.supported(ds.Algorithm):
			code = CodeUnsupportedAlgorithm
		case ds.DigestType == dns.SHA256 || ds.DigestType == dns.SHA384:
			best = dns.SHA256
		case ds.DigestType == dns.SHA1 && v.sha1:
			best = max(best, dns.SHA1)
		default:
			code = CodeUnsupportedDigest
		}
	}
	if best == 0 {
		z.err = &Error{Code: code, Zone: z.name.String(), Name: z.name.String(), Type: dns.TypeDS,
			Rule: "RFC 4035 section 5.2", Err: fmt.Errorf("%w in the DS records", ErrAlgorithm)}
		return nil
	}
	return slices.DeleteFunc(slices.Clone(list), func(ds *dns.DS) bool {
		known := ds.DigestType == best || best == dns.SHA256 && ds.DigestType == dns.SHA384
		return !known || !v.supported(ds.Algorithm)
	})
}

// admitSet tries one version of the key set.
func (v *validation) admitSet(z *zone, rs *rrset, list []*dns.DS) error {
	keys := make([]*key, 0, len(rs.rrs))
	for _, rr := range rs.rrs {
		if dk, ok := rr.(*dns.DNSKEY); ok {
			if k, ok := readKey(dk); ok {
				keys = append(keys, k)
			}
		}
	}
	entry, err := v.entryKeys(z, rs, keys, list)
	if err != nil {
		return err
	}
	s, err := v.verifyKeys(rs, z, entry)
	if err != nil {
		return err
	}
	if _, expanded := s.closestEncloser(rs.owner); expanded {
		return fail(z, rs, CodeBogus, "RFC 4035 section 5.3.4", fmt.Errorf("%w: keys from a wildcard", ErrSignature))
	}
	rs.checks = append(rs.checks, check{z, s, nil})
	z.keys = keys
	z.win.meet(v.span(rs, s))
	z.proof = append(z.proof, rs)
	for i := range z.ds {
		z.ds[i].Matched = z.ds[i].Matched && z.ds[i].KeyTag == s.KeyTag
	}
	return nil
}

// entryKeys are the keys that DS records stand for.
func (v *validation) entryKeys(z *zone, rs *rrset, keys []*key, list []*dns.DS) ([]*key, error) {
	var entry []*key
	for _, ds := range list {
		same := 0
		for _, k := range keys {
			if k.tag != ds.KeyTag || k.alg != ds.Algorithm {
				continue
			}
			if same++; same > v.recs.limits.KeysPerTag {
				return nil, v.exhaust(fmt.Sprintf("keys with tag %d in zone %s", k.tag, z.name), v.recs.limits.KeysPerTag)
			}
			if !k.matches(z.name, ds) {
				continue
			}
			if !slices.Contains(entry, k) {
				entry = append(entry, k)
			}
			z.match(ds)
		}
	}
	if len(entry) == 0 {
		return nil, fail(z, rs, CodeDNSKEYMissing, "RFC 4035 section 5.2", fmt.Errorf("%w: no key has the digest of a DS record or anchor", ErrNoKey))
	}
	return entry, nil
}

func (z *zone) match(ds *dns.DS) {
	for i := range z.ds {
		if d := &z.ds[i]; d.KeyTag == ds.KeyTag && d.Algorithm == ds.Algorithm && d.DigestType == ds.DigestType {
			d.Matched = true
		}
	}
}

// cover walks down from the anchor to the zone that a name is in, or to where
// the chain ends. It is for names without signatures to go by.
func (v *validation) cover(n name) *zone {
	a := v.anchors.over(n, v.now)
	if a == nil || a.negative {
		return v.build(n)
	}
	z := v.zone(a.name)
	path := n.downFrom(a.name)
	for i := len(path) - 1; i >= 0; i-- {
		if known := v.known(path[i]); known != nil {
			z, path = known, path[i+1:]
			break
		}
	}
	for _, d := range path {
		if z.status != Secure {
			break
		}
		if next := v.step(z, d, n); next != nil {
			z = next
		}
	}
	if z.missing {
		v.needChain(z.name, n)
	}
	return z
}

// known returns a zone with a verdict to build upon.
func (v *validation) known(n name) *zone {
	z := v.zones[n]
	if z == nil {
		if z = v.recall(n); z != nil {
			v.zones[n] = z
		}
	}
	if z != nil && z.name == n && (z.status == Secure || z.status == Insecure) {
		return z
	}
	return nil
}

// step judges whether d, on the way from a secure zone to n, is a zone of its
// own. Nil means it is not.
func (v *validation) step(z *zone, d, n name) *zone {
	if len(v.recs.answers[question{d, dns.TypeDS}]) > 0 {
		return v.zone(d)
	}
	if v.aliased(z, d) {
		return nil
	}
	outer := v.trail
	v.trail = &trail{}
	kind := v.cutKind(z, d)
	found := v.trail
	v.trail = outer
	next := &zone{name: d, parent: z, win: z.win, proof: found.sets}
	next.win.meet(found.win)
	e := &Error{Zone: z.name.String(), Name: d.String(), Type: dns.TypeDS}
	switch kind {
	case noCut:
		return nil
	case cutUnsigned:
		e.Rule, e.Err = "RFC 6840 section 4.4", ErrUnsigned
		next.status, next.err = Insecure, e
	case cutOptOut:
		e.Rule, e.Err = "RFC 5155 section 8.9", ErrOptOut
		next.status, next.err = Insecure, e
	case cutExcessive:
		e.Code, e.Rule, e.Err = CodeUnsupportedIterations, "RFC 9276 section 3.2", ErrIterations
		next.status, next.err = Insecure, e
	default:
		e.Code, e.Rule, e.Err = CodeNSECMissing, "RFC 4035 section 5.2", fmt.Errorf("%w: neither DS records nor a proof of their absence", ErrNoProof)
		next.status, next.missing, next.err = v.absent(question{d, dns.TypeDS}, e)
		if next.missing {
			v.needChain(z.name, n)
		}
		return next
	}
	v.zones[d] = next
	return next
}

// aliased reports whether a name is an alias in a zone, or below a DNAME, and
// so no delegation.
func (v *validation) aliased(z *zone, d name) bool {
	for _, rs := range v.recs.answers[question{d, dns.TypeCNAME}] {
		if _, err := v.peek(rs, z); err == nil {
			return true
		}
	}
	for up := d; up.below(z.name); {
		up = up.parent()
		for _, rs := range v.recs.answers[question{up, dns.TypeDNAME}] {
			if s, err := v.peek(rs, z); err == nil {
				if _, expanded := s.closestEncloser(up); !expanded {
					return true
				}
			}
		}
	}
	return false
}

// peek verifies a set if it claims to be signed by the zone at all.
func (v *validation) peek(rs *rrset, z *zone) (*signature, error) {
	for _, s := range rs.sigs {
		if s.signer == z.name {
			return v.verify(rs, z)
		}
	}
	return nil, ErrNoSignature
}

// cutKind asks the denial records whether a name is a delegation.
func (v *validation) cutKind(z *zone, d name) cutKind {
	if kind := v.cutNSEC(z, d); kind != cutUnknown {
		return kind
	}
	list, excessive := v.nsec3Params(z)
	for _, p := range list {
		if kind := v.cutNSEC3(z, d, p); kind != cutUnknown {
			return kind
		}
	}
	if excessive != nil && v.proves(excessive.set, z) {
		return cutExcessive
	}
	return cutUnknown
}
