package dnssec

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Anchors is a set of trust anchors: for some zones the digests of their keys,
// for others the word that they are not to be validated. The anchor of the
// longest matching zone decides. Anchors do not change once made and are safe
// for concurrent use. A set without any anchor leaves every name Indeterminate.
type Anchors struct {
	zones map[name]*anchor
}

// anchor is what is known in advance about one zone.
type anchor struct {
	name     name
	negative bool
	until    time.Time // of a negative anchor; zero: for good
	keys     []anchorKey
}

// anchorKey is a digest with the time in which it may be used.
type anchorKey struct {
	ds          *dns.DS
	from, until time.Time // zero: open
}

// ErrAnchors is wrapped by errors about anchors that cannot be read.
var ErrAnchors = errors.New("unusable trust anchors")

const maxAnchorText = 1 << 20

// IANAAnchors returns the anchors of the root of the DNS as IANA publishes
// them: the keys with tags 20326 (2017) and 38696 (2024).
func IANAAnchors() *Anchors {
	a, err := NewAnchors(
		rootDS(20326, "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"),
		rootDS(38696, "683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"))
	if err != nil {
		return &Anchors{}
	}
	return a
}

func rootDS(tag uint16, digest string) *dns.DS {
	return &dns.DS{
		Hdr:    dns.RR_Header{Name: ".", Rrtype: dns.TypeDS, Class: dns.ClassINET},
		KeyTag: tag, Algorithm: dns.RSASHA256, DigestType: dns.SHA256, Digest: digest,
	}
}

// NewAnchors makes anchors of DS and DNSKEY records; a DNSKEY must be a zone
// key that is not revoked. It fails if a record is malformed or of another
// type, or if no zone is left with a digest of type 2 or 4 (SHA-256, SHA-384).
func NewAnchors(rrs ...dns.RR) (*Anchors, error) {
	b := anchorBuilder{}
	for _, rr := range rrs {
		if err := b.add(rr, time.Time{}, time.Time{}); err != nil {
			return nil, err
		}
	}
	return b.done()
}

// NegativeAnchor switches validation off at and below a name until some time
// (RFC 7646); zero means for good, which the RFC advises against. A positive
// anchor further down still counts.
func NegativeAnchor(zone string, until time.Time) (*Anchors, error) {
	n, ok := parseName(zone)
	if !ok {
		return nil, fmt.Errorf("dnssec: %w: %q is not a name", ErrAnchors, zone)
	}
	return &Anchors{map[name]*anchor{n: {name: n, negative: true, until: until}}}, nil
}

// With returns the anchors of both sets. For a zone that is in both, those of
// other replace these.
func (a *Anchors) With(other *Anchors) *Anchors {
	all := map[name]*anchor{}
	for _, s := range []*Anchors{a, other} {
		if s == nil {
			continue
		}
		for n, x := range s.zones {
			all[n] = x
		}
	}
	return &Anchors{all}
}

// ParseAnchors reads trust anchors, at most 1 MiB, in any of these forms: DS
// and DNSKEY records as zone-file text (also unbound's root.key), BIND's
// trust-anchors clause, or the XML that IANA publishes (RFC 9718). Windows of
// validity in XML are kept and applied when an answer is judged. Digests of
// types other than 2 and 4 are skipped. It fails if nothing usable is left.
func ParseAnchors(r io.Reader) (*Anchors, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxAnchorText+1))
	if err != nil {
		return nil, fmt.Errorf("dnssec: reading trust anchors: %w", err)
	}
	if len(data) > maxAnchorText {
		return nil, fmt.Errorf("dnssec: %w: more than %d octets", ErrAnchors, maxAnchorText)
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(data), "\uFEFF"))
	b := anchorBuilder{}
	switch {
	case strings.HasPrefix(text, "<"):
		err = b.xml(text)
	case isBIND(text):
		err = b.bind(text)
	default:
		err = b.zoneText(text)
	}
	if err != nil {
		return nil, err
	}
	return b.done()
}

