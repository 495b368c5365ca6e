package publish_test

import (
	"crypto/rsa"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// TestSignatureCounts holds the price list: one signature per changed RRset
// when publishing, each denial once.
func TestSignatureCounts(t *testing.T) {
	t.Parallel()
	s := brokenSigner{p256(t), new(atomic.Bool), new(atomic.Int64)}
	now := epoch
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: "iotregistry.ca.", Keys: []publish.Key{{Signer: s, Flags: publish.KSK, Algorithm: 13}},
		Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	a := publish.NewAuthority(z)
	made := func() int64 { return s.count.Swap(0) }
	var add []dns.RR
	for i := range 100 {
		add = append(add, certRR(i))
	}
	publishSet := func(c publish.ChangeSet) int64 {
		_, err := z.Publish(t.Context(), c)
		require.NoError(t, err)
		return made()
	}
	query := func(name string, qtype uint16) int64 {
		_, err := a.Exchange(t.Context(), new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true))
		require.NoError(t, err)
		return made()
	}
	absent := "99.10000000000000000000000000000000.iotregistry.ca."
	require.EqualValues(t, 100, publishSet(publish.ChangeSet{Add: add}))
	require.EqualValues(t, 0, publishSet(publish.ChangeSet{Add: add}), "again")
	require.EqualValues(t, 0, query(deviceName(5), dns.TypeCERT))
	require.EqualValues(t, 2, query(absent, dns.TypeCERT), "SOA and NSEC")
	require.EqualValues(t, 0, query(absent, dns.TypeCERT))
	require.EqualValues(t, 1, publishSet(publish.ChangeSet{Add: []dns.RR{certRR(200)}}))
	require.EqualValues(t, 1, query(absent, dns.TypeCERT), "the SOA, the NSEC is still true")
	require.EqualValues(t, 0, publishSet(publish.ChangeSet{RemoveNames: []string{deviceName(5)}}))
	require.EqualValues(t, 2, query(deviceName(5), dns.TypeCERT), "SOA, and NSEC of the name before")
	now = now.Add(9 * 24 * time.Hour)
	require.EqualValues(t, 0, query(deviceName(6), dns.TypeCERT), "not due yet")
	now = now.Add(2 * 24 * time.Hour)
	require.EqualValues(t, 1, query(deviceName(6), dns.TypeCERT), "a quarter left")
	require.EqualValues(t, 0, query(deviceName(6), dns.TypeCERT))
	now = now.Add(100 * 24 * time.Hour)
	require.EqualValues(t, 1, query(deviceName(7), dns.TypeCERT), "expired")
	now = epoch.Add(-time.Hour * 2)
	require.EqualValues(t, 1, query(deviceName(7), dns.TypeCERT), "the clock went back")
}

func TestJitterSpreadsExpiry(t *testing.T) {
	t.Parallel()
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: "iotregistry.ca.", Keys: keys15(), Now: func() time.Time { return epoch },
		Validity: 10 * 24 * time.Hour, Jitter: 24 * time.Hour, Inception: 2 * time.Hour,
	})
	require.NoError(t, err)
	var add []dns.RR
	for i := range 50 {
		add = append(add, certRR(i))
	}
	_, err = z.Publish(t.Context(), publish.ChangeSet{Add: add})
	require.NoError(t, err)
	seen := map[uint32]bool{}
	for line := range strings.Lines(text(t, z)) {
		rr, err := dns.NewRR(line)
		require.NoError(t, err)
		if sig, ok := rr.(*dns.RRSIG); ok {
			seen[sig.Expiration] = true
			require.EqualValues(t, epoch.Add(-2*time.Hour).Unix(), sig.Inception)
			require.LessOrEqual(t, int64(sig.Expiration), epoch.Add(10*24*time.Hour).Unix())
			require.Greater(t, int64(sig.Expiration), epoch.Add(9*24*time.Hour).Unix())
		}
	}
	require.Greater(t, len(seen), 50)
}

