package publish

import (
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// nsecCache holds a node's NSEC record while its next name stays the same.
type nsecCache struct{ p atomic.Pointer[nsecRecord] }

type nsecRecord struct {
	next string // key of the next name
	set  *rrset
}

// cutAbove returns the delegation at or above key, or nil: the topmost one,
// since what lies below a cut is not the zone's.
func (st *state) cutAbove(key string) *node {
	if st.cuts == 0 || key == "" {
		return nil
	}
	for parent := range parentKeys(key) {
		if n := st.root.get(parent); parent != "" && n != nil && n.set(dns.TypeNS) != nil {
			return n
		}
	}
	if n := st.root.get(key); n != nil && n.set(dns.TypeNS) != nil {
		return n
	}
	return nil
}

// occluded reports whether a node lies below a cut: glue.
func (st *state) occluded(n *node) bool {
	cut := st.cutAbove(n.key)
	return cut != nil && cut.key != n.key
}

func (n *node) isCut() bool { return n.key != "" && n.set(dns.TypeNS) != nil }

// covering returns the last authoritative node at or before key.
func (st *state) covering(key string) *node {
	n := st.root.floor(key)
	if cut := st.cutAbove(n.key); cut != nil {
		return cut
	}
	return n
}

// successor returns the authoritative node after n; the apex after the last.
func (st *state) successor(n *node) *node {
	after := n.key + "\x00"
	if n.isCut() {
		after = afterKey(n.key)
	}
	if next := st.root.ceil(after); next != nil {
		return next
	}
	return st.root.get("")
}

// nsec returns the NSEC RRset of an authoritative node (RFC 4034 s4).
func (z *Zone) nsec(st *state, n *node) *rrset {
	next := st.successor(n).key
	if rec := n.nsec.p.Load(); rec != nil && rec.next == next {
		return rec.set
	}
	rdata := appendOwner(nil, next, z.origin)
	rdata = appendBitmap(rdata, n.nsecTypes())
	set := newSet(dns.TypeNSEC, z.negTTL, [][]byte{rdata})
	n.nsec.p.Store(&nsecRecord{next: next, set: set})
	return set
}

// nsecTypes lists the types for a node's NSEC, ascending. At a delegation only
// NS and what the parent is authoritative for count (RFC 4035 s2.3).
func (n *node) nsecTypes() []uint16 {
	types := make([]uint16, 0, len(n.sets)+2)
	put := func(t uint16) {
		i := len(types)
		types = append(types, t)
		for ; i > 0 && types[i-1] > t; i-- {
			types[i], types[i-1] = types[i-1], types[i]
		}
	}
	cut := n.isCut()
	for _, s := range n.sets {
		if !cut || s.typ == dns.TypeNS || s.typ == dns.TypeDS {
			put(s.typ)
		}
	}
	put(dns.TypeRRSIG)
	put(dns.TypeNSEC)
	return types
}

// appendBitmap appends a type bitmap of ascending types (RFC 4034 s4.1.2).
func appendBitmap(dst []byte, types []uint16) []byte {
	for len(types) > 0 {
		window := byte(types[0] >> 8)
		var bits [32]byte
		last := 0
		for len(types) > 0 && byte(types[0]>>8) == window {
			low := byte(types[0])
			last = int(low / 8)
			bits[last] |= 0x80 >> (low % 8)
			types = types[1:]
		}
		dst = append(dst, window, byte(last+1))
		dst = append(dst, bits[:last+1]...)
	}
	return dst
}

// hasBelow reports whether names exist below key.
func (st *state) hasBelow(key string) bool {
	n := st.root.ceil(key + "\x00")
	return n != nil && strings.HasPrefix(n.key, key)
}
