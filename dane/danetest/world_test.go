package danetest_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

const device = "11.1000000000000001.iotregistry.ca."

type exchanger interface {
	Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error)
}

func ask(t testing.TB, x exchanger, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m, err := x.Exchange(t.Context(), question(name, qtype))
	require.NoError(t, err)
	return m
}

func question(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)
}

// verify checks the answer section by the zone's DNSKEY RRset as served, and
// that by the DS of the parent, up to the world's anchors.
func verify(t testing.TB, w *danetest.World, x exchanger, name string, qtype uint16) error {
	t.Helper()
	set, sig := split(ask(t, x, name, qtype).Answer)
	if sig == nil || len(set) == 0 {
		return fmt.Errorf("%s %s: no signed answer", name, dns.Type(qtype))
	}
	if !strings.EqualFold(set[0].Header().Name, name) || !sig.ValidityPeriod(w.Now()) {
		return fmt.Errorf("%s: wrong owner, or outside validity", sig)
	}
	keys, keySig := split(ask(t, x, sig.SignerName, dns.TypeDNSKEY).Answer)
	if err := verifyWith(sig, set, keys); err != nil || keySig == nil {
		return fmt.Errorf("%s: %v", sig, err)
	}
	if err := verifyWith(keySig, keys, keys); err != nil {
		return err
	}
	for _, ds := range w.DS() {
		if ds.Hdr.Name == sig.SignerName {
			return matchDS(ds, keys)
		}
	}
	if err := verify(t, w, x, sig.SignerName, dns.TypeDS); err != nil {
		return err
	}
	ds, _ := split(ask(t, x, sig.SignerName, dns.TypeDS).Answer)
	return matchDS(ds[0].(*dns.DS), keys)
}

func split(rrs []dns.RR) (set []dns.RR, sig *dns.RRSIG) {
	for _, rr := range rrs {
		if s, ok := rr.(*dns.RRSIG); ok {
			sig = s
		} else {
			set = append(set, rr)
		}
	}
	return set, sig
}

func verifyWith(sig *dns.RRSIG, set, keys []dns.RR) error {
	for _, rr := range keys {
		if key := rr.(*dns.DNSKEY); key.KeyTag() == sig.KeyTag && key.Flags <= publish.KSK {
			return sig.Verify(key, set)
		}
	}
	return fmt.Errorf("no key %d", sig.KeyTag)
}

func matchDS(ds *dns.DS, keys []dns.RR) error {
	for _, rr := range keys {
		if have := rr.(*dns.DNSKEY).ToDS(ds.DigestType); have != nil && strings.EqualFold(have.Digest, ds.Digest) {
			return nil
		}
	}
	return fmt.Errorf("no key for DS %s", ds)
}

func TestWorldIsSignedFromTheRoot(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.AddCERT(device, []byte("certificate"))
	w.AddTLSA("_443._tcp.parkoserv.ca.", 3, 1, 1, make([]byte, 32))
	w.Add("_443._tcp.carparkserv.ca. 300 TLSA 3 1 1 "+strings.Repeat("00", 32), "ca. 60 TXT top")
	for _, x := range []exchanger{w, w.Client()} {
		require.NoError(t, verify(t, w, x, device, dns.TypeCERT))
		require.NoError(t, verify(t, w, x, "_443._tcp.parkoserv.ca.", dns.TypeTLSA))
		require.NoError(t, verify(t, w, x, "_443._tcp.carparkserv.ca.", dns.TypeTLSA))
		require.NoError(t, verify(t, w, x, "ca.", dns.TypeTXT))
	}
	tlsa := ask(t, w, "_443._tcp.parkoserv.ca.", dns.TypeTLSA).Answer[0]
	w.RemoveRR(tlsa)
	require.Empty(t, ask(t, w, "_443._tcp.parkoserv.ca.", dns.TypeTLSA).Answer)
	require.Len(t, w.Keys("IotRegistry.ca"), 2)
	w.Withdraw(device)
	require.Equal(t, dns.RcodeNameError, ask(t, w, device, dns.TypeCERT).Rcode)
	require.Equal(t, "iotregistry.ca.", w.Zone(device).Origin())

	rr, err := dns.NewRR(w.Anchor())
	require.NoError(t, err)
	require.NoError(t, matchDS(rr.(*dns.DS), []dns.RR{w.DNSKEY()[0]}))
	require.Len(t, w.DS(), 1)
}

func TestWorldOfOnesOwn(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{
		Zones: []string{"example", "lab.example"}, Unsigned: []string{"plain.example"}, Islands: []string{"island.example"},
		Start: time.Unix(1_800_000_000, 0),
	})
	w.Add("a.lab.example. 60 A 192.0.2.1", "a.plain.example. 60 A 192.0.2.2", "a.island.example. 60 A 192.0.2.3")
	require.NoError(t, verify(t, w, w, "a.lab.example.", dns.TypeA))
	require.Error(t, verify(t, w, w, "a.plain.example.", dns.TypeA))
	require.Error(t, verify(t, w, w, "a.island.example.", dns.TypeA))
	for _, name := range []string{"plain.example.", "island.example."} {
		m := ask(t, w, name, dns.TypeDS)
		require.Empty(t, m.Answer)
		require.NotEmpty(t, m.Ns)
	}
	require.Equal(t, "example.", w.DS()[0].Hdr.Name)
	require.Equal(t, int64(1_800_000_000), w.Now().Unix())
}

func TestClockKeepsSignaturesFresh(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{Validity: time.Hour})
	w.Add(device + " 60 TXT x")
	for _, step := range []time.Duration{0, 50 * time.Minute, 72 * time.Hour, -100 * time.Hour} {
		w.Advance(step)
		require.NoError(t, verify(t, w, w, device, dns.TypeTXT), "after %v", step)
	}
}

