package dnssec_test

import (
	"cmp"
	"context"
	"crypto"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// A lab is a set of zones signed in process, written against the RFCs and not
// against the validator: what it knows to be true is the measure of verdicts.

var labNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

type labKey struct {
	rr     *dns.DNSKEY
	signer crypto.Signer
}

type labZone struct {
	apex   string
	data   map[string]map[uint16][]dns.RR // unsigned contents by owner
	keys   []labKey                       // KSK, ZSK; none: the zone is unsigned
	nsec3  bool
	optOut bool
	salt   string
	iter   uint16

	parent *labZone
	chain  []dns.RR // NSEC or NSEC3 records in order
	sigs   map[string][]dns.RR
	proofs map[string]string // NSEC3: hash to name
}

type lab struct {
	zones map[string]*labZone
	now   time.Time
}

func labGenerate(tb testing.TB, zone string, flags uint16, alg uint8) labKey {
	bits := map[uint8]int{dns.RSASHA1: 1024, dns.RSASHA1NSEC3SHA1: 1024, dns.RSASHA256: 1024, dns.RSASHA512: 1024, dns.ECDSAP384SHA384: 384}[alg]
	if bits == 0 {
		bits = 256
	}
	k := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: flags, Protocol: 3, Algorithm: alg,
	}
	private, err := k.Generate(bits)
	require.NoError(tb, err)
	return labKey{k, private.(crypto.Signer)}
}

// newLab builds zones from text: one zone per apex, signed if the apex has keys.
func newLab() *lab { return &lab{zones: map[string]*labZone{}, now: labNow} }

func (l *lab) zone(tb testing.TB, apex string, alg uint8, text string) *labZone {
	z := &labZone{apex: apex, data: map[string]map[uint16][]dns.RR{}}
	l.zones[apex] = z
	z.add(tb, apex+" 3600 IN SOA ns.invalid. host.invalid. 1 7200 3600 864000 300")
	z.add(tb, apex+" 3600 IN NS ns.invalid.")
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			z.add(tb, line)
		}
	}
	if alg != 0 {
		z.keys = []labKey{labGenerate(tb, apex, 257, alg), labGenerate(tb, apex, 256, alg)}
		for _, k := range z.keys {
			z.put(k.rr)
		}
	}
	return z
}

func (z *labZone) add(tb testing.TB, line string) {
	p := dns.NewZoneParser(strings.NewReader(line+"\n"), z.apex, "")
	p.SetDefaultTTL(3600)
	rr, ok := p.Next()
	require.True(tb, ok, "%s: %v", line, p.Err())
	z.put(rr)
}

func (z *labZone) put(rr dns.RR) {
	n := strings.ToLower(rr.Header().Name)
	if z.data[n] == nil {
		z.data[n] = map[uint16][]dns.RR{}
	}
	z.data[n][rr.Header().Rrtype] = append(z.data[n][rr.Header().Rrtype], rr)
}

// sign links the zones and signs them all.
func (l *lab) sign(tb testing.TB) {
	for _, z := range l.zones {
		for up := z.apex; up != "."; {
			if up = labParent(up); l.zones[up] != nil {
				z.parent = l.zones[up]
				break
			}
		}
		if z.parent == nil {
			continue
		}
		z.parent.put(&dns.NS{Hdr: dns.RR_Header{Name: z.apex, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 3600}, Ns: "ns.invalid."})
		if z.keys != nil {
			z.parent.put(z.keys[0].rr.ToDS(dns.SHA256))
		}
	}
	for _, z := range l.zones {
		z.sign(tb, l.now)
	}
}

func labParent(n string) string {
	i, end := dns.NextLabel(n, 0)
	if end {
		return "."
	}
	return n[i:]
}

func labReverse(n string) []string {
	s := dns.SplitDomainName(strings.ToLower(n))
	slices.Reverse(s)
	return s
}

func labCompare(a, b string) int { return slices.Compare(labReverse(a), labReverse(b)) }

// cut returns the delegation at or above n in the zone, if there is one.
func (z *labZone) cut(n string) string {
	found := ""
	for ; n != z.apex; n = labParent(n) {
		if z.data[n][dns.TypeNS] != nil {
			found = n
		}
	}
	return found
}

func (z *labZone) dname(n string) string {
	for n != z.apex {
		if n = labParent(n); z.data[n][dns.TypeDNAME] != nil {
			return n
		}
	}
	return ""
}

// visible tells whether the zone speaks for the owner n: not below a cut or DNAME.
func (z *labZone) visible(n string) bool {
	c := z.cut(n)
	return (c == "" || c == n) && z.dname(n) == ""
}

