package publish

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// maxSet bounds the wire form of one RRset, so that it fits in a message with
// its signatures.
const maxSet = 48 << 10

// rrset is one RRset in the form in which it is both signed and sent: each
// record is its type, class, TTL, RDATA length and canonical RDATA (RFC 4034
// s6.2), in canonical order, without owner names. Its content never changes;
// signatures are added as they are made.
type rrset struct {
	typ  uint16
	ttl  uint32
	wire []byte

	renew sync.Mutex // held while signatures are being made
	sigs  atomic.Pointer[signatures]
}

const bodyHead = 10 // type, class, TTL, RDATA length

// newSet builds an RRset from canonical RDATA in any order. Duplicates are
// dropped.
func newSet(typ uint16, ttl uint32, rdata [][]byte) *rrset {
	slices.SortFunc(rdata, bytes.Compare)
	rdata = slices.CompactFunc(rdata, bytes.Equal)
	size := 0
	for _, r := range rdata {
		size += bodyHead + len(r)
	}
	s := &rrset{typ: typ, ttl: ttl, wire: make([]byte, 0, size)}
	for _, r := range rdata {
		s.wire = appendBody(s.wire, typ, ttl, r)
	}
	return s
}

func appendBody(dst []byte, typ uint16, ttl uint32, rdata []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ)
	dst = binary.BigEndian.AppendUint16(dst, dns.ClassINET)
	dst = binary.BigEndian.AppendUint32(dst, ttl)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(rdata)))
	return append(dst, rdata...)
}

// nextBody splits the first record off a run of them.
func nextBody(wire []byte) (body, rest []byte) {
	n := bodyHead + int(binary.BigEndian.Uint16(wire[8:]))
	return wire[:n], wire[n:]
}

// rdata returns the RDATA of every record.
func (s *rrset) rdata() [][]byte {
	var all [][]byte
	for body, rest := []byte(nil), s.wire; len(rest) > 0; {
		body, rest = nextBody(rest)
		all = append(all, body[bodyHead:])
	}
	return all
}

// count returns the number of records.
func (s *rrset) count() int {
	n := 0
	for rest := s.wire; len(rest) > 0; n++ {
		_, rest = nextBody(rest)
	}
	return n
}

// record is one record of a change set in wire form.
type record struct {
	key   string
	typ   uint16
	ttl   uint32
	rdata []byte
}

// wireRecord converts a record of a change set, and checks all that can be
// checked without the zone's content.
func (z *Zone) wireRecord(rr dns.RR) (record, error) {
	if rr == nil {
		return record{}, &RecordError{Name: "?", Err: fmt.Errorf("%w: it is nil", ErrMalformed)}
	}
	h := rr.Header()
	rec, err := z.convert(rr)
	if err != nil {
		return record{}, &RecordError{Name: h.Name, Type: h.Rrtype, Err: err}
	}
	return rec, nil
}

func (z *Zone) convert(rr dns.RR) (record, error) {
	size := dns.Len(rr) + 64
	if size > maxSet {
		return record{}, fmt.Errorf("%w: %d octets are too many", ErrMalformed, size)
	}
	buf := make([]byte, size)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return record{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	at := nameEnd(buf[:end], 0)
	if at < 0 || end < at+bodyHead {
		return record{}, fmt.Errorf("%w: owner name", ErrMalformed)
	}
	lower(buf[:at])
	cut, ok := below(buf[:at], z.origin)
	if !ok {
		return record{}, fmt.Errorf("%w %s", ErrOutOfZone, z.text)
	}
	rec := record{
		key:   relativeKey(buf[:cut]),
		typ:   binary.BigEndian.Uint16(buf[at:]),
		ttl:   binary.BigEndian.Uint32(buf[at+4:]),
		rdata: buf[at+bodyHead : end],
	}
	if rec.ttl == 0 {
		rec.ttl = z.ttl
	}
	if managed(rec.typ) {
		return record{}, ErrManaged
	}
	if !ordinary(rec.typ) {
		return record{}, fmt.Errorf("%w: type is no data type", ErrMalformed)
	}
	if !canonical(rec.typ, rec.rdata) {
		return record{}, fmt.Errorf("%w: RDATA", ErrMalformed)
	}
	return rec, nil
}

// managed reports whether the zone makes the records of a type itself.
func managed(typ uint16) bool {
	switch typ {
	case dns.TypeSOA, dns.TypeDNSKEY, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		return true
	}
	return false
}

// ordinary reports whether a type may stand in a zone: no OPT, and none of the
// query and meta types (RFC 6895 s3.1).
func ordinary(typ uint16) bool {
	return typ != 0 && typ != dns.TypeOPT && (typ < 128 || typ > 255)
}

// canonical maps the names in RDATA to lower case where RFC 4034 s6.2 and RFC
// 6840 s5.1 ask for it, and reports whether they were well formed.
func canonical(typ uint16, rdata []byte) bool {
	fixed, strs, names := 0, 0, 0
	switch typ {
	case dns.TypeNS, dns.TypeMD, dns.TypeMF, dns.TypeCNAME, dns.TypeMB, dns.TypeMG, dns.TypeMR,
		dns.TypePTR, dns.TypeDNAME:
		names = 1
	case dns.TypeMX, dns.TypeAFSDB, dns.TypeRT, dns.TypeKX:
		fixed, names = 2, 1
	case dns.TypeMINFO, dns.TypeRP:
		names = 2
	case dns.TypePX:
		fixed, names = 2, 2
	case dns.TypeSRV:
		fixed, names = 6, 1
	case dns.TypeNAPTR:
		fixed, strs, names = 4, 3, 1
	default:
		return true
	}
	off := fixed
	for ; strs > 0; strs-- {
		if off >= len(rdata) {
			return false
		}
		off += int(rdata[off]) + 1
	}
	for ; names > 0; names-- {
		end := nameEnd(rdata, off)
		if end < 0 {
			return false
		}
		lower(rdata[off:end])
		off = end
	}
	return off == len(rdata)
}
