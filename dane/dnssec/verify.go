package dnssec

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// validation is the state of one judgement: records that came, what they proved
// so far, and what it cost. It touches neither network nor clock.
type validation struct {
	anchors *Anchors
	now     time.Time
	recs    *records
	sha1    bool // accept algorithms 5 and 7, and DS digest type 1

	online  bool               // what is missing will be asked for
	cached  func(name) *zone   // zones validated in earlier look-ups; may be nil
	unknown map[name]bool      // zones that were not cached when this run first asked
	stale   map[name]bool      // cached zones that turned out to be of no use
	retry   bool               // a zone became stale in this run: no failure is final
	failed  map[question]error // questions that got no reply

	zones map[name]*zone
	needs []question // what to ask for to get on
	trail *trail     // what the verdict rests on

	verifications, failures, hashCount int
	limitErr                           error
	hashes                             map[hashKey][]byte
}

// window is a time span in which something holds.
type window struct {
	from, until time.Time // of signatures; zero if there are none
	expires     time.Time // of TTLs, never after until
}

// meet narrows a window by another.
func (w *window) meet(o window) {
	if w.from.Before(o.from) {
		w.from = o.from
	}
	w.until = earlier(w.until, o.until)
	w.expires = earlier(w.expires, o.expires)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// trail collects the sets that a verdict rests on.
type trail struct {
	sets []*rrset
	win  window
}

func (t *trail) add(w window, sets ...*rrset) {
	t.win.meet(w)
	for _, rs := range sets {
		if !slices.Contains(t.sets, rs) {
			t.sets = append(t.sets, rs)
		}
	}
}

// exhaust notes that a limit stopped the validation.
func (v *validation) exhaust(what string, limit int) error {
	if v.limitErr == nil {
		v.limitErr = &Error{Code: CodeBogus, Err: fmt.Errorf("%w: %s, at most %d", ErrLimit, what, limit)}
	}
	return v.limitErr
}

// supported lists the algorithms validated (RFC 9904; 5 and 7: RFC 9905).
func (v *validation) supported(alg uint8) bool {
	switch alg {
	case dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return true
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1:
		return v.sha1
	}
	return false
}

// fail builds the reason for a set.
func fail(z *zone, rs *rrset, code uint16, rule string, err error) *Error {
	e := &Error{Code: code, Name: rs.owner.String(), Type: rs.typ, Rule: rule, Err: err}
	if z != nil {
		e.Zone = z.name.String()
	}
	return e
}

// verify looks for a signature over the set by a key of the zone and remembers
// the outcome (RFC 4035 section 5.3).
func (v *validation) verify(rs *rrset, z *zone) (*signature, error) {
	for _, c := range rs.checks {
		if c.zone == z {
			return c.sig, c.err
		}
	}
	sig, err := v.verifyKeys(rs, z, z.keys)
	if err != nil && z.cached && (errors.Is(err, ErrNoKey) || errors.Is(err, ErrSignature)) {
		v.retire(z)
	}
	rs.checks = append(rs.checks, check{z, sig, err})
	return sig, err
}

// retire forgets keys from an earlier look-up: the zone may have new ones.
func (v *validation) retire(z *zone) {
	if v.stale == nil {
		v.stale = map[name]bool{}
	}
	v.stale[z.name] = true
	delete(v.zones, z.name)
	v.retry = true
	v.need(question{z.name, dns.TypeDNSKEY})
	if !z.anchor {
		v.need(question{z.name, dns.TypeDS})
	}
}

func (v *validation) verifyKeys(rs *rrset, z *zone, keys []*key) (*signature, error) {
	best := error(fail(z, rs, CodeRRSIGsMissing, "RFC 4035 section 5.3.1", ErrNoSignature))
	tried := 0
	for _, s := range rs.sigs {
		if s.signer != z.name {
			continue
		}
		if tried++; tried > v.recs.limits.Signatures {
			return nil, v.exhaust("signatures over "+rs.owner.String()+" "+typeText(rs.typ), v.recs.limits.Signatures)
		}
		err := v.checkFields(rs, s, z)
		if err == nil {
			err = v.checkSignature(rs, s, z, keys)
		}
		if err == nil {
			return s, nil
		}
		if errors.Is(err, ErrLimit) {
			return nil, err
		}
		if errors.Is(best, ErrNoSignature) || errors.Is(err, ErrSignature) {
			best = err
		}
	}
	return nil, best
}

// checkFields is the part of RFC 4035 section 5.3.1 that needs no key.
func (v *validation) checkFields(rs *rrset, s *signature, z *zone) error {
	labels := int(s.Labels)
	now := uint32(v.now.Unix())
	switch {
	case labels > significantLabels(rs.owner) || labels < s.signer.labels():
		return fail(z, rs, CodeBogus, "RFC 4035 section 5.3.1", fmt.Errorf("%w: labels field %d", ErrSignature, labels))
	case !v.supported(s.Algorithm):
		return fail(z, rs, CodeUnsupportedAlgorithm, "RFC 4035 section 5.2", fmt.Errorf("%w: %d", ErrAlgorithm, s.Algorithm))
	case int32(s.Expiration-now) < 0:
		return fail(z, rs, CodeSignatureExpired, "RFC 4035 section 5.3.1", fmt.Errorf("%w at %s", ErrExpired, text(v.instant(s.Expiration))))
	case int32(now-s.Inception) < 0:
		return fail(z, rs, CodeSignatureNotYetValid, "RFC 4035 section 5.3.1", fmt.Errorf("%w before %s", ErrNotYetValid, text(v.instant(s.Inception))))
	}
	return nil
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// instant places a 32-bit time near now (RFC 4034 section 3.1.5).
func (v *validation) instant(t uint32) time.Time {
	now := v.now.Unix()
	return time.Unix(now+int64(int32(t-uint32(now))), 0)
}

func (v *validation) checkSignature(rs *rrset, s *signature, z *zone, keys []*key) error {
	var fits []*key
	for _, k := range keys {
		if k.tag == s.KeyTag && k.alg == s.Algorithm {
			fits = append(fits, k)
		}
	}
	if len(fits) == 0 {
		return fail(z, rs, CodeDNSKEYMissing, "RFC 4035 section 5.3.1", fmt.Errorf("%w: signed by key %d, algorithm %d", ErrNoKey, s.KeyTag, s.Algorithm))
	}
	if len(fits) > v.recs.limits.KeysPerTag {
		return v.exhaust(fmt.Sprintf("keys with tag %d in zone %s", s.KeyTag, z.name), v.recs.limits.KeysPerTag)
	}
	bad := fail(z, rs, CodeBogus, "RFC 4035 section 5.3.3", fmt.Errorf("%w: key %d, algorithm %d", ErrSignature, s.KeyTag, s.Algorithm))
	sig, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil {
		return bad
	}
	data, err := rs.signedData(s)
	if err != nil {
		return bad
	}
	hash, digest := hashOf(s.Algorithm, data)
	for _, k := range fits {
		if err := v.spend(); err != nil {
			return err
		}
		if k.verify(hash, digest, sig) {
			k.used = true
			return nil
		}
		v.failures++
	}
	return bad
}

// spend pays for one verification.
func (v *validation) spend() error {
	l := v.recs.limits
	switch {
	case v.verifications >= l.Verifications:
		return v.exhaust("signature verifications", l.Verifications)
	case v.failures >= l.Failures:
		return v.exhaust("failed signature verifications", l.Failures)
	}
	v.verifications++
	return nil
}

// span is the window in which a set with its signature holds (RFC 4035 section 5.3.3).
func (v *validation) span(rs *rrset, s *signature) window {
	ttl := rs.ttl()
	if s == nil {
		return window{expires: v.now.Add(time.Duration(ttl) * time.Second)}
	}
	w := window{from: v.instant(s.Inception), until: v.instant(s.Expiration)}
	w.expires = earlier(w.until, v.now.Add(time.Duration(min(ttl, s.OrigTtl))*time.Second))
	return w
}

// proves verifies a denial record. One that was expanded from a wildcard is a
// forgery (CVE-2017-15105).
func (v *validation) proves(rs *rrset, z *zone) bool {
	s, err := v.verify(rs, z)
	if err != nil {
		return false
	}
	if _, expanded := s.closestEncloser(rs.owner); expanded {
		return false
	}
	v.trail.add(v.span(rs, s), rs)
	return true
}
