package dane_test

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
)

func BenchmarkVerifyChain(b *testing.B) {
	w := newWorld(b)
	chain := certs(w.leaf, w.sub)
	for _, bb := range []struct {
		name string
		rrs  []*dns.TLSA
	}{
		{"3 1 1", []*dns.TLSA{tlsaFor(b, 3, 1, 1, w.leaf)}},
		{"2 1 1", []*dns.TLSA{tlsaFor(b, 2, 1, 1, w.sub)}},
		{"2 0 0 from DNS", []*dns.TLSA{tlsaFor(b, 2, 0, 0, w.root)}},
		{"2 1 0 from DNS", []*dns.TLSA{tlsaFor(b, 2, 1, 0, w.root)}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := dane.VerifyChain(chain, bb.rrs, dane.ChainOptions{Name: host, Now: atEpoch}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyCERT(b *testing.B) {
	leaf := mint(b, pair{}, names(device))
	rrs := []*dns.CERT{certFor(b, leaf)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dane.VerifyCERT(leaf.cert, rrs, dane.CERTOptions{Name: device, Now: atEpoch}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDevice verifies devices while the zones' keys are cached: the same
// device again, and a new one every time.
func BenchmarkDevice(b *testing.B) {
	w := danetest.NewWorld(b, danetest.Config{})
	leaf := mint(b, pair{}, names(device))
	w.AddCERT(device, leaf.cert.Raw)
	v := verifierOf(b, w)
	_, err := v.Device(b.Context(), device, leaf.cert)
	require.NoError(b, err)
	b.Run("same", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Device(b.Context(), device, leaf.cert); err != nil {
				b.Fatal(err)
			}
		}
	})
	const n = 512
	fleet := make([]pair, n)
	for i := range fleet {
		name := fmt.Sprintf("%d.%d.iotregistry.ca", 20+i, 1000000000000002+i)
		fleet[i] = mint(b, pair{}, names(name))
		w.AddCERT(name, fleet[i].cert.Raw)
	}
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			p := fleet[i%n]
			if _, err := v.Device(b.Context(), p.cert.DNSNames[0], p.cert); err != nil {
				b.Fatal(err)
			}
		}
	})
}
