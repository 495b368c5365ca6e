package publish

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// ZoneConfig describes a zone. Only Origin is required.
type ZoneConfig struct {
	// Origin is the zone's name; "." is the root.
	Origin string
	// NS names the zone's servers. Empty means "ns." and the origin.
	NS []string
	// Mbox is the SOA's mailbox as a domain name. Empty means "hostmaster."
	// and the origin.
	Mbox string
	// Keys sign the zone. None makes an unsigned zone, which validators
	// reach as an insecure delegation.
	Keys []Key
	// TTL, in seconds, is for the SOA, NS and DNSKEY records and for added
	// records whose own TTL is 0. Zero means 3600.
	TTL uint32
	// NegativeTTL, in seconds, is how long a denial may be cached: the SOA
	// minimum and the TTL of SOA and NSEC records (RFC 9077). Zero means the
	// lesser of TTL and 900.
	NegativeTTL uint32
	// Serial is the first SOA serial. Zero means the time in seconds, which
	// keeps serials rising over restarts.
	Serial uint32
	// Validity is how long a signature lives after it was made. It is made
	// again when a quarter of this is left. Zero means 14 days.
	Validity time.Duration
	// Inception is how far back signatures are dated, for validators whose
	// clock is slow. Zero means one hour.
	Inception time.Duration
	// Jitter is the largest cut made in Validity, different for every RRset,
	// so that not all are renewed at once. Zero means a tenth of Validity;
	// negative means none.
	Jitter time.Duration
	// Now is the zone's clock. Nil means time.Now.
	Now func() time.Time
	// Workers is how many goroutines sign during a Publish. Zero means
	// GOMAXPROCS.
	Workers int
}

// Zone is one zone in memory. It answers through an [Authority] or a [Server]
// and changes through [Zone.Publish].
//
// Reads see a consistent snapshot and never wait for a Publish. Published
// records are signed in Publish; the denials (NSEC) and the SOA are signed when
// first asked for. Signatures are renewed, on use, before they expire, so that
// a server may run for as long as it likes. A clock that steps either way
// renews them as well.
//
// A Zone is safe for concurrent use.
type Zone struct {
	origin []byte
	text   string
	ttl    uint32
	negTTL uint32
	soa    []byte // SOA RDATA with serial 0

	ring      *keyRing
	validity  time.Duration
	inception time.Duration
	jitter    time.Duration
	now       func() time.Time
	workers   int

	state  atomic.Pointer[state]
	writer chan struct{} // holds a token while a change set is applied
	gen    uint64        // of the last writer
}

// state is one version of a zone's content.
type state struct {
	root   *page
	serial uint32
	names  int // owner names
	cuts   int // delegations
	dnames int // DNAME records
}

// NewZone makes a zone that holds its SOA, NS and DNSKEY records.
func NewZone(cfg ZoneConfig) (*Zone, error) {
	z := &Zone{
		ttl: cfg.TTL, negTTL: cfg.NegativeTTL,
		validity: cfg.Validity, inception: cfg.Inception, jitter: cfg.Jitter,
		now: cfg.Now, workers: cfg.Workers, writer: make(chan struct{}, 1),
	}
	z.setDefaults()
	if cfg.Origin == "" {
		return nil, errors.New("publish: zone has no origin")
	}
	var err error
	if z.origin, err = packName(cfg.Origin); err != nil {
		return nil, err
	}
	if isWildcard(z.origin) {
		return nil, fmt.Errorf("publish: zone %s is a wildcard", cfg.Origin)
	}
	if z.validity < time.Minute || z.jitter > z.validity/2 || z.inception < 0 {
		return nil, fmt.Errorf("publish: zone %s: validity %v, jitter %v, inception %v do not fit",
			cfg.Origin, z.validity, z.jitter, z.inception)
	}
	z.text = nameText(z.origin)
	if z.ring, err = newKeyRing(cfg.Keys, z.text, z.ttl); err != nil {
		return nil, err
	}
	return z, z.begin(cfg)
}

func (z *Zone) setDefaults() {
	if z.ttl == 0 {
		z.ttl = 3600
	}
	if z.negTTL == 0 {
		z.negTTL = min(z.ttl, 900)
	}
	if z.validity == 0 {
		z.validity = 14 * 24 * time.Hour
	}
	if z.inception == 0 {
		z.inception = time.Hour
	}
	if z.jitter == 0 {
		z.jitter = z.validity / 10
	}
	if z.now == nil {
		z.now = time.Now
	}
	if z.workers <= 0 {
		z.workers = runtime.GOMAXPROCS(0)
	}
}