func TestNewZoneRefuses(t *testing.T) {
	t.Parallel()
	key := p256(t)
	for rule, cfg := range map[string]publish.ZoneConfig{
		"no origin":        {},
		"bad origin":       {Origin: "a..b"},
		"wildcard":         {Origin: "*.ca."},
		"bad NS":           {Origin: "ca.", NS: []string{"a..b"}},
		"bad Mbox":         {Origin: "ca.", Mbox: "a..b"},
		"no signer":        {Origin: "ca.", Keys: []publish.Key{{Flags: 257, Algorithm: 13}}},
		"bad flags":        {Origin: "ca.", Keys: []publish.Key{{Signer: key, Algorithm: 13}}},
		"wrong curve":      {Origin: "ca.", Keys: []publish.Key{{Signer: key, Flags: 257, Algorithm: 14}}},
		"wrong kind":       {Origin: "ca.", Keys: []publish.Key{{Signer: key, Flags: 257, Algorithm: 15}}},
		"not RSA":          {Origin: "ca.", Keys: []publish.Key{{Signer: key, Flags: 257, Algorithm: 8}}},
		"RSA with SHA-1":   {Origin: "ca.", Keys: []publish.Key{{Signer: key, Flags: 257, Algorithm: 5}}},
		"same key twice":   {Origin: "ca.", Keys: append(keys15()[:1], keys15()[:1]...)},
		"short validity":   {Origin: "ca.", Validity: time.Second},
		"jitter too large": {Origin: "ca.", Jitter: 400 * time.Hour},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := publish.NewZone(cfg)
			require.ErrorContains(t, err, "publish: ")
		})
	}
}

func TestDS(t *testing.T) {
	t.Parallel()
	z := newZone(t, "ca.", keys13(t))
	for _, digest := range []uint8{dns.SHA256, dns.SHA384} {
		ds, err := z.DS(digest)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, z.DNSKEY()[0].ToDS(digest), ds[0])
	}
	for _, digest := range []uint8{0, dns.SHA1, 3} {
		_, err := z.DS(digest)
		require.Error(t, err)
	}
	_, err := newZone(t, "ca.", nil).DS(dns.SHA256)
	require.ErrorContains(t, err, "not signed")
}

// TestAlgorithms signs a zone with every algorithm, alone and in pairs.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(cryptoRand, 2048)
	require.NoError(t, err)
	for rule, keys := range map[string][]publish.Key{
		"8":         {{Signer: rsaKey, Flags: publish.KSK, Algorithm: 8}},
		"10":        {{Signer: rsaKey, Flags: publish.KSK, Algorithm: 10}},
		"13":        keys13(t),
		"14":        {{Signer: p384(t), Flags: publish.KSK, Algorithm: 14}, {Signer: p384(t), Flags: publish.ZSK, Algorithm: 14}},
		"15":        keys15(),
		"13 and 15": append(keys13(t), keys15()...),
		"two ZSKs":  append(keys13(t), keys13(t)[1]),
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			z := newZone(t, "ca.", keys, "a.ca. A 192.0.2.1", "a.ca. A 192.0.2.2")
			sets, sigs := rrsets(parse(t, slices.Collect(strings.Lines(text(t, z)))...))
			for id, set := range sets {
				seen := map[uint8]bool{}
				for _, sig := range sigs[id] {
					key := z.DNSKEY()[slices.IndexFunc(z.DNSKEY(), func(k *dns.DNSKEY) bool { return k.KeyTag() == sig.KeyTag })]
					require.NoError(t, sig.Verify(key, set), id)
					seen[sig.Algorithm] = true
				}
				for _, k := range keys {
					require.True(t, seen[k.Algorithm], "%s lacks algorithm %d (RFC 4035 s2.2)", id, k.Algorithm)
				}
			}
		})
	}
}
