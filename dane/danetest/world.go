package danetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
)

// Config describes a world. The zero Config is the world of the Ottawa story.
type Config struct {
	// Zones are the origins of the signed zones. Each is delegated, with DS,
	// from the deepest of the others above it. Nil means the root, ca,
	// iotregistry.ca, parkoserv.ca and carparkserv.ca.
	Zones []string
	// Unsigned are origins of zones without keys: insecure delegations.
	Unsigned []string
	// Islands are origins of signed zones whose parent has no DS for them.
	Islands []string
	// Keys makes the keys of a zone. Nil means a fresh P-256 KSK and ZSK.
	// Keys of algorithm 15 from fixed seeds make a world that is the same,
	// to the octet, on every run.
	Keys func(origin string) []publish.Key
	// Start is where the clock stands. Zero means 2026-06-01 12:00 UTC.
	Start time.Time
	// TTL of zone records and of added records without one, in seconds. Zero
	// means 3600.
	TTL uint32
	// Validity of signatures. Zero means 14 days.
	Validity time.Duration
}

// World is a set of zones with a clock and faults. It is safe for concurrent
// use. Its methods that change it end the test on failure.
type World struct {
	tb        testing.TB
	authority *publish.Authority
	zones     map[string]*publish.Zone
	keys      map[string][]publish.Key
	tops      []string // origins with no zone above them

	mu     sync.Mutex
	now    time.Time
	faults []*Fault
	log    []dns.Question
	net    *listener
	ended  context.Context // done when the test is over
}

// NewWorld makes a world, which ends with the test.
func NewWorld(tb testing.TB, cfg Config) *World {
	tb.Helper()
	if cfg.Zones == nil {
		cfg.Zones = []string{".", "ca.", "iotregistry.ca.", "parkoserv.ca.", "carparkserv.ca."}
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	}
	w := &World{
		tb: tb, now: cfg.Start,
		authority: publish.NewAuthority(),
		zones:     map[string]*publish.Zone{},
		keys:      map[string][]publish.Key{},
	}
	ended, end := context.WithCancel(context.Background())
	w.ended = ended
	tb.Cleanup(func() {
		end()
		w.closeNetwork()
	})
	for _, origin := range slices.Concat(cfg.Zones, cfg.Islands) {
		w.makeZone(cfg, origin, w.makeKeys(cfg, origin))
	}
	for _, origin := range cfg.Unsigned {
		w.makeZone(cfg, origin, nil)
	}
	for origin := range w.zones {
		w.delegate(origin, slices.ContainsFunc(cfg.Islands, func(s string) bool { return dns.CanonicalName(s) == origin }))
	}
	slices.Sort(w.tops)
	return w
}

func (w *World) makeKeys(cfg Config, origin string) []publish.Key {
	if cfg.Keys != nil {
		return cfg.Keys(dns.CanonicalName(origin))
	}
	var keys []publish.Key
	for _, flags := range []uint16{publish.KSK, publish.ZSK} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		w.must(err)
		keys = append(keys, publish.Key{Signer: key, Flags: flags, Algorithm: dns.ECDSAP256SHA256})
	}
	return keys
}

func (w *World) makeZone(cfg Config, origin string, keys []publish.Key) {
	w.tb.Helper()
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: origin, Keys: keys, TTL: cfg.TTL, Validity: cfg.Validity, Serial: 1, Now: w.Now,
	})
	w.must(err)
	w.zones[z.Origin()], w.keys[z.Origin()] = z, keys
	w.authority.Add(z)
}

// delegate puts a zone's NS and DS into the zone above it.
func (w *World) delegate(origin string, island bool) {
	w.tb.Helper()
	parent := w.above(origin)
	if parent == nil {
		w.tops = append(w.tops, origin)
		return
	}
	rrs, err := w.zones[origin].Delegation()
	w.must(err)
	if island {
		rrs = slices.DeleteFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS })
	}
	_, err = parent.Publish(context.Background(), publish.ChangeSet{Add: rrs})
	w.must(err)
}

// above returns the deepest zone strictly above a name, or nil.
func (w *World) above(name string) *publish.Zone {
	for name != "." {
		if off, end := dns.NextLabel(name, 0); end {
			name = "."
		} else {
			name = name[off:]
		}
		if z := w.zones[name]; z != nil {
			return z
		}
	}
	return nil
}

func (w *World) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatalf("danetest: %v", err)
	}
}

// failed marks the test as failed on an error. Unlike must it may be called
// from any goroutine.
func (w *World) failed(err error) bool {
	if err != nil {
		w.tb.Errorf("danetest: %v", err)
	}
	return err != nil
}

