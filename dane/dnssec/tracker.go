package dnssec

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Tracker follows the rollovers of one zone's trust anchors (RFC 5011): a new
// key that the old ones vouch for during 30 days becomes an anchor, a revoked
// one stops at once. It stands beside resolvers, not in them: call Refresh
// every now and then, give Anchors to the next Resolver, and keep the state
// with MarshalText. A device that is off for longer than a rollover takes needs
// new anchors by other means. It is safe for concurrent use.
type Tracker struct {
	mu      sync.Mutex
	zone    name
	initial *Anchors
	keys    []*trackedKey
}

// KeyState is the state of a key in RFC 5011 section 4.
type KeyState string

// The states. Valid and missing keys are anchors.
const (
	KeyPending KeyState = "pending" // seen, and waiting for 30 days to pass
	KeyValid   KeyState = "valid"
	KeyMissing KeyState = "missing" // an anchor that the zone no longer shows
	KeyRevoked KeyState = "revoked" // for good
)

type trackedKey struct {
	Algorithm uint8     `json:"algorithm"`
	Public    string    `json:"public"`
	State     KeyState  `json:"state"`
	Since     time.Time `json:"since"` // when the state began
}

// Times of RFC 5011 sections 2.3 and 2.4.1, and a bound on memory.
const (
	holdDown       = 30 * 24 * time.Hour
	minRefresh     = time.Hour
	maxRefresh     = 15 * 24 * time.Hour
	maxTrackedKeys = 32
)

// NewTracker starts from anchors of a zone, which the keys seen first must fit.
func NewTracker(zone string, initial *Anchors) (*Tracker, error) {
	n, ok := parseName(zone)
	if !ok {
		return nil, fmt.Errorf("dnssec: %w: %q is not a name", ErrAnchors, zone)
	}
	if initial == nil || initial.zones[n] == nil || initial.zones[n].negative {
		return nil, fmt.Errorf("dnssec: %w: none for %s to start from", ErrAnchors, n)
	}
	return &Tracker{zone: n, initial: initial}, nil
}

// Anchors returns the anchors of now: the initial ones until the zone's keys
// were seen once. They are without any if all keys were revoked.
func (t *Tracker) Anchors() *Anchors {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.anchors()
}

func (t *Tracker) anchors() *Anchors {
	if len(t.keys) == 0 {
		return t.initial
	}
	x := &anchor{name: t.zone}
	for _, k := range t.keys {
		if k.State != KeyValid && k.State != KeyMissing {
			continue
		}
		if d, ok := decodeKey(k.record(t.zone)); ok {
			x.keys = append(x.keys, anchorKey{ds: &dns.DS{
				Hdr:    dns.RR_Header{Name: t.zone.String(), Rrtype: dns.TypeDS, Class: dns.ClassINET},
				KeyTag: d.tag, Algorithm: d.alg, DigestType: dns.SHA256, Digest: hex.EncodeToString(d.digest(t.zone, dns.SHA256)),
			}})
		}
	}
	return &Anchors{map[name]*anchor{t.zone: x}}
}

func (k *trackedKey) record(zone name) *dns.DNSKEY {
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone.String(), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: k.Algorithm, PublicKey: k.Public,
	}
}

// States returns the keys known by state: their tags, as without the revoke bit.
func (t *Tracker) States() map[uint16]KeyState {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := map[uint16]KeyState{}
	for _, k := range t.keys {
		if d, ok := decodeKey(k.record(t.zone)); ok {
			states[d.tag] = k.State
		}
	}
	return states
}

// Refresh asks for the zone's keys and observes them. It returns when to do so
// again (RFC 5011 section 2.3): also after an error.
func (t *Tracker) Refresh(ctx context.Context, e Exchanger, now time.Time) (next time.Time, err error) {
	m, err := e.Exchange(ctx, newQuery(question{t.zone, dns.TypeDNSKEY}))
	if err != nil {
		return now.Add(minRefresh), fmt.Errorf("dnssec: refreshing the anchors of %s: %w", t.zone, err)
	}
	return t.Observe(m, now)
}

// Observe enters an answer with the zone's keys. Only keys that a current
// anchor signs for count. A revocation counts if the revoked key signs it.
func (t *Tracker) Observe(m *dns.Msg, now time.Time) (next time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	recs := newRecords(Limits{}.filled())
	recs.add(m)
	v := &validation{anchors: t.anchors(), now: now, recs: recs, zones: map[name]*zone{}, trail: &trail{}}
	z := v.zone(t.zone)
	revoked := t.revocations(v, z, recs.answers[question{t.zone, dns.TypeDNSKEY}])
	for _, k := range t.keys {
		if k.State != KeyRevoked && slices.Contains(revoked, k.id()) {
			k.State, k.Since = KeyRevoked, now
		}
	}
	if z.status != Secure {
		return now.Add(minRefresh), fmt.Errorf("dnssec: anchors of %s are unchanged: the keys are %s: %w", t.zone, z.status, z.err)
	}
	t.enter(z, now, revoked)
	set := z.proof[0]
	wait := min(time.Duration(set.ttl())*time.Second/2, z.win.until.Sub(now)/2, maxRefresh)
	return now.Add(max(wait, minRefresh)), nil
}

