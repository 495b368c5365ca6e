package publish_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// epoch is the time at which the tests' zones live.
var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func keys13(t testing.TB) []publish.Key {
	return []publish.Key{
		{Signer: p256(t), Flags: publish.KSK, Algorithm: dns.ECDSAP256SHA256},
		{Signer: p256(t), Flags: publish.ZSK, Algorithm: dns.ECDSAP256SHA256},
	}
}

// keys15 are Ed25519 keys from fixed seeds: their signatures never change.
func keys15() []publish.Key {
	seed := func(c string) crypto.Signer {
		return ed25519.NewKeyFromSeed([]byte(strings.Repeat(c, ed25519.SeedSize)))
	}
	return []publish.Key{
		{Signer: seed("k"), Flags: publish.KSK, Algorithm: dns.ED25519},
		{Signer: seed("z"), Flags: publish.ZSK, Algorithm: dns.ED25519},
	}
}

func newZone(t testing.TB, origin string, keys []publish.Key, records ...string) *publish.Zone {
	t.Helper()
	z, err := publish.NewZone(publish.ZoneConfig{
		Origin: origin, Keys: keys, Serial: 1, Now: func() time.Time { return epoch },
	})
	require.NoError(t, err)
	if len(records) > 0 {
		_, err = z.Publish(t.Context(), publish.ChangeSet{Add: parse(t, records...)})
		require.NoError(t, err)
	}
	return z
}

func parse(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	var all []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		require.NoError(t, err, line)
		all = append(all, rr)
	}
	return all
}

// deviceName is the name of a device's records, as the registry makes it.
func deviceName(i int) string {
	return fmt.Sprintf("%d.890490320012345678%014d.iotregistry.ca.", 11+i%5, i)
}

func certRR(i int) dns.RR {
	der := make([]byte, 440)
	for j := range der {
		der[j] = byte(i + j*7)
	}
	return certOf(deviceName(i), der)
}

var cryptoRand = rand.Reader

func p384(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	return key
}

// network asks a server by UDP, and by TCP after truncation.
type network struct{ addr string }

func (n network) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	for _, transport := range []string{"udp", "tcp"} {
		c := dns.Client{Net: transport, Timeout: 5 * time.Second}
		m, _, err := c.ExchangeContext(ctx, q, n.addr)
		if err != nil || !m.Truncated {
			return m, err
		}
	}
	return nil, errors.New("truncated over TCP")
}
