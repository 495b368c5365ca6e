package publish

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	// maxUDP is the largest UDP answer, whatever a client offers to take: it
	// passes every common path without fragments (RFC 9715).
	maxUDP = 1232
	// minUDP is what every client takes (RFC 1035 s4.2.1).
	minUDP = 512
	maxTCP = 65535

	flagQR, flagAA, flagTC, flagRD, flagCD = 1 << 15, 1 << 10, 1 << 9, 1 << 8, 1 << 4
	flagDO                                 = 1 << 15 // in the OPT's TTL, lower half
)

// query is a parsed query.
type query struct {
	id     uint16
	flags  uint16
	name   []byte // as sent
	qtype  uint16
	qclass uint16
	end    int // offset behind the question

	edns    bool
	version uint8
	size    int // UDP payload the client takes
	do      bool
}

func (q *query) opcode() int { return int(q.flags>>11) & 0xf }

// parseQuery reads a query. It returns false when no answer is due: too short
// for a header, or itself an answer. Otherwise rcode is what is wrong with it,
// and q holds as much as could be read.
func parseQuery(msg []byte) (q query, rcode int, ok bool) {
	if len(msg) < headerSize {
		return q, 0, false
	}
	q.id = binary.BigEndian.Uint16(msg)
	q.flags = binary.BigEndian.Uint16(msg[2:])
	q.size = minUDP
	if q.flags&flagQR != 0 {
		return q, 0, false
	}
	if q.opcode() != dns.OpcodeQuery {
		return q, dns.RcodeNotImplemented, true
	}
	end := nameEnd(msg, headerSize)
	if binary.BigEndian.Uint16(msg[4:]) != 1 || end < 0 || end+4 > len(msg) {
		return q, dns.RcodeFormatError, true
	}
	q.name = msg[headerSize:end]
	q.qtype = binary.BigEndian.Uint16(msg[end:])
	q.qclass = binary.BigEndian.Uint16(msg[end+2:])
	q.end = end + 4
	return q, q.parseRest(msg), true
}

// parseRest walks the records behind the question for the OPT record.
func (q *query) parseRest(msg []byte) (rcode int) {
	off := q.end
	others := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	all := others + int(binary.BigEndian.Uint16(msg[10:]))
	for i := range all {
		start := off
		if off = skipName(msg, off); off < 0 || off+bodyHead > len(msg) {
			return dns.RcodeFormatError
		}
		head := msg[off:]
		off += bodyHead + int(binary.BigEndian.Uint16(head[8:]))
		if off > len(msg) {
			return dns.RcodeFormatError
		}
		if binary.BigEndian.Uint16(head) != dns.TypeOPT {
			continue
		}
		if q.edns || i < others || msg[start] != 0 {
			return dns.RcodeFormatError // RFC 6891 s6.1.1
		}
		q.edns = true
		q.size = max(minUDP, int(binary.BigEndian.Uint16(head[2:])))
		q.version = head[5]
		q.do = binary.BigEndian.Uint16(head[6:])&flagDO != 0
	}
	if off != len(msg) {
		return dns.RcodeFormatError
	}
	if q.version > 0 {
		return dns.RcodeBadVers
	}
	return dns.RcodeSuccess
}

// skipName returns the offset behind a name that may be compressed, or -1.
func skipName(msg []byte, off int) int {
	for start := off; off < len(msg) && off-start < maxName; {
		n := int(msg[off])
		switch {
		case n == 0:
			return off + 1
		case n >= 0xc0:
			return off + 2
		case n > 63:
			return -1
		}
		off += n + 1
	}
	return -1
}