func (k *trackedKey) id() string { return fmt.Sprint(k.Algorithm, " ", k.Public) }

// revocations lists the keys that revoke themselves (RFC 5011 section 2.1).
func (t *Tracker) revocations(v *validation, z *zone, sets []*rrset) (ids []string) {
	for _, rs := range sets {
		for _, rr := range rs.rrs {
			dk, ok := rr.(*dns.DNSKEY)
			if !ok || dk.Flags&dns.REVOKE == 0 || dk.Flags&dns.SEP == 0 || dk.Flags&dns.ZONE == 0 || dk.Protocol != 3 {
				continue
			}
			k, ok := decodeKey(dk)
			if !ok {
				continue
			}
			if _, err := v.verifyKeys(rs, z, []*key{k}); err == nil {
				ids = append(ids, (&trackedKey{Algorithm: k.alg, Public: base64.StdEncoding.EncodeToString(k.rdata[4:])}).id())
			}
		}
	}
	return ids
}

// enter moves each key along the table of RFC 5011 section 4.2.
func (t *Tracker) enter(z *zone, now time.Time, revoked []string) {
	first := len(t.keys) == 0
	list := t.initial.zones[t.zone].valid(now)
	seen := map[string]bool{}
	for _, k := range z.keys {
		if k.flags&dns.SEP == 0 {
			continue
		}
		tk := &trackedKey{Algorithm: k.alg, Public: base64.StdEncoding.EncodeToString(k.rdata[4:]), State: KeyPending, Since: now}
		seen[tk.id()] = true
		if i := slices.IndexFunc(t.keys, func(o *trackedKey) bool { return o.id() == tk.id() }); i >= 0 {
			t.keys[i].seen(now)
			continue
		}
		if first && slices.ContainsFunc(list, func(ds *dns.DS) bool { return k.matches(z.name, ds) }) {
			tk.State = KeyValid
		}
		if len(t.keys) < maxTrackedKeys && !slices.Contains(revoked, tk.id()) {
			t.keys = append(t.keys, tk)
		}
	}
	t.keys = slices.DeleteFunc(t.keys, func(k *trackedKey) bool {
		if seen[k.id()] {
			return false
		}
		if k.State == KeyValid {
			k.State, k.Since = KeyMissing, now
		}
		return k.State == KeyPending // has to begin again
	})
}

func (k *trackedKey) seen(now time.Time) {
	switch {
	case k.State == KeyPending && now.Sub(k.Since) >= holdDown, k.State == KeyMissing:
		k.State, k.Since = KeyValid, now
	}
}

type trackerState struct {
	Zone    string        `json:"zone"`
	Initial string        `json:"initial"`
	Keys    []*trackedKey `json:"keys"`
}

// MarshalText returns the state as JSON. It holds no secrets, but whoever can
// change it can change what is trusted.
func (t *Tracker) MarshalText() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	only := &Anchors{map[name]*anchor{t.zone: t.initial.zones[t.zone]}}
	return json.Marshal(trackerState{t.zone.String(), only.String(), t.keys})
}

// UnmarshalText restores a state.
func (t *Tracker) UnmarshalText(text []byte) error {
	var s trackerState
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("dnssec: %w: state: %w", ErrAnchors, err)
	}
	initial, err := ParseAnchors(strings.NewReader(s.Initial))
	if err != nil {
		return err
	}
	fresh, err := NewTracker(s.Zone, initial)
	if err != nil {
		return err
	}
	if len(s.Keys) > maxTrackedKeys {
		return fmt.Errorf("dnssec: %w: state has %d keys", ErrAnchors, len(s.Keys))
	}
	for _, k := range s.Keys {
		known := k != nil && slices.Contains([]KeyState{KeyPending, KeyValid, KeyMissing, KeyRevoked}, k.State)
		if !known {
			return fmt.Errorf("dnssec: %w: state has a key in no known state", ErrAnchors)
		}
		if _, ok := readKey(k.record(fresh.zone)); !ok {
			return fmt.Errorf("dnssec: %w: state has a malformed key", ErrAnchors)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.zone, t.initial, t.keys = fresh.zone, initial, s.Keys
	return nil
}