func (z *labZone) exists(n string) bool {
	for owner := range z.data {
		if dns.IsSubDomain(n, owner) && z.visible(owner) {
			return true
		}
	}
	return false
}

func (z *labZone) authoritative(n string, t uint16) bool {
	return z.cut(n) != n || t == dns.TypeDS || t == dns.TypeNSEC
}

func (z *labZone) types(n string) []uint16 {
	var list []uint16
	for t := range z.data[n] {
		list = append(list, t)
	}
	if z.cut(n) != n && len(list) > 0 || z.data[n][dns.TypeDS] != nil {
		list = append(list, dns.TypeRRSIG)
	}
	return list
}

func (z *labZone) sign(tb testing.TB, now time.Time) {
	if z.keys == nil {
		return
	}
	z.sigs, z.proofs = map[string][]dns.RR{}, map[string]string{}
	var names []string
	for n := range z.data {
		if z.visible(n) {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, labCompare)
	if z.nsec3 {
		z.chain3(names)
	} else {
		z.chain1(names)
	}
	for _, n := range names {
		for t, set := range z.data[n] {
			if z.authoritative(n, t) {
				z.signSet(tb, set, now)
			}
		}
	}
	for _, rr := range z.chain {
		z.signSet(tb, []dns.RR{rr}, now)
	}
}

func (z *labZone) chain1(names []string) {
	for i, n := range names {
		types := append(z.types(n), dns.TypeNSEC)
		if !slices.Contains(types, dns.TypeRRSIG) {
			types = append(types, dns.TypeRRSIG)
		}
		slices.Sort(types)
		z.chain = append(z.chain, &dns.NSEC{
			Hdr:        dns.RR_Header{Name: n, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 300},
			NextDomain: names[(i+1)%len(names)], TypeBitMap: types,
		})
	}
}

func (z *labZone) chain3(names []string) {
	all := map[string]bool{}
	for _, n := range names {
		if z.optOut && z.cut(n) == n && z.data[n][dns.TypeDS] == nil {
			continue
		}
		for ; n != z.apex; n = labParent(n) {
			all[n] = true
		}
		all[z.apex] = true
	}
	var hashes []string
	for n := range all {
		h := dns.HashName(n, dns.SHA1, z.iter, z.salt)
		hashes = append(hashes, h)
		z.proofs[h] = n
	}
	slices.Sort(hashes)
	flags := uint8(0)
	if z.optOut {
		flags = 1
	}
	for i, h := range hashes {
		types := z.types(z.proofs[h])
		slices.Sort(types)
		z.chain = append(z.chain, &dns.NSEC3{
			Hdr:  dns.RR_Header{Name: strings.ToLower(h) + "." + strings.TrimPrefix(z.apex, "."), Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 300},
			Hash: dns.SHA1, Flags: flags, Iterations: z.iter, SaltLength: uint8(len(z.salt) / 2), Salt: z.salt,
			HashLength: 20, NextDomain: hashes[(i+1)%len(hashes)], TypeBitMap: types,
		})
	}
}

func (z *labZone) signSet(tb testing.TB, set []dns.RR, now time.Time) {
	h := set[0].Header()
	k := z.keys[1]
	if h.Rrtype == dns.TypeDNSKEY {
		k = z.keys[0]
	}
	sig := labSign(tb, k, z.apex, set, now)
	id := strings.ToLower(h.Name) + dns.Type(h.Rrtype).String()
	z.sigs[id] = append(z.sigs[id], sig)
}

func labSign(tb testing.TB, k labKey, zone string, set []dns.RR, now time.Time) *dns.RRSIG {
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: set[0].Header().Ttl},
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(10 * 24 * time.Hour).Unix()),
		KeyTag: k.rr.KeyTag(), SignerName: zone, Algorithm: k.rr.Algorithm,
	}
	require.NoError(tb, sig.Sign(k.signer, set))
	return sig
}

// signed returns a set with its signatures, under another owner if it comes
// from a wildcard.
func (z *labZone) signed(set []dns.RR, owner string) []dns.RR {
	h := set[0].Header()
	out := make([]dns.RR, 0, 4)
	for _, rr := range append(slices.Clone(set), z.sigs[strings.ToLower(h.Name)+dns.Type(h.Rrtype).String()]...) {
		rr = dns.Copy(rr)
		if owner != "" {
			rr.Header().Name = owner
		}
		out = append(out, rr)
	}
	return out
}

// home returns the zone that answers a question.
func (l *lab) home(n string, t uint16) *labZone {
	if t == dns.TypeDS && n != "." {
		n = labParent(n)
	}
	for ; ; n = labParent(n) {
		if z := l.zones[n]; z != nil {
			return z
		}
		if n == "." {
			return nil
		}
	}
}

