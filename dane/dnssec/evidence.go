package dnssec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Evidence is a bundle of the records that prove one answer, from the root's
// keys down, for those who cannot ask for them: the authentication chain of RFC
// 9102 section 3. Anybody may carry it; it is judged by [Evidence.Validate].
type Evidence struct {
	// Records are the answer's RRset first, then the others in any order, each
	// with its signatures.
	Records []dns.RR
	// Support is how many hours the maker intends to go on offering evidence
	// (ExtSupportLifetime of RFC 9102 section 3.4); 0 makes no promise.
	Support uint16
}

// ErrEvidence is wrapped by errors about evidence that cannot be made or read.
var ErrEvidence = errors.New("unusable evidence")

const maxEvidence = 1<<16 - 1 // RFC 9102 section 2.1

// Evidence bundles what proved a result; only a Secure result has a proof. The
// bundle is good until Result.ValidUntil.
func (r *Result) Evidence() (*Evidence, error) {
	if r.Status != Secure || len(r.proof) == 0 {
		return nil, fmt.Errorf("dnssec: %w: the result is %s; only a secure one can be proved", ErrEvidence, r.Status)
	}
	sets := slices.Clone(r.proof)
	rank := func(rs *rrset) int {
		if len(r.RRs) > 0 && rs.owner.String() == r.Name && rs.typ == r.RRs[len(r.RRs)-1].Header().Rrtype {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(sets, func(a, b *rrset) int { return rank(a) - rank(b) })
	e := &Evidence{}
	for _, rs := range sets {
		e.Records = append(e.Records, rs.unique()...)
		for _, s := range rs.sigs[:min(len(rs.sigs), defaultSignatures)] {
			e.Records = append(e.Records, s.RRSIG)
		}
	}
	return e, nil
}

// MarshalBinary returns the wire form: the lifetime, then the records
// uncompressed (RFC 9102 section 2.1). At most 65,535 octets of records fit.
func (e *Evidence) MarshalBinary() ([]byte, error) {
	out := append16(nil, e.Support)
	for _, rr := range e.Records {
		if rr == nil {
			return nil, fmt.Errorf("dnssec: %w: empty record", ErrEvidence)
		}
		packed, err := packRR(rr)
		if err != nil {
			return nil, fmt.Errorf("dnssec: %w: %s %s: %w", ErrEvidence, rr.Header().Name, typeText(rr.Header().Rrtype), err)
		}
		out = append(out, packed...)
	}
	if len(out)-2 > maxEvidence {
		return nil, fmt.Errorf("dnssec: %w: %d octets; at most %d fit", ErrEvidence, len(out)-2, maxEvidence)
	}
	return out, nil
}

// ParseEvidence reads the wire form. What it returns is unproved until it is
// validated. Compressed names, trailing octets and more than 65,535 octets of
// records are errors.
func ParseEvidence(wire []byte) (*Evidence, error) {
	if len(wire) < 2 || len(wire)-2 > maxEvidence {
		return nil, fmt.Errorf("dnssec: %w: %d octets", ErrEvidence, len(wire))
	}
	e := &Evidence{Support: binary.BigEndian.Uint16(wire)}
	rest := wire[2:]
	for at := 0; at < len(rest); {
		rr, next, err := dns.UnpackRR(rest, at)
		if err != nil || rr == nil || next <= at {
			return nil, fmt.Errorf("dnssec: %w: record at octet %d is malformed", ErrEvidence, at+2)
		}
		if packed, err := packRR(rr); err != nil || len(packed) != next-at {
			return nil, fmt.Errorf("dnssec: %w: record at octet %d is compressed or not in plain form (RFC 9102 section 2.1)", ErrEvidence, at+2)
		}
		e.Records = append(e.Records, rr)
		at = next
	}
	if len(e.Records) == 0 {
		return nil, fmt.Errorf("dnssec: %w: no records", ErrEvidence)
	}
	return e, nil
}

// UnmarshalBinary is ParseEvidence in the form that encoding packages want.
func (e *Evidence) UnmarshalBinary(wire []byte) error {
	parsed, err := ParseEvidence(wire)
	if err == nil {
		*e = *parsed
	}
	return err
}

// Validate judges a question by the evidence, as [Validate] does by messages:
// no network, no clock. Evidence that proves another question, or is past
// Result.ValidUntil, is never Secure.
func (e *Evidence) Validate(q dns.Question, anchors *Anchors, now time.Time) *Result {
	recs := newRecords(Limits{}.filled())
	recs.addFlat(e.Records)
	return judge(q, anchors, now, recs)
}