// String returns the anchors as DS records, a line each.
func (a *Anchors) String() string {
	var lines []string
	for n, x := range a.zones {
		if x.negative {
			lines = append(lines, "; "+n.String()+" is not validated")
		}
		for _, k := range x.keys {
			lines = append(lines, fmt.Sprintf("%s IN DS %d %d %d %s", n, k.ds.KeyTag, k.ds.Algorithm, k.ds.DigestType, strings.ToUpper(k.ds.Digest)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// over finds the anchor of the longest zone at or above a name.
func (a *Anchors) over(n name, now time.Time) *anchor {
	if a == nil {
		return nil
	}
	for {
		if x := a.zones[n]; x != nil && (!x.negative || x.until.IsZero() || now.Before(x.until)) {
			return x
		}
		if n == root {
			return nil
		}
		n = n.parent()
	}
}

// valid lists the digests that may be used at a time (RFC 9718 section 2.2).
func (a *anchor) valid(now time.Time) []*dns.DS {
	var list []*dns.DS
	for _, k := range a.keys {
		if (k.from.IsZero() || !now.Before(k.from)) && (k.until.IsZero() || !now.After(k.until)) {
			list = append(list, k.ds)
		}
	}
	return list
}

// anchorBuilder collects anchors.
type anchorBuilder struct {
	zones map[name]*anchor
}

func (b *anchorBuilder) add(rr dns.RR, from, until time.Time) error {
	var ds *dns.DS
	switch rr := rr.(type) {
	case *dns.DS:
		ds = rr
	case *dns.DNSKEY:
		k, ok := readKey(rr)
		if !ok {
			return fmt.Errorf("dnssec: %w: the DNSKEY of %s is malformed, revoked or no zone key", ErrAnchors, rr.Hdr.Name)
		}
		n, _ := parseName(rr.Hdr.Name)
		ds = &dns.DS{Hdr: rr.Hdr, KeyTag: k.tag, Algorithm: k.alg, DigestType: dns.SHA256, Digest: hex.EncodeToString(k.digest(n, dns.SHA256))}
		ds.Hdr.Rrtype = dns.TypeDS
	case nil:
		return fmt.Errorf("dnssec: %w: empty record", ErrAnchors)
	default:
		return fmt.Errorf("dnssec: %w: %s record of %s; want DS or DNSKEY", ErrAnchors, typeText(rr.Header().Rrtype), rr.Header().Name)
	}
	n, ok := parseName(ds.Hdr.Name)
	if !ok {
		return fmt.Errorf("dnssec: %w: %q is not a name", ErrAnchors, ds.Hdr.Name)
	}
	digest, err := hex.DecodeString(ds.Digest)
	size := map[uint8]int{dns.SHA256: 32, dns.SHA384: 48}[ds.DigestType]
	if err != nil || size != 0 && len(digest) != size {
		return fmt.Errorf("dnssec: %w: digest of the DS %d of %s is malformed", ErrAnchors, ds.KeyTag, n)
	}
	if size == 0 {
		return nil // not known: some other anchor may do
	}
	if b.zones == nil {
		b.zones = map[name]*anchor{}
	}
	if b.zones[n] == nil {
		b.zones[n] = &anchor{name: n}
	}
	b.zones[n].keys = append(b.zones[n].keys, anchorKey{ds, from, until})
	return nil
}

func (b *anchorBuilder) done() (*Anchors, error) {
	if len(b.zones) == 0 {
		return nil, fmt.Errorf("dnssec: %w: none found", ErrAnchors)
	}
	return &Anchors{b.zones}, nil
}

func (b *anchorBuilder) zoneText(text string) error {
	p := dns.NewZoneParser(strings.NewReader(text), ".", "")
	p.SetDefaultTTL(0)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if err := b.add(rr, time.Time{}, time.Time{}); err != nil {
			return err
		}
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("dnssec: %w: %w", ErrAnchors, err)
	}
	return nil
}
