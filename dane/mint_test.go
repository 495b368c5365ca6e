package dane_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

// epoch is "now" in every test that checks dates.
var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func atEpoch() time.Time { return epoch }

var serial atomic.Int64

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (p pair) tls(issuers ...pair) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
	for _, i := range issuers {
		c.Certificate = append(c.Certificate, i.cert.Raw)
	}
	return c
}

// mint issues a certificate; a zero issuer makes it self-signed.
func mint(t testing.TB, issuer pair, mods ...func(*x509.Certificate)) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return mintWith(t, issuer, key, mods...)
}

func mintWith(t testing.TB, issuer pair, key crypto.Signer, mods ...func(*x509.Certificate)) pair {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)),
		NotBefore:    epoch.AddDate(-1, 0, 0),
		NotAfter:     epoch.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	for _, m := range mods {
		m(tmpl)
	}
	parent, signer := tmpl, key
	if issuer.cert != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keys.Store(string(der), key)
	return pair{cert, key}
}

// keys holds the key of every minted certificate, by its DER bytes, for tests
// that have only the certificate.
var keys sync.Map

func subject(cn string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: cn} }
}

func names(n ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = n }
}

func authority(cn string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: cn}
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage = x509.KeyUsageCertSign
	}
}

func dates(from, to time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = epoch.AddDate(-2, 0, 0), epoch.AddDate(0, 0, -1)
}

func usage(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func tlsaFor(t testing.TB, usage, selector, matching uint8, p pair) *dns.TLSA {
	t.Helper()
	rr, err := dane.NewTLSA("_443._tcp.parkoserv.ca", 3600, usage, selector, matching, p.cert)
	require.NoError(t, err)
	return rr
}

func certs(ps ...pair) []*x509.Certificate {
	var out []*x509.Certificate
	for _, p := range ps {
		out = append(out, p.cert)
	}
	return out
}