// Now is the world's clock, made for fields called Now.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Advance moves the clock on, or back.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Zone returns the zone that holds a name: the deepest at or above it.
func (w *World) Zone(name string) *publish.Zone {
	w.tb.Helper()
	name = dns.CanonicalName(name)
	z := w.zones[name]
	if z == nil {
		z = w.above(name)
	}
	if z == nil {
		w.tb.Fatalf("danetest: no zone holds %s", name)
	}
	return z
}

// Keys returns the private keys of the zone with this origin, for tests that
// sign records of their own.
func (w *World) Keys(origin string) []publish.Key { return w.keys[dns.CanonicalName(origin)] }

// Add publishes records in zone-file form, each in the zone that holds it.
func (w *World) Add(lines ...string) {
	w.tb.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil || rr == nil {
			w.tb.Fatalf("danetest: record %q: %v", line, err)
		}
		w.AddRR(rr)
	}
}

// AddRR publishes records, each in the zone that holds it.
func (w *World) AddRR(rrs ...dns.RR) {
	w.tb.Helper()
	w.change(rrs, func(c *publish.ChangeSet, rr dns.RR) { c.Add = append(c.Add, rr) })
}

// RemoveRR withdraws records.
func (w *World) RemoveRR(rrs ...dns.RR) {
	w.tb.Helper()
	w.change(rrs, func(c *publish.ChangeSet, rr dns.RR) { c.Remove = append(c.Remove, rr) })
}

func (w *World) change(rrs []dns.RR, put func(*publish.ChangeSet, dns.RR)) {
	w.tb.Helper()
	sets := map[*publish.Zone]*publish.ChangeSet{}
	for _, rr := range rrs {
		z := w.Zone(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeDS && z.Origin() == dns.CanonicalName(rr.Header().Name) {
			if parent := w.above(z.Origin()); parent != nil {
				z = parent
			}
		}
		if sets[z] == nil {
			sets[z] = &publish.ChangeSet{}
		}
		put(sets[z], rr)
	}
	for z, c := range sets {
		_, err := z.Publish(context.Background(), *c)
		w.must(err)
	}
}

// Withdraw removes every record at these names.
func (w *World) Withdraw(names ...string) {
	w.tb.Helper()
	for _, name := range names {
		_, err := w.Zone(name).Publish(context.Background(), publish.ChangeSet{RemoveNames: []string{name}})
		w.must(err)
	}
}

// AddCERT publishes a certificate in DER as CERT PKIX 0 0 (RFC 4398).
func (w *World) AddCERT(name string, der []byte) {
	w.tb.Helper()
	w.AddRR(&dns.CERT{
		Hdr:  dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeCERT, Class: dns.ClassINET},
		Type: dns.CertPKIX, Certificate: base64.StdEncoding.EncodeToString(der),
	})
}

// AddTLSA publishes a TLSA record (RFC 6698) with this data, which is given as
// it shall stand in the record: already hashed for matching types 1 and 2.
func (w *World) AddTLSA(name string, usage, selector, matching uint8, data []byte) {
	w.tb.Helper()
	w.AddRR(&dns.TLSA{
		Hdr:   dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTLSA, Class: dns.ClassINET},
		Usage: usage, Selector: selector, MatchingType: matching, Certificate: hex.EncodeToString(data),
	})
}

// DS returns the trust anchors as DS records (SHA-256): those of the signed
// zones with no zone above them, which is the root unless Config left it out.
func (w *World) DS() []*dns.DS {
	w.tb.Helper()
	var all []*dns.DS
	for _, origin := range w.tops {
		if len(w.keys[origin]) == 0 {
			continue
		}
		ds, err := w.zones[origin].DS(dns.SHA256)
		w.must(err)
		all = append(all, ds...)
	}
	return all
}

// DNSKEY returns the trust anchors as DNSKEY records: the KSKs behind DS.
func (w *World) DNSKEY() []*dns.DNSKEY {
	var all []*dns.DNSKEY
	for _, origin := range w.tops {
		for _, key := range w.zones[origin].DNSKEY() {
			if key.Flags == publish.KSK {
				all = append(all, key)
			}
		}
	}
	return all
}

// Anchor returns the trust anchors as text: a DS record a line.
func (w *World) Anchor() string {
	w.tb.Helper()
	var text strings.Builder
	for _, ds := range w.DS() {
		text.WriteString(ds.String() + "\n")
	}
	return text.String()
}

// Queries returns the questions asked so far, in order of arrival, and forgets
// them.
func (w *World) Queries() []dns.Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log
	w.log = nil
	return log
}
