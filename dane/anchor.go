package dane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// anchors are the trust anchors that usage 2 records name in one verification.
type anchors struct {
	pool   *x509.CertPool
	byRaw  map[string]anchor // by Certificate.Raw
	length int
}

type anchor struct {
	rr   *dns.TLSA
	bare bool // a key without a certificate
}

func (a *anchors) add(c *x509.Certificate, rr *dns.TLSA, bare bool) {
	if _, ok := a.byRaw[string(c.Raw)]; ok {
		return
	}
	a.byRaw[string(c.Raw)] = anchor{rr, bare}
	a.pool.AddCert(c)
	a.length++
}

// daneTA is RFC 7671 section 5.2: a path from the leaf to an anchor that the
// domain vouches for, with the leaf's name and everybody's dates checked. The
// anchor is above the leaf, never the leaf itself.
func (v *verification) daneTA(recs []tlsaRecord) (*Match, error) {
	a := &anchors{pool: x509.NewCertPool(), byRaw: map[string]anchor{}}
	for i, c := range v.chain {
		if i == 0 || sameCert(c, v.leaf()) {
			continue
		}
		if rr := v.matching(recs, i, v.taUsages()...); rr != nil {
			a.add(c, rr, false)
		}
	}
	for _, r := range recs {
		if r.MatchingType == MatchingFull && slices.Contains(v.taUsages(), r.usage) {
			v.addFromDNS(a, r)
		}
	}
	if a.length == 0 {
		return nil, nil
	}
	paths, err := v.paths(a.pool)
	if err != nil {
		return nil, err
	}
	path := paths[0]
	depth := len(path) - 1
	m := &Match{Depth: depth, Certificate: path[depth], Chain: path}
	top := a.byRaw[string(path[depth].Raw)]
	m.Record = top.rr
	if top.bare {
		m.Certificate, m.Chain = nil, path[:depth]
	}
	return m, nil
}

func (v *verification) taUsages() []uint8 {
	if v.opts.MapPKIX {
		return []uint8{UsageDANETA, UsagePKIXTA}
	}
	return []uint8{UsageDANETA}
}

// addFromDNS adds the anchor that a 2 0 0 or 2 1 0 record itself contains. One
// that is also among the presented certificates was dealt with there.
func (v *verification) addFromDNS(a *anchors, r tlsaRecord) {
	for i := range v.candidates {
		if v.candidates[i].matches(r) {
			return
		}
	}
	if r.Selector == SelectorCert {
		if c, err := x509.ParseCertificate(r.data); err == nil {
			a.add(c, r.TLSA, false)
		}
		return
	}
	key, err := x509.ParsePKIXPublicKey(r.data)
	if err != nil {
		return
	}
	for i, c := range v.chain {
		seen := func(d *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, d.RawIssuer) }
		if !slices.ContainsFunc(v.chain[:i], seen) {
			if ca := bareAnchor(key, r.data, c); ca != nil {
				a.add(ca, r.TLSA, true)
			}
		}
	}
}

// bareAnchor dresses a key up as the CA certificate that issued child, because
// package x509 builds paths from certificates only. The result is used inside
// one verification and never shown. It has no dates of its own: a key in the
// DNS is good for as long as its record stands.
func bareAnchor(key any, spki []byte, child *x509.Certificate) *x509.Certificate {
	c := &x509.Certificate{
		Version: 3, BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1,
		RawSubject: child.RawIssuer, RawIssuer: child.RawIssuer, Subject: child.Issuer, Issuer: child.Issuer,
		RawSubjectPublicKeyInfo: spki, PublicKey: key,
		NotBefore: time.Unix(0, 0).UTC(), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	switch key.(type) {
	case *rsa.PublicKey:
		c.PublicKeyAlgorithm = x509.RSA
	case *ecdsa.PublicKey:
		c.PublicKeyAlgorithm = x509.ECDSA
	case ed25519.PublicKey:
		c.PublicKeyAlgorithm = x509.Ed25519
	default:
		return nil
	}
	// Only a key for the pool: no real certificate starts like this.
	c.Raw = binary.BigEndian.AppendUint32([]byte("bare key"), uint32(len(spki)))
	c.Raw = append(append(c.Raw, spki...), child.RawIssuer...)
	return c
}