// secure tells whether the zone has a chain from the root.
func (z *labZone) secure() bool { return z.keys != nil && (z.parent == nil || z.parent.secure()) }

// labTruth is what the data say, whoever transports it.
type labTruth struct {
	rcode   int
	rrs     []dns.RR
	secure  bool
	optOut  bool // the proof rests on an opt-out span
	looping bool
}

// truth answers from the data alone.
func (l *lab) truth(n string, t uint16) labTruth {
	r := labTruth{secure: true}
	for range 12 {
		z := l.home(n, t)
		r.secure = r.secure && z.secure()
		rrs, _, target := z.find(n, t)
		r.rcode = dns.RcodeSuccess
		if rrs == nil {
			ce := n
			for !z.exists(ce) {
				ce = labParent(ce)
			}
			if ce != n && !z.exists("*."+strings.TrimPrefix(ce, ".")) {
				r.rcode = dns.RcodeNameError
			}
			if c := z.cut(n); c != "" && c != n {
				r.rcode = dns.RcodeNameError // DS question below an unsigned cut that has its own zone is never asked here
			}
		}
		if z.nsec3 && z.optOut && (rrs == nil || !strings.EqualFold(rrs[0].Header().Name, n)) {
			r.optOut = true
		}
		for _, rr := range rrs {
			rr = dns.Copy(rr)
			if rr.Header().Rrtype != dns.TypeDNAME {
				rr.Header().Name = n
			}
			r.rrs = append(r.rrs, rr)
		}
		if target == "" {
			return r
		}
		n = target
	}
	r.looping = true
	return r
}

// find returns the records at n, of the wildcard if they come from one, and
// where an alias leads.
func (z *labZone) find(n string, t uint16) (rrs []dns.RR, wild, target string) {
	if d := z.dname(n); d != "" {
		rr := z.data[d][dns.TypeDNAME][0].(*dns.DNAME)
		target = n[:len(n)-len(d)] + rr.Target
		rrs = []dns.RR{rr, &dns.CNAME{Hdr: dns.RR_Header{Name: n, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 3600}, Target: target}}
		if t == dns.TypeCNAME {
			target = "" // the synthesised record is the answer
		}
		return rrs, "", target
	}
	owner := n
	if !z.exists(n) {
		ce := labParent(n)
		for !z.exists(ce) {
			ce = labParent(ce)
		}
		owner = "*." + strings.TrimPrefix(ce, ".")
		if z.data[owner] == nil {
			return nil, "", ""
		}
		wild = owner
	}
	if z.cut(owner) == owner && t != dns.TypeDS {
		return nil, "", ""
	}
	if set := z.data[owner][t]; set != nil {
		return set, wild, ""
	}
	if set := z.data[owner][dns.TypeCNAME]; set != nil {
		return set, wild, strings.ToLower(set[0].(*dns.CNAME).Target)
	}
	return nil, wild, ""
}

// Exchange answers for all zones, one step of an alias at a time.
func (l *lab) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	m.SetEdns0(4096, true)
	n, t := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	z := l.home(n, t)
	if z == nil {
		m.Rcode = dns.RcodeRefused
		return m, nil
	}
	rrs, wild, _ := z.find(n, t)
	if rrs != nil && rrs[0].Header().Rrtype == dns.TypeDNAME && t != dns.TypeDNAME && len(rrs) == 2 {
		m.Answer = append(z.signed(rrs[:1], ""), rrs[1])
		return labWire(m)
	}
	if rrs != nil {
		owner := ""
		if wild != "" {
			owner = q.Question[0].Name
			m.Ns = z.cover(nil, n)
			if z.nsec3 {
				m.Ns = z.cover(nil, labNextCloser(n, labParent(wild)))
			}
		}
		m.Answer = z.signed(rrs, owner)
		return labWire(m)
	}
	m.Ns = append(m.Ns, z.signed(z.data[z.apex][dns.TypeSOA], "")...)
	m.Ns = z.denial(m.Ns, n, wild)
	if !z.exists(n) && wild == "" && !z.exists(labWildcard(z, n)) {
		m.Rcode = dns.RcodeNameError
	}
	return labWire(m)
}

func labWildcard(z *labZone, n string) string {
	for !z.exists(n) {
		n = labParent(n)
	}
	return "*." + strings.TrimPrefix(n, ".")
}

func labNextCloser(n, ce string) string {
	for labParent(n) != ce {
		n = labParent(n)
	}
	return n
}