// begin fills the apex.
func (z *Zone) begin(cfg ZoneConfig) error {
	hosts, mbox := cfg.NS, cfg.Mbox
	if len(hosts) == 0 {
		hosts = []string{under("ns", z.text)}
	}
	if mbox == "" {
		mbox = under("hostmaster", z.text)
	}
	var ns [][]byte
	for _, host := range hosts {
		wire, err := packName(host)
		if err != nil {
			return err
		}
		ns = append(ns, wire)
	}
	rname, err := packName(mbox)
	if err != nil {
		return err
	}
	serial := cfg.Serial
	if serial == 0 {
		serial = uint32(z.now().Unix())
	}
	z.soa = append(bytes.Clone(ns[0]), rname...)
	for _, v := range []uint32{0, 7200, 1800, uint32(2 * z.validity / time.Second), z.negTTL} {
		z.soa = binary.BigEndian.AppendUint32(z.soa, v)
	}
	apex := &node{sets: []*rrset{newSet(dns.TypeNS, z.ttl, ns), z.soaSet(serial)}}
	if len(z.ring.all) > 0 {
		set, err := z.dnskeySet()
		if err != nil {
			return err
		}
		apex.sets = append(apex.sets, set)
	}
	z.state.Store(&state{root: &page{leaf: []*node{apex}}, serial: serial, names: 1})
	return nil
}

func under(label, origin string) string {
	if origin == "." {
		return label + "."
	}
	return label + "." + origin
}

func (z *Zone) soaSet(serial uint32) *rrset {
	rdata := bytes.Clone(z.soa)
	binary.BigEndian.PutUint32(rdata[len(rdata)-20:], serial)
	return newSet(dns.TypeSOA, z.negTTL, [][]byte{rdata})
}

func (z *Zone) dnskeySet() (*rrset, error) {
	var all [][]byte
	for _, k := range z.ring.all {
		buf := make([]byte, dns.Len(k.rr)+1)
		n, err := dns.PackRR(k.rr, buf, 0, nil, false)
		if err != nil {
			return nil, fmt.Errorf("publish: DNSKEY %d: %w", k.tag, err)
		}
		all = append(all, buf[nameEnd(buf, 0)+bodyHead:n])
	}
	set := newSet(dns.TypeDNSKEY, z.ttl, all)
	if set.count() != len(all) || len(set.wire) > maxSet {
		return nil, fmt.Errorf("publish: zone %s has the same key twice, or too many keys", z.text)
	}
	return set, nil
}

func (z *Zone) isSigned() bool { return len(z.ring.all) > 0 }

// Origin returns the zone's name, lower-case and fully qualified.
func (z *Zone) Origin() string { return z.text }

// Serial returns the SOA serial of the zone as it is now.
func (z *Zone) Serial() uint32 { return z.state.Load().serial }

// Len returns the number of names that own records.
func (z *Zone) Len() int { return z.state.Load().names }

// Names yields every name that owns records, in canonical order (RFC 4034
// s6.1), as of the moment of the call.
func (z *Zone) Names() iter.Seq[string] {
	root := z.state.Load().root
	return func(yield func(string) bool) {
		root.ascend("", func(n *node) bool {
			return yield(nameText(appendOwner(nil, n.key, z.origin)))
		})
	}
}

// DNSKEY returns the zone's public keys; none for an unsigned zone.
func (z *Zone) DNSKEY() []*dns.DNSKEY {
	var all []*dns.DNSKEY
	for _, k := range z.ring.all {
		all = append(all, dns.Copy(k.rr).(*dns.DNSKEY))
	}
	return all
}

// DS returns the DS records with which the parent zone vouches for this one:
// one for every key that signs the DNSKEY RRset. The digest type is 2
// (SHA-256) or 4 (SHA-384); another one, or an unsigned zone, is an error.
func (z *Zone) DS(digestType uint8) ([]*dns.DS, error) {
	if digestType != dns.SHA256 && digestType != dns.SHA384 {
		return nil, fmt.Errorf("publish: DS digest type %d is not supported, use 2 or 4", digestType)
	}
	if !z.isSigned() {
		return nil, fmt.Errorf("publish: zone %s is not signed and has no DS", z.text)
	}
	var all []*dns.DS
	for _, k := range z.ring.apex {
		ds := k.rr.ToDS(digestType)
		if ds == nil {
			return nil, fmt.Errorf("publish: DS of key %d cannot be computed", k.tag)
		}
		all = append(all, ds)
	}
	return all, nil
}

// Delegation returns what the parent zone adds to delegate to this one: its NS
// records and, if it is signed, its DS records with a SHA-256 digest. Addresses
// of name servers inside the zone (glue) are for the caller to add.
func (z *Zone) Delegation() ([]dns.RR, error) {
	var all []dns.RR
	for _, rdata := range z.state.Load().root.get("").set(dns.TypeNS).rdata() {
		all = append(all, &dns.NS{
			Hdr: dns.RR_Header{Name: z.text, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: z.ttl},
			Ns:  nameText(rdata),
		})
	}
	if !z.isSigned() {
		return all, nil
	}
	ds, err := z.DS(dns.SHA256)
	for _, rr := range ds {
		all = append(all, rr)
	}
	return all, err
}
