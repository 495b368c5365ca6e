package dnssec

import (
	"bytes"
	"errors"
	"slices"

	"github.com/miekg/dns"
)

// rrset is one version of the records of one owner and type, all of class IN
// and from one section of one message, with the signatures found beside them.
type rrset struct {
	owner name
	typ   uint16
	rrs   []dns.RR
	sigs  []*signature

	canon    [][]byte // canonical rdata, sorted, without duplicates
	canonErr error
	checks   []check // what was found out about signatures by a zone's keys
}

// signature is an RRSIG with its fields read.
type signature struct {
	*dns.RRSIG
	signer name
}

// check is the outcome of verifying a set with the keys of a zone.
type check struct {
	zone *zone
	sig  *signature
	err  error
}

// closestEncloser returns the name below which the wildcard stands that the
// signature was made for, if the set was expanded from one.
func (s *signature) closestEncloser(owner name) (name, bool) {
	if int(s.Labels) >= significantLabels(owner) {
		return "", false
	}
	return owner.suffix(int(s.Labels)), true
}

// significantLabels is the count that belongs into the labels field of an
// RRSIG: without the root and without a leading asterisk (RFC 4034 section 3.1.3).
func significantLabels(n name) int {
	if n.isWildcard() {
		return n.labels() - 1
	}
	return n.labels()
}

// ttl returns the lowest TTL of the set.
func (rs *rrset) ttl() uint32 {
	ttl := rs.rrs[0].Header().Ttl
	for _, rr := range rs.rrs[1:] {
		ttl = min(ttl, rr.Header().Ttl)
	}
	return ttl
}

// canonical prepares the rdata for the signed data (RFC 4034 section 6.3).
func (rs *rrset) canonical() ([][]byte, error) {
	if rs.canon != nil || rs.canonErr != nil {
		return rs.canon, rs.canonErr
	}
	list := make([][]byte, 0, len(rs.rrs))
	for _, rr := range rs.rrs {
		data, err := canonicalRdata(rr)
		if err != nil {
			rs.canonErr = err
			return nil, err
		}
		list = append(list, data)
	}
	slices.SortFunc(list, bytes.Compare)
	rs.canon = slices.CompactFunc(list, bytes.Equal)
	return rs.canon, nil
}

// unique returns the records without duplicates, which are no part of a set
// (RFC 2181 section 5).
func (rs *rrset) unique() []dns.RR {
	canon, err := rs.canonical()
	if err != nil || len(canon) == len(rs.rrs) {
		return rs.rrs
	}
	seen := make(map[string]bool, len(canon))
	return slices.DeleteFunc(slices.Clone(rs.rrs), func(rr dns.RR) bool {
		data, err := canonicalRdata(rr)
		double := err != nil || seen[string(data)]
		seen[string(data)] = true
		return double
	})
}

var errRdata = errors.New("record cannot be packed")

// canonicalRdata packs the data of a record and lowers the names in it.
func canonicalRdata(rr dns.RR) ([]byte, error) {
	buf, err := packRR(rr)
	if err != nil {
		return nil, err
	}
	at := 0
	for at < len(buf) && buf[at] != 0 {
		at += 1 + int(buf[at])
	}
	if at += 11; at > len(buf) {
		return nil, errRdata
	}
	data := buf[at:]
	lowerNames(rr.Header().Rrtype, data)
	return data, nil
}

// packRR returns a record in wire form, uncompressed. It packs a copy: PackRR writes
// the length of the data into the record, which others may be looking at.
func packRR(rr dns.RR) ([]byte, error) {
	buf := make([]byte, dns.Len(rr)+16)
	n, err := dns.PackRR(dns.Copy(rr), buf, 0, nil, false)
	if err != nil {
		return nil, errors.Join(errRdata, err)
	}
	return buf[:n], nil
}

// lowerNames lowers the domain names inside the types that RFC 4034 section
// 6.2 lists, as RFC 6840 section 5.1 corrects it (NSEC is not among them).
func lowerNames(t uint16, data []byte) {
	switch t {
	case dns.TypeNS, dns.TypeMD, dns.TypeMF, dns.TypeCNAME, dns.TypeMB, dns.TypeMG,
		dns.TypeMR, dns.TypePTR, dns.TypeDNAME, dns.TypeNXT:
		lowerName(data, 0)
	case dns.TypeMX, dns.TypeAFSDB, dns.TypeRT, dns.TypeKX:
		lowerName(data, 2)
	case dns.TypeSOA, dns.TypeMINFO, dns.TypeRP:
		lowerName(data, lowerName(data, 0))
	case dns.TypePX:
		lowerName(data, lowerName(data, 2))
	case dns.TypeSRV:
		lowerName(data, 6)
	case dns.TypeSIG, dns.TypeRRSIG:
		lowerName(data, 18)
	case dns.TypeNAPTR:
		at := 4
		for range 3 { // flags, services, regexp
			if at < len(data) {
				at += 1 + int(data[at])
			}
		}
		lowerName(data, at)
	}
}

// lowerName lowers the name at an offset and returns the offset after it.
func lowerName(data []byte, at int) int {
	for at < len(data) && data[at] != 0 {
		end := min(at+1+int(data[at]), len(data))
		for i := at + 1; i < end; i++ {
			data[i] = lower(data[i])
		}
		at = end
	}
	return at + 1
}

// signedData is what a signature is over (RFC 4034 section 3.1.8.1).
func (rs *rrset) signedData(s *signature) ([]byte, error) {
	canon, err := rs.canonical()
	if err != nil {
		return nil, err
	}
	owner := rs.owner
	if ce, expanded := s.closestEncloser(rs.owner); expanded {
		if owner = ce.wildcard(); owner == "" {
			return nil, errRdata
		}
	}
	size := 18 + len(s.signer)
	for _, data := range canon {
		size += len(owner) + 10 + len(data)
	}
	buf := make([]byte, 0, size)
	buf = append16(buf, s.TypeCovered)
	buf = append(buf, s.Algorithm, s.Labels)
	buf = append32(buf, s.OrigTtl)
	buf = append32(buf, s.Expiration)
	buf = append32(buf, s.Inception)
	buf = append16(buf, s.KeyTag)
	buf = append(buf, s.signer...)
	for _, data := range canon {
		buf = append(buf, owner...)
		buf = append16(buf, rs.typ)
		buf = append16(buf, dns.ClassINET)
		buf = append32(buf, s.OrigTtl)
		buf = append16(buf, uint16(len(data)))
		buf = append(buf, data...)
	}
	return buf, nil
}

func append16(b []byte, v uint16) []byte { return append(b, byte(v>>8), byte(v)) }

func append32(b []byte, v uint32) []byte {
	return append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
