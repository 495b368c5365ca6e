package dnssec_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// rootKey is a key of a hand-made root.
type rootKey struct {
	signer crypto.Signer
	rr     *dns.DNSKEY
}

func newRootKey(seed byte) rootKey {
	raw := make([]byte, ed25519.SeedSize)
	raw[0] = seed
	private := ed25519.NewKeyFromSeed(raw)
	return rootKey{private, &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: ".", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 172800},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ED25519,
		PublicKey: base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey)),
	}}
}

func (k rootKey) revoked() rootKey {
	rr := dns.Copy(k.rr).(*dns.DNSKEY)
	rr.Flags |= dns.REVOKE
	return rootKey{k.signer, rr}
}

// keySet answers with keys, signed by some of them.
func keySet(t *testing.T, now time.Time, keys, signers []rootKey) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(".", dns.TypeDNSKEY)
	m.Response = true
	for _, k := range keys {
		m.Answer = append(m.Answer, k.rr)
	}
	set := m.Answer
	for _, k := range signers {
		sig := &dns.RRSIG{
			Hdr:       dns.RR_Header{Name: ".", Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: 172800},
			Algorithm: k.rr.Algorithm, KeyTag: k.rr.KeyTag(), SignerName: ".", OrigTtl: 172800,
			Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(20 * 24 * time.Hour).Unix()),
		}
		require.NoError(t, sig.Sign(k.signer, set))
		m.Answer = append(m.Answer, sig)
	}
	return m
}

func TestTrackerRollover(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	old, next, rogue := newRootKey(1), newRootKey(2), newRootKey(3)
	initial, err := dnssec.NewAnchors(old.rr)
	require.NoError(t, err)
	tr, err := dnssec.NewTracker(".", initial)
	require.NoError(t, err)
	observe := func(ok bool, keys, signers []rootKey) {
		t.Helper()
		again, err := tr.Observe(keySet(t, now, keys, signers), now)
		require.Equal(t, ok, err == nil, "%v", err)
		require.True(t, again.After(now))
		text, err := tr.MarshalText() // every state survives being kept
		require.NoError(t, err)
		tr = new(dnssec.Tracker)
		require.NoError(t, tr.UnmarshalText(text))
	}
	state := func(k rootKey) dnssec.KeyState { return tr.States()[k.rr.KeyTag()] }
	type ks = []rootKey

	require.Equal(t, initial.String(), tr.Anchors().String())
	observe(false, ks{rogue}, ks{rogue})
	require.Empty(t, tr.States())
	observe(true, ks{old}, ks{old})
	require.Equal(t, dnssec.KeyValid, state(old))

	observe(true, ks{old, next}, ks{old})
	require.Equal(t, dnssec.KeyPending, state(next))
	now = now.Add(20 * day)
	observe(true, ks{old}, ks{old}) // gone: the wait begins again
	observe(true, ks{old, next}, ks{old, next})
	now = now.Add(15 * day)
	observe(true, ks{old, next}, ks{old, next})
	require.Equal(t, dnssec.KeyPending, state(next))
	now = now.Add(15 * day)
	observe(false, ks{old, next}, ks{next}) // not yet one to vouch for itself
	observe(true, ks{old, next}, ks{old, next})
	require.Equal(t, dnssec.KeyValid, state(next))

	observe(true, ks{next}, ks{next})
	require.Equal(t, dnssec.KeyMissing, state(old))
	observe(true, ks{old, next}, ks{old})
	require.Equal(t, dnssec.KeyValid, state(old))

	observe(true, ks{old.revoked(), next}, ks{next}) // revoked, but by somebody else
	require.NotEqual(t, dnssec.KeyRevoked, state(old))
	observe(true, ks{old.revoked(), next}, ks{next, old.revoked()})
	require.Equal(t, dnssec.KeyRevoked, state(old))
	observe(false, ks{old, next}, ks{old})
	now = now.Add(60 * day)
	observe(true, ks{old, next}, ks{next})
	require.Equal(t, dnssec.KeyRevoked, state(old), "never again")

	observe(false, ks{next.revoked()}, ks{next.revoked()})
	require.Equal(t, dnssec.KeyRevoked, state(next))
	require.Empty(t, tr.Anchors().String())
}

func TestTrackerRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr, err := dnssec.NewTracker(".", anchors(t, w))
	require.NoError(t, err)
	next, err := tr.Refresh(t.Context(), w, w.Now())
	require.NoError(t, err)
	require.Equal(t, time.Hour, next.Sub(w.Now()), "half the TTL of an hour, but no less than an hour")
	require.Len(t, tr.States(), 1)
	r := &dnssec.Resolver{Exchanger: w, Anchors: tr.Anchors(), Now: w.Now}
	res, err := r.Lookup(context.Background(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, dnssec.Secure, res.Status)
	_, err = tr.Refresh(t.Context(), dnssec.Failover{}, w.Now())
	require.ErrorIs(t, err, dnssec.ErrUpstream)
}

func TestTrackerRefuses(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"a..b", "ca."} {
		_, err := dnssec.NewTracker(zone, dnssec.IANAAnchors())
		require.ErrorIs(t, err, dnssec.ErrAnchors)
	}
	_, err := dnssec.NewTracker(".", nil)
	require.ErrorIs(t, err, dnssec.ErrAnchors)
	const ds = `. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D`
	for _, text := range []string{
		``, `{}`, `[]`, `{"zone":".","initial":"x"}`, `{"zone":"ca.","initial":"` + ds + `"}`,
		`{"zone":".","initial":"` + ds + `","keys":[null]}`,
		`{"zone":".","initial":"` + ds + `","keys":[{"algorithm":8,"public":"AAAA","state":"trusted"}]}`,
		`{"zone":".","initial":"` + ds + `","keys":[{"algorithm":8,"public":"?","state":"valid"}]}`,
	} {
		require.ErrorIs(t, new(dnssec.Tracker).UnmarshalText([]byte(text)), dnssec.ErrAnchors, text)
	}
}