// labWire sends a message through its wire form, as a network does.
func labWire(m *dns.Msg) (*dns.Msg, error) {
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	r := new(dns.Msg)
	return r, r.Unpack(wire)
}

func (z *labZone) denial(ns []dns.RR, n, wild string) []dns.RR {
	if z.keys == nil {
		return ns
	}
	if z.exists(n) {
		if z.nsec3 && z.match(n) == nil { // an opted-out delegation
			ce := n
			for z.match(ce) == nil {
				ce = labParent(ce)
			}
			return z.cover(z.prove(ns, z.match(ce)), labNextCloser(n, ce))
		}
		if r := z.match(n); r != nil {
			return z.prove(ns, r)
		}
		return z.cover(ns, n) // an empty non-terminal in an NSEC zone
	}
	ce := n
	for !z.exists(ce) || z.nsec3 && z.match(ce) == nil {
		ce = labParent(ce)
	}
	star := "*." + strings.TrimPrefix(ce, ".")
	if z.nsec3 {
		ns = z.cover(z.prove(ns, z.match(ce)), labNextCloser(n, ce))
	} else {
		ns = z.cover(ns, n)
	}
	if r := z.match(star); r != nil {
		return z.prove(ns, r)
	}
	return z.cover(ns, star)
}

func (z *labZone) prove(ns []dns.RR, rr dns.RR) []dns.RR {
	for _, have := range ns {
		if dns.IsDuplicate(have, rr) {
			return ns
		}
	}
	return append(ns, z.signed([]dns.RR{rr}, "")...)
}

// match and cover find a record of the chain.
func (z *labZone) match(n string) dns.RR {
	for _, rr := range z.chain {
		switch rr := rr.(type) {
		case *dns.NSEC:
			if rr.Hdr.Name == n {
				return rr
			}
		case *dns.NSEC3:
			if strings.EqualFold(rr.Hdr.Name[:32], dns.HashName(n, dns.SHA1, z.iter, z.salt)) {
				return rr
			}
		}
	}
	return nil
}

func (z *labZone) cover(ns []dns.RR, n string) []dns.RR {
	if z.keys == nil {
		return ns
	}
	for i, rr := range z.chain {
		last := i == len(z.chain)-1
		switch rr := rr.(type) {
		case *dns.NSEC:
			if labCompare(rr.Hdr.Name, n) < 0 && (last || labCompare(n, rr.NextDomain) < 0) {
				return z.prove(ns, rr)
			}
		case *dns.NSEC3:
			h := labHash(dns.HashName(n, dns.SHA1, z.iter, z.salt))
			own, next := labHash(rr.Hdr.Name[:32]), labHash(rr.NextDomain)
			if own < h && h < next || last && (h > own || h < next) {
				return z.prove(ns, rr)
			}
		}
	}
	return ns
}

func labHash(s string) string {
	b, err := base32.HexEncoding.DecodeString(strings.ToUpper(s))
	if err != nil {
		panic(err)
	}
	return hex.EncodeToString(b)
}

func (l *lab) anchors(tb testing.TB) *dnssec.Anchors {
	var text strings.Builder
	for _, z := range l.zones {
		if z.parent == nil && z.keys != nil {
			fmt.Fprintln(&text, z.keys[0].rr.ToDS(dns.SHA256))
		}
	}
	a, err := dnssec.ParseAnchors(strings.NewReader(text.String()))
	require.NoError(tb, err)
	return a
}

// labSame compares answers as sets, without TTL and order.
func labSame(a, b []dns.RR) bool {
	text := func(rrs []dns.RR) []string {
		var list []string
		for _, rr := range rrs {
			rr = dns.Copy(rr)
			rr.Header().Ttl = 0
			rr.Header().Name = strings.ToLower(rr.Header().Name)
			list = append(list, strings.ToLower(rr.String()))
		}
		slices.SortFunc(list, cmp.Compare[string])
		return slices.Compact(list)
	}
	return slices.Equal(text(a), text(b))
}

// labRecorder keeps what passed through.
type labRecorder struct {
	next dnssec.Exchanger
	ch   chan *dns.Msg
}

func newRecorder(next dnssec.Exchanger) *labRecorder {
	return &labRecorder{next, make(chan *dns.Msg, 4096)}
}

func (r *labRecorder) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m, err := r.next.Exchange(ctx, q)
	if err == nil {
		r.ch <- m
	}
	return m, err
}

func (r *labRecorder) messages() []*dns.Msg {
	var list []*dns.Msg
	for len(r.ch) > 0 {
		list = append(list, <-r.ch)
	}
	return list
}

func (l *lab) clock() time.Time { return l.now }
