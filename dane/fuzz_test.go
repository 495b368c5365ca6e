package dane_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

// tlsaFromWire cuts data into records: two octets of length, then RDATA. It
// goes through the real wire decoder, as answers do.
func tlsaFromWire(data []byte) (rrs []*dns.TLSA) {
	for len(data) >= 2 && len(rrs) < 300 {
		n := min(int(data[0])<<8|int(data[1]), len(data)-2)
		rdata := data[2 : 2+n]
		data = data[2+n:]
		wire := append([]byte{0, 0, 52, 0, 1, 0, 0, 0, 60, byte(n >> 8), byte(n)}, rdata...)
		if rr, _, err := dns.UnpackRR(wire, 0); err == nil {
			if tlsa, ok := rr.(*dns.TLSA); ok {
				rrs = append(rrs, tlsa)
			}
		}
	}
	return rrs
}

func wireOf(usage, selector, matching byte, data []byte) []byte {
	n := len(data) + 3
	return append([]byte{byte(n >> 8), byte(n), usage, selector, matching}, data...)
}

func FuzzVerifyChain(f *testing.F) {
	w := newWorld(f)
	stock := [][]*x509.Certificate{
		certs(w.leaf, w.sub, w.root), certs(w.leaf), certs(w.leaf, w.sub), certs(w.self), certs(w.self, w.self),
		certs(w.old, w.sub), certs(w.wrongName, w.sub), certs(w.oldLeaf, w.oldSub), certs(w.leaf, w.root),
	}
	for i, p := range []pair{w.leaf, w.sub, w.root, w.self} {
		for u := range byte(4) {
			f.Add(byte(i), []byte{}, wireOf(u, 0, 0, p.cert.Raw))
			f.Add(byte(i), []byte{}, wireOf(u, 1, 0, p.cert.RawSubjectPublicKeyInfo))
			f.Add(byte(i), p.cert.Raw, slices.Concat(wireOf(u, 0, 0, p.cert.Raw), wireOf(3, 1, 1, make([]byte, 32))))
		}
	}
	f.Add(byte(0), []byte{}, []byte{0, 3, 3, 1, 1, 0, 2, 3, 1, 0, 0})
	roots := pool(w.root)
	f.Fuzz(func(t *testing.T, pick byte, der, wire []byte) {
		parsed, err := x509.ParseCertificates(der)
		if err != nil || len(parsed) == 0 {
			parsed = stock[int(pick)%len(stock)]
		}
		rrs := tlsaFromWire(wire)
		for _, opts := range []dane.ChainOptions{
			{Name: host, Now: atEpoch}, {Name: host, Roots: roots, Now: atEpoch, StrictEE: true}, {Name: host, Now: atEpoch, MapPKIX: true},
		} {
			m, err := dane.VerifyChain(parsed, rrs, opts)
			if err != nil {
				var e *dane.Error
				require.True(t, errors.As(err, &e), "%T", err)
				require.Nil(t, m)
				continue
			}
			checkMatch(t, m, parsed, rrs, opts)
		}
		var all []dns.RR
		for _, rr := range rrs {
			all = append(all, rr)
		}
		_ = dane.Lint(".", all, dane.LintOptions{Chain: parsed, Now: atEpoch})
	})
}

// checkMatch holds a match against what package dns computes for the record,
// and against the rules that hold for every match.
func checkMatch(t *testing.T, m *dane.Match, chain []*x509.Certificate, rrs []*dns.TLSA, opts dane.ChainOptions) {
	t.Helper()
	rr := m.Record.(*dns.TLSA)
	require.True(t, slices.Contains(rrs, rr))
	require.Same(t, chain[0], m.Chain[0])
	if m.Certificate != nil {
		require.NoError(t, rr.Verify(m.Certificate))
	} else {
		require.Equal(t, [3]uint8{2, 1, 0}, [3]uint8{rr.Usage | 2, rr.Selector, rr.MatchingType})
	}
	switch rr.Usage {
	case dane.UsageDANEEE, dane.UsagePKIXEE:
		require.Zero(t, m.Depth)
	case dane.UsageDANETA:
		require.Positive(t, m.Depth)
	}
	if rr.Usage != dane.UsageDANEEE || opts.StrictEE {
		require.NoError(t, chain[0].VerifyHostname(host))
		require.False(t, epoch.Before(chain[0].NotBefore) || epoch.After(chain[0].NotAfter))
	}
}

func FuzzVerifyCERT(f *testing.F) {
	leaf := mint(f, pair{}, names(device))
	good := append([]byte{0, 1, 0, 0, 0}, leaf.cert.Raw...)
	f.Add(good, false)
	f.Add(append([]byte{0, 4, 0, 0, 0}, "https://a"...), true)
	f.Add([]byte{0, 1, 0, 0}, true)
	f.Fuzz(func(t *testing.T, rdata []byte, hash bool) {
		if len(rdata) > 65000 {
			return
		}
		wire := append([]byte{0, 0, 37, 0, 1, 0, 0, 0, 60, byte(len(rdata) >> 8), byte(len(rdata))}, rdata...)
		rr, _, err := dns.UnpackRR(wire, 0)
		if err != nil {
			return
		}
		cert, ok := rr.(*dns.CERT)
		if !ok {
			return
		}
		_, err = dane.VerifyCERT(leaf.cert, []*dns.CERT{cert}, dane.CERTOptions{Name: device, Now: atEpoch, AllowHash: hash})
		same := len(rdata) > 5 && rdata[0] == 0 && rdata[1] == 1 && bytes.Equal(rdata[5:], leaf.cert.Raw)
		if same {
			require.NoError(t, err)
		} else if len(rdata) != 5+32 {
			require.Error(t, err)
		}
		_ = dane.Lint(device, []dns.RR{cert}, dane.LintOptions{Zone: "iotregistry.ca", Now: atEpoch})
	})
}
