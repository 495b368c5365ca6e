package dnssec

import (
	"bytes"
	"crypto/sha1" // the only hash NSEC3 has (RFC 5155 section 11)
	"encoding/base32"
	"encoding/hex"
	"strings"

	"github.com/miekg/dns"
)

// nsec3Params are what must be equal in all records of a proof.
type nsec3Params struct {
	salt       string // octets
	iterations uint16
}

// nsec3Record is an NSEC3 record with its hashes decoded.
type nsec3Record struct {
	set    *rrset
	zone   name // the owner without its hash label
	owner  []byte
	next   []byte
	params nsec3Params
	optOut bool
	types  types
}

// readNSEC3 returns nil for what is not one well-formed NSEC3 record of a kind
// known; such records are to be ignored (RFC 5155 sections 8.1 and 8.2).
func readNSEC3(rs *rrset) *nsec3Record {
	if len(rs.rrs) != 1 || rs.owner == root {
		return nil
	}
	rr, ok := rs.rrs[0].(*dns.NSEC3)
	if !ok || rr.Hash != dns.SHA1 || rr.Flags > 1 {
		return nil
	}
	owner, next := decodeHash(rs.owner.label()), decodeHash(rr.NextDomain)
	salt := ""
	if rr.Salt != "" && rr.Salt != "-" {
		b, err := hex.DecodeString(rr.Salt)
		if err != nil {
			return nil
		}
		salt = string(b)
	}
	if owner == nil || next == nil || len(salt) > 255 {
		return nil
	}
	return &nsec3Record{
		set: rs, zone: rs.owner.parent(), owner: owner, next: next,
		params: nsec3Params{salt, rr.Iterations}, optOut: rr.Flags&1 != 0, types: rr.TypeBitMap,
	}
}

func decodeHash(s string) []byte {
	b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(s))
	if err != nil || len(b) != sha1.Size {
		return nil
	}
	return b
}

// covers reports whether a hash falls between the owner and the next one.
func (r *nsec3Record) covers(h []byte) bool {
	switch order := bytes.Compare(r.owner, r.next); {
	case order < 0:
		return bytes.Compare(r.owner, h) < 0 && bytes.Compare(h, r.next) < 0
	case order > 0: // the last record of the zone
		return bytes.Compare(r.owner, h) < 0 || bytes.Compare(h, r.next) < 0
	}
	return !bytes.Equal(r.owner, h)
}

type hashKey struct {
	name   name
	params nsec3Params
}

// hash is RFC 5155 section 5, remembered and counted.
func (v *validation) hash(n name, p nsec3Params) []byte {
	key := hashKey{n, p}
	if h, ok := v.hashes[key]; ok {
		return h
	}
	if v.hashCount >= v.recs.limits.Hashes {
		v.exhaust("NSEC3 hashes", v.recs.limits.Hashes)
		return nil
	}
	v.hashCount++
	buf := append([]byte(n), p.salt...)
	sum := sha1.Sum(buf)
	for range p.iterations {
		buf = append(append(buf[:0], sum[:]...), p.salt...)
		sum = sha1.Sum(buf)
	}
	if v.hashes == nil {
		v.hashes = map[hashKey][]byte{}
	}
	v.hashes[key] = sum[:]
	return sum[:]
}

// params lists the parameter sets in use in a zone, with few iterations; and
// a record with too many, if there are only such.
func (v *validation) nsec3Params(z *zone) (list []nsec3Params, excessive *nsec3Record) {
	for _, r := range v.recs.nsec3 {
		if r.zone != z.name {
			continue
		}
		if int(r.params.iterations) > v.recs.limits.Iterations {
			excessive = r
			continue
		}
		known := false
		for _, p := range list {
			known = known || p == r.params
		}
		if !known && len(list) < 4 {
			list = append(list, r.params)
		}
	}
	return list, excessive
}

func (v *validation) matchNSEC3(z *zone, n name, p nsec3Params) *nsec3Record {
	h := v.hash(n, p)
	for _, r := range v.recs.nsec3 {
		if h != nil && r.zone == z.name && r.params == p && bytes.Equal(r.owner, h) && v.proves(r.set, z) {
			return r
		}
	}
	return nil
}

func (v *validation) coverNSEC3(z *zone, n name, p nsec3Params) *nsec3Record {
	h := v.hash(n, p)
	for _, r := range v.recs.nsec3 {
		if h != nil && r.zone == z.name && r.params == p && r.covers(h) && v.proves(r.set, z) {
			return r
		}
	}
	return nil
}

// encloserNSEC3 is the closest encloser proof (RFC 5155 section 8.3): the
// deepest ancestor that exists, and a record that covers the next closer name.
func (v *validation) encloserNSEC3(z *zone, n name, p nsec3Params) (name, *nsec3Record) {
	for ce := n; ce != z.name; {
		next := ce
		ce = ce.parent()
		r := v.matchNSEC3(z, ce, p)
		if r == nil {
			continue
		}
		if r.types.deniesNothingBelow() {
			return "", nil
		}
		return ce, v.coverNSEC3(z, next, p)
	}
	return "", nil
}

// denyNSEC3 looks for a proof that a name has no records of a type (RFC 5155
// sections 8.4 to 8.7).
func (v *validation) denyNSEC3(z *zone, n name, t uint16, p nsec3Params) (denial, bool) {
	if r := v.matchNSEC3(z, n, p); r != nil {
		rcode := dns.RcodeSuccess
		if r.types.has(typeNXNAME) {
			rcode = dns.RcodeNameError
		}
		return denial{rcode: rcode}, r.types.lacks(n, t)
	}
	ce, next := v.encloserNSEC3(z, n, p)
	if next == nil {
		return denial{}, false
	}
	if t == dns.TypeDS && next.optOut { // RFC 5155 section 8.6
		return denial{rcode: dns.RcodeSuccess, optOut: true}, true
	}
	wild := ce.wildcard()
	if wild == "" {
		return denial{}, false
	}
	if w := v.matchNSEC3(z, wild, p); w != nil {
		return denial{rcode: dns.RcodeSuccess, optOut: next.optOut}, w.types.lacks(wild, t)
	}
	w := v.coverNSEC3(z, wild, p)
	if w == nil {
		return denial{}, false
	}
	return denial{rcode: dns.RcodeNameError, optOut: next.optOut}, true
}

// expansionNSEC3 is RFC 5155 section 8.8.
func (v *validation) expansionNSEC3(z *zone, n, encloser name, p nsec3Params) (optOut, ok bool) {
	r := v.coverNSEC3(z, nextCloser(n, encloser), p)
	return r != nil && r.optOut, r != nil
}

// cutNSEC3 judges whether a name is a delegation (RFC 5155 section 8.9).
func (v *validation) cutNSEC3(z *zone, n name, p nsec3Params) cutKind {
	if r := v.matchNSEC3(z, n, p); r != nil {
		return cutByTypes(r.types)
	}
	_, next := v.encloserNSEC3(z, n, p)
	switch {
	case next == nil:
		return cutUnknown
	case next.optOut:
		return cutOptOut
	}
	return noCut
}
