package dane_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

// TestNewCERTKeyTag compares with the tag that package dns computes for the
// same key as a DNSKEY.
func TestNewCERTKeyTag(t *testing.T) {
	t.Parallel()
	ec := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		require.NoError(t, err)
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		key  crypto.Signer
		alg  uint8
	}{
		{"P-256", ec(elliptic.P256()), dns.ECDSAP256SHA256},
		{"P-384", ec(elliptic.P384()), dns.ECDSAP384SHA384},
		{"P-521", ec(elliptic.P521()), 0},
		{"Ed25519", ed, dns.ED25519},
		{"RSA-2048", rsa2048, dns.RSASHA256},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mintWith(t, pair{}, tt.key, names("11.1.iotregistry.ca"))
			rr, err := dane.NewCERT("11.1.IoTregistry.ca", 3600, p.cert)
			require.NoError(t, err)
			require.Equal(t, "11.1.iotregistry.ca.", rr.Hdr.Name)
			require.Equal(t, uint32(3600), rr.Hdr.Ttl)
			require.EqualValues(t, dns.CertPKIX, rr.Type)
			require.Equal(t, tt.alg, rr.Algorithm)
			require.Equal(t, base64.StdEncoding.EncodeToString(p.cert.Raw), rr.Certificate)
			if tt.alg == 0 {
				require.Zero(t, rr.KeyTag)
				return
			}
			key := &dns.DNSKEY{Flags: 0, Protocol: 3, Algorithm: tt.alg, PublicKey: dnskey(t, tt.key.Public())}
			require.Equal(t, key.KeyTag(), rr.KeyTag)

			// The record survives the wire and the zone file.
			again, err := dns.NewRR(rr.String())
			require.NoError(t, err)
			require.True(t, dns.IsDuplicate(rr, again))
		})
	}
	big := mintWith(t, pair{}, rsaKey(t), names("a.b"))
	rr, err := dane.NewCERT("a.b", 1, big.cert)
	require.NoError(t, err)
	require.Zero(t, rr.KeyTag)
	require.Zero(t, rr.Algorithm)
}

// rsaKey returns a key that is larger than DNSSEC allows, 4104 bits, made of
// many small primes because that is quick; it signs nothing of worth.
func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	//lint:ignore SA1019 two primes of that size take seconds
	k, err := rsa.GenerateMultiPrimeKey(rand.Reader, 12, 4104)
	require.NoError(t, err)
	return k
}

// dnskey encodes a key with code that is not ours.
func dnskey(t *testing.T, pub crypto.PublicKey) string {
	t.Helper()
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		b, err := k.Bytes()
		require.NoError(t, err)
		return base64.StdEncoding.EncodeToString(b[1:])
	case ed25519.PublicKey:
		return base64.StdEncoding.EncodeToString(k)
	case *rsa.PublicKey: // exponent 65537
		return base64.StdEncoding.EncodeToString(append([]byte{3, 1, 0, 1}, k.N.Bytes()...))
	}
	t.Fatalf("no DNSKEY form for %T", pub)
	return ""
}

func TestNewTLSA(t *testing.T) {
	t.Parallel()
	p := mint(t, pair{}, names(host))
	for s := range uint8(2) {
		for m := range uint8(3) {
			rr, err := dane.NewTLSA("_443._tcp.parkoserv.ca.", 60, 3, s, m, p.cert)
			require.NoError(t, err)
			want := new(dns.TLSA)
			require.NoError(t, want.Sign(3, int(s), int(m), p.cert))
			require.Equal(t, want.Certificate, rr.Certificate)
			require.Equal(t, "_443._tcp.parkoserv.ca.", rr.Hdr.Name)
		}
	}
	for _, bad := range [][3]uint8{{4, 0, 0}, {0, 2, 0}, {0, 0, 3}, {255, 255, 255}} {
		_, err := dane.NewTLSA("a.b", 60, bad[0], bad[1], bad[2], p.cert)
		require.ErrorIs(t, err, dane.ErrInvalid)
	}
	_, err := dane.NewTLSA("a b", 60, 3, 1, 1, p.cert)
	require.ErrorIs(t, err, dane.ErrInvalid)
	_, err = dane.NewTLSA("a.b", 60, 3, 1, 1, nil)
	require.ErrorIs(t, err, dane.ErrInvalid)
	_, err = dane.NewCERT("a.b", 60, &x509.Certificate{})
	require.ErrorIs(t, err, dane.ErrInvalid)
}