func TestSameKeysMakeTheSameWorld(t *testing.T) {
	t.Parallel()
	keys := func(origin string) []publish.Key {
		seed := make([]byte, ed25519.SeedSize)
		copy(seed, origin)
		return []publish.Key{{Signer: ed25519.NewKeyFromSeed(seed), Flags: publish.KSK, Algorithm: dns.ED25519}}
	}
	a := ask(t, danetest.NewWorld(t, danetest.Config{Keys: keys}), "no.such.name.ca.", dns.TypeA)
	b := ask(t, danetest.NewWorld(t, danetest.Config{Keys: keys}), "no.such.name.ca.", dns.TypeA)
	b.Id = a.Id
	require.Equal(t, a.String(), b.String())
}

// TestFaults checks that no effect leaves a chain that verifies, and that it
// does verify once the fault is gone.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]danetest.Effect{
		"strip RRSIG":      danetest.Strip(),
		"flip signature":   danetest.FlipSignature(),
		"lie":              danetest.Lie(),
		"swap":             danetest.Swap("12.1000000000000002.iotregistry.ca."),
		"expire":           danetest.Expire(),
		"not yet valid":    danetest.NotYetValid(),
		"SERVFAIL":         danetest.ServFail(),
		"bogus signatures": danetest.BogusSignatures(3),
		"KeyTrap":          danetest.KeyTrap(4, 3),
		"mutate":           danetest.Mutate(func(m *dns.Msg) { m.Answer = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := danetest.NewWorld(t, danetest.Config{})
			w.AddCERT(device, []byte("one certificate"))
			w.AddCERT("12.1000000000000002.iotregistry.ca.", []byte("another"))
			for _, x := range []exchanger{w, w.Client()} {
				for _, f := range []danetest.Fault{
					{Name: strings.ToUpper(device), Type: dns.TypeCERT, Effect: effect},
					{Under: "iotregistry.ca", Effect: effect},
					{Effect: effect},
				} {
					remove := w.Inject(f)
					require.Error(t, verify(t, w, x, device, dns.TypeCERT))
					remove()
					require.NoError(t, verify(t, w, x, device, dns.TypeCERT))
				}
			}
		})
	}
}

// TestExpireIsWellSigned: nothing but the time is wrong with such answers.
func TestExpireIsWellSigned(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.Add("*.ca. 60 TXT wild")
	w.Inject(danetest.Fault{Effect: danetest.Expire()})
	for _, name := range []string{"x.ca.", "*.ca."} {
		set, sig := split(ask(t, w, name, dns.TypeTXT).Answer)
		keys, _ := split(ask(t, w, "ca.", dns.TypeDNSKEY).Answer)
		require.NoError(t, verifyWith(sig, set, keys))
		require.False(t, sig.ValidityPeriod(w.Now()))
		require.True(t, sig.ValidityPeriod(w.Now().Add(-2*time.Hour)))
	}
}

func TestKeyTrapCollides(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.AddCERT(device, []byte("certificate"))
	w.Inject(danetest.Fault{Under: "iotregistry.ca.", Effect: danetest.KeyTrap(50, 40)})
	keys, keySig := split(ask(t, w.Client(), "iotregistry.ca.", dns.TypeDNSKEY).Answer)
	require.NoError(t, verifyWith(keySig, keys, keys), "the owner of the zone signs the colliding keys")
	require.NoError(t, verify(t, w, w, "iotregistry.ca.", dns.TypeDS), "the parent is not in the trap")
	answer := ask(t, w.Client(), device, dns.TypeCERT).Answer
	set, sig := split(answer)
	require.Len(t, answer, 1+40)
	matching := 0
	for _, rr := range keys {
		if key := rr.(*dns.DNSKEY); key.KeyTag() == sig.KeyTag {
			matching++
			require.ErrorIs(t, sig.Verify(key, set), dns.ErrSig)
		}
	}
	require.Equal(t, 1+50, matching)
}

func TestFaultTimesAndLog(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.Inject(danetest.Fault{Name: "ca", Times: 2, Effect: danetest.Drop()})
	for range 2 {
		_, err := w.Exchange(t.Context(), question("ca.", dns.TypeSOA))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.Equal(t, dns.RcodeSuccess, ask(t, w, "ca.", dns.TypeSOA).Rcode)
	require.Len(t, w.Queries(), 3)
	require.Empty(t, w.Queries())
}

func TestTruncateSendsClientsToTCP(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.Inject(danetest.Fault{Effect: danetest.Truncate()})
	require.True(t, ask(t, w, "ca.", dns.TypeSOA).Truncated)
	m := ask(t, w.Client(), "ca.", dns.TypeSOA)
	require.False(t, m.Truncated)
	require.NotEmpty(t, m.Answer)
	require.Len(t, w.Queries(), 3)
}

func TestDelayIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := danetest.NewWorld(t, danetest.Config{})
		w.Inject(danetest.Fault{Effect: danetest.Delay(50 * time.Millisecond)})
		start := time.Now()
		ask(t, w, "ca.", dns.TypeSOA)
		require.Equal(t, 50*time.Millisecond, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := w.Exchange(ctx, question("ca.", dns.TypeSOA))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 60*time.Millisecond, time.Since(start))
	})
}

func TestDropOverTheNetwork(t *testing.T) {
	t.Parallel()
	w := danetest.NewWorld(t, danetest.Config{})
	w.Inject(danetest.Fault{Effect: danetest.Drop()})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := w.Client().Exchange(ctx, question("ca.", dns.TypeSOA))
	require.Error(t, err)
}
