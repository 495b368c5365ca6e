package mnotest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TLS is what two peers on the loopback interface need for mutual TLS: a
// certificate for either side from one throw-away CA.
type TLS struct {
	Server *tls.Config // for 127.0.0.1 and localhost; demands a client certificate of the CA
	Client *tls.Config // trusts the CA only, presents a client certificate
	CA     *x509.Certificate
}

// NewTLS makes fresh keys and certificates, valid for a day.
func NewTLS(t testing.TB) *TLS {
	t.Helper()
	key := newKey(t)
	ca := newCert(t, &x509.Certificate{Subject: pkix.Name{CommonName: "mnotest CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, key, key)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	leaf := func(name string, usage x509.ExtKeyUsage) tls.Certificate {
		k := newKey(t)
		c := newCert(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
			KeyUsage: x509.KeyUsageDigitalSignature}, ca, k, key)
		return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k, Leaf: c}
	}
	return &TLS{
		CA: ca,
		Server: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{leaf("smdp.example", x509.ExtKeyUsageServerAuth)},
			ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert},
		Client: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{leaf("registry", x509.ExtKeyUsageClientAuth)},
			RootCAs: roots},
	}
}

// Serve starts an HTTPS server over h with the Server side of x and returns its
// base URL; it is closed when the test ends.
func (x *TLS) Serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = x.Server.Clone()
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// HTTP returns a client with the Client side of x; its connections are closed
// when the test ends.
func (x *TLS) HTTP(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: x.Client.Clone(), ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newCert signs tmpl for key; a nil parent makes it self-signed.
func newCert(t testing.TB, tmpl, parent *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
