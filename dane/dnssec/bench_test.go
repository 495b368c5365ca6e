package dnssec_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// chain is the three-zone CERT chain: the messages that prove a device
// certificate, without those that proved not to be needed.
func chain(t testing.TB, w *danetest.World) (q dns.Question, msgs []*dns.Msg) {
	t.Helper()
	q = dns.Question{Name: "cert.iotregistry.ca.", Qtype: dns.TypeCERT, Qclass: dns.ClassINET}
	w.AddCERT(q.Name, make([]byte, 647))
	for _, ask := range []dns.Question{
		q, {Name: ".", Qtype: dns.TypeDNSKEY}, {Name: "ca.", Qtype: dns.TypeDS}, {Name: "ca.", Qtype: dns.TypeDNSKEY},
		{Name: "iotregistry.ca.", Qtype: dns.TypeDS}, {Name: "iotregistry.ca.", Qtype: dns.TypeDNSKEY},
	} {
		m := new(dns.Msg).SetQuestion(ask.Name, ask.Qtype)
		m.SetEdns0(1232, true)
		r, err := w.Exchange(t.Context(), m)
		require.NoError(t, err)
		msgs = append(msgs, r)
	}
	return q, msgs
}

// BenchmarkValidateOffline is to be compared with BenchmarkBareSignatures: the
// six signatures of the same chain and nothing else.
func BenchmarkValidateOffline(b *testing.B) {
	w := newWorld(b)
	q, msgs := chain(b, w)
	a := anchors(b, w)
	res := dnssec.Validate(q, a, w.Now(), msgs...)
	require.Equal(b, dnssec.Secure, res.Status, "%v", res.Reason)
	require.Equal(b, 6, res.Verifications)
	b.ReportAllocs()
	for b.Loop() {
		dnssec.Validate(q, a, w.Now(), msgs...)
	}
}

// BenchmarkValidateOfflineWire starts from octets.
func BenchmarkValidateOfflineWire(b *testing.B) {
	w := newWorld(b)
	q, msgs := chain(b, w)
	a := anchors(b, w)
	var wires [][]byte
	for _, m := range msgs {
		wire, err := m.Pack()
		require.NoError(b, err)
		wires = append(wires, wire)
	}
	for b.Loop() {
		list := make([]*dns.Msg, len(wires))
		for i, wire := range wires {
			list[i] = new(dns.Msg)
			if err := list[i].Unpack(wire); err != nil {
				b.Fatal(err)
			}
		}
		dnssec.Validate(q, a, w.Now(), list...)
	}
}

func BenchmarkBareSignatures(b *testing.B) {
	w := newWorld(b)
	_, msgs := chain(b, w)
	type bare struct {
		key    *ecdsa.PublicKey
		digest [32]byte
		r, s   *big.Int
	}
	keys := map[uint16]*dns.DNSKEY{}
	for _, m := range msgs {
		for _, rr := range m.Answer {
			if k, ok := rr.(*dns.DNSKEY); ok {
				keys[k.KeyTag()] = k
			}
		}
	}
	var list []bare
	for _, m := range msgs {
		for _, rr := range m.Answer {
			sig, ok := rr.(*dns.RRSIG)
			if !ok {
				continue
			}
			raw, err := base64.StdEncoding.DecodeString(keys[sig.KeyTag].PublicKey)
			require.NoError(b, err)
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, raw...))
			require.NoError(b, err)
			s, err := base64.StdEncoding.DecodeString(sig.Signature)
			require.NoError(b, err)
			list = append(list, bare{key, sha256.Sum256(s), new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])})
		}
	}
	require.Len(b, list, 6)
	for b.Loop() {
		for _, x := range list {
			ecdsa.Verify(x.key, x.digest[:], x.r, x.s) // right or wrong costs the same
		}
	}
}

func BenchmarkLookupWarm(b *testing.B) {
	w := newWorld(b)
	r := resolver(b, w, w)
	_, err := r.Lookup(context.Background(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		r.Lookup(context.Background(), "dev2.iotregistry.ca.", dns.TypeTXT)
	}
}

func BenchmarkLookupCold(b *testing.B) {
	w := newWorld(b)
	a := anchors(b, w)
	for b.Loop() {
		r := &dnssec.Resolver{Exchanger: w, Anchors: a, Now: w.Now}
		r.Lookup(context.Background(), "dev2.iotregistry.ca.", dns.TypeTXT)
	}
}

// keyTrap returns messages of 64 kB in which the zone's owner lets as many keys
// and signatures collide as fit (CVE-2023-50387).
func keyTrap(t testing.TB, w *danetest.World) (dns.Question, []*dns.Msg) {
	t.Helper()
	chain(t, w)
	w.Inject(danetest.Fault{Under: "iotregistry.ca.", Effect: danetest.KeyTrap(600, 500)})
	q, msgs := chain(t, w)
	for _, m := range msgs {
		wire, err := m.Pack()
		require.NoError(t, err)
		require.LessOrEqual(t, len(wire), 1<<16)
	}
	return q, msgs
}

func BenchmarkKeyTrap(b *testing.B) {
	w := newWorld(b)
	q, msgs := keyTrap(b, w)
	a := anchors(b, w)
	res := dnssec.Validate(q, a, w.Now(), msgs...)
	require.ErrorIs(b, res.Reason, dnssec.ErrLimit)
	var wires [][]byte
	for _, m := range msgs {
		wire, _ := m.Pack()
		wires = append(wires, wire)
	}
	for b.Loop() {
		list := make([]*dns.Msg, len(wires))
		for i, wire := range wires {
			list[i] = new(dns.Msg)
			_ = list[i].Unpack(wire)
		}
		dnssec.Validate(q, a, w.Now(), list...)
	}
}

// A cold look-up takes one round trip, one across zones takes two, and a warm
// one takes one: counted by a simulated clock, with 50 ms a round trip.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	const rtt = 50 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Inject(danetest.Fault{Effect: danetest.Delay(rtt)})
		trips := func(r *dnssec.Resolver, name string, typ uint16, status dnssec.Status) int {
			start := time.Now()
			res, err := r.Lookup(t.Context(), name, typ)
			require.NoError(t, err)
			require.Equal(t, status, res.Status, "%v", res.Reason)
			return int(time.Since(start) / rtt)
		}
		for _, v := range verdicts() {
			r := resolver(t, w, w)
			cold := trips(r, v.name, v.typ, v.status)
			require.LessOrEqual(t, cold, 2, v.name)
			require.LessOrEqual(t, trips(r, v.name, v.typ, v.status), cold, v.name)
		}
		r := resolver(t, w, w)
		require.Equal(t, 1, trips(r, "dev1.iotregistry.ca.", dns.TypeTXT, dnssec.Secure))
		require.Equal(t, 1, trips(r, "dev2.iotregistry.ca.", dns.TypeTXT, dnssec.Secure))
		require.Equal(t, 1, trips(r, "www.parkoserv.ca.", dns.TypeA, dnssec.Secure))
		require.Equal(t, 1, trips(r, "x.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure)-1)
		require.Equal(t, 1, trips(r, "y.plain.iotregistry.ca.", dns.TypeTXT, dnssec.Insecure))
	})
}
