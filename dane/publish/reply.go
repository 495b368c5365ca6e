package publish

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// reply is an answer in the making. Its memory is used again and again.
type reply struct {
	buf    []byte
	limit  int
	do     bool
	aa     bool
	rcode  int
	counts [3]uint16 // answer, authority, additional

	qname  []byte // lower-case
	starts []int  // of the labels of qname

	proof []proof // for the authority section
	names []byte  // memory of proof owners
}

// proof is an RRset that waits for the authority section.
type proof struct {
	owner []byte
	set   *rrset
	sigs  *signatures // nil when none are wanted
}

// begin starts the answer to q: header and question.
func (r *reply) begin(dst, msg []byte, q *query) {
	r.buf = append(dst[:0], msg[:max(q.end, headerSize)]...)
	r.do, r.aa, r.rcode = q.do, false, 0
	r.counts = [3]uint16{}
	r.proof, r.names = r.proof[:0], r.names[:0]
	r.qname = append(r.qname[:0], q.name...)
	lower(r.qname)
	r.starts = r.starts[:0]
	if len(r.qname) > 0 {
		r.starts = labelStarts(r.starts, r.qname)
	}
}

// full reports whether the answer has outgrown its limit, so that more work on
// it is wasted.
func (r *reply) full() bool { return len(r.buf) > r.limit }

// owner writes a name, compressed against the question.
func (r *reply) owner(wire []byte) {
	for off := 0; wire[off] != 0; off += int(wire[off]) + 1 {
		at := len(r.qname) - (len(wire) - off)
		if at >= 0 && bytes.Equal(r.qname[at:], wire[off:]) && slices.Contains(r.starts, at) {
			r.buf = append(r.buf, wire[:off]...)
			r.buf = binary.BigEndian.AppendUint16(r.buf, 0xc000|uint16(headerSize+at))
			return
		}
	}
	r.buf = append(r.buf, wire...)
}

// records writes a run of records with this owner into a section. The second
// and later ones point to the name of the first.
func (r *reply) records(section int, owner, wire []byte) {
	at := len(r.buf)
	r.owner(owner)
	name := r.buf[at:len(r.buf):len(r.buf)]
	if len(name) > 2 && at < 1<<14 {
		name = binary.BigEndian.AppendUint16(nil, 0xc000|uint16(at))
	}
	for body, rest := []byte(nil), wire; len(rest) > 0 && !r.full(); {
		if body != nil {
			r.buf = append(r.buf, name...)
		}
		body, rest = nextBody(rest)
		r.buf = append(r.buf, body...)
		r.counts[section]++
	}
}

// later keeps an RRset for the authority section; each one only once.
func (r *reply) later(p proof, key string, origin []byte) {
	for _, have := range r.proof {
		if have.set == p.set {
			return
		}
	}
	at := len(r.names)
	r.names = appendOwner(r.names, key, origin)
	p.owner = r.names[at:len(r.names):len(r.names)]
	r.proof = append(r.proof, p)
}

// authority writes the sets that were kept.
func (r *reply) authority() {
	for _, p := range r.proof {
		r.records(1, p.owner, p.set.wire)
		if p.sigs != nil {
			r.records(1, p.owner, p.sigs.wire)
		}
	}
}

// end finishes the message: OPT, truncation, counts.
func (r *reply) end(q *query) []byte {
	opt := 0
	if q.edns {
		opt = 11
	}
	flags := flagQR | q.flags&(0xf<<11|flagRD|flagCD)
	body := max(q.end, headerSize)
	if len(r.buf)+opt > r.limit {
		r.buf = r.buf[:body]
		r.counts = [3]uint16{}
		flags |= flagTC
	}
	switch r.rcode {
	case dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeYXDomain:
	default:
		r.buf = r.buf[:body]
		r.counts = [3]uint16{}
		r.aa = false
	}
	if r.aa {
		flags |= flagAA
	}
	if q.edns {
		r.buf = append(r.buf, 0, 0, byte(dns.TypeOPT), maxUDP>>8, maxUDP&0xff, byte(r.rcode>>4), 0, 0, 0, 0, 0)
		if q.do {
			r.buf[len(r.buf)-4] = flagDO >> 8
		}
		r.counts[2]++
	}
	flags |= uint16(r.rcode & 0xf)
	binary.BigEndian.PutUint16(r.buf[2:], flags)
	questions := uint16(0)
	if q.end > 0 {
		questions = 1
	}
	binary.BigEndian.PutUint16(r.buf[4:], questions)
	for i, n := range r.counts {
		binary.BigEndian.PutUint16(r.buf[6+2*i:], n)
	}
	return r.buf
}
