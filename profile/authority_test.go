package profile_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

func issue(t testing.TB, a *profile.Authority, deviceName string) *x509.Certificate {
	der, err := a.Issue(profile.Request{Name: deviceName, Device: deviceID, PublicKey: ecKey(t).Public(), NotAfter: time.Now().AddDate(1, 0, 0)})
	require.NoError(t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return c
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	require.Equal(t, zone, a.Registry())
	require.Equal(t, [][]byte{a.Issuer().Raw, a.Root().Raw}, a.Chain())
	c := issue(t, a, name)
	require.Equal(t, []string{name}, c.DNSNames)
	require.Equal(t, name, c.Subject.CommonName)
	require.Equal(t, deviceID.String(), c.Subject.SerialNumber)
	require.Equal(t, 127, c.SerialNumber.BitLen())
	require.Len(t, c.SubjectKeyId, 20)
	require.NotEqual(t, c.SubjectKeyId, issue(t, a, name).SubjectKeyId)
	require.NotEmpty(t, c.AuthorityKeyId)
	require.Equal(t, a.Issuer().SubjectKeyId, c.AuthorityKeyId)
	require.True(t, a.Issuer().MaxPathLenZero && a.Issuer().PermittedDNSDomainsCritical)
	require.Equal(t, []string{zone}, a.Issuer().PermittedDNSDomains)
	require.Equal(t, 1, a.Root().MaxPathLen)
	require.True(t, a.Root().IsCA && a.Issuer().IsCA && !c.IsCA)
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, c.ExtKeyUsage)
	require.NotEqual(t, c.SerialNumber, issue(t, a, name).SerialNumber)

	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.Root())
	inter.AddCert(a.Issuer())
	opts := x509.VerifyOptions{Roots: roots, Intermediates: inter, DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	_, err := c.Verify(opts)
	require.NoError(t, err)
	opts.DNSName = "12." + name[3:]
	_, err = c.Verify(opts)
	require.Error(t, err)

	// A name that does not fit a common name stands in the SAN alone.
	long := "18446744073709551615." + strings.Repeat("8", 32) + "." + zone
	require.Empty(t, issue(t, a, long).Subject.CommonName)
}

// The issuer's key can sign anything, but nobody believes a name elsewhere.
func TestNameConstraintBites(t *testing.T) {
	t.Parallel()
	issuerKey := ecKey(t)
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: issuerKey})
	require.NoError(t, err)
	good := issue(t, a, name)
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.Root())
	inter.AddCert(a.Issuer())
	verify := func(tmpl x509.Certificate) error {
		tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = good.SerialNumber, good.NotBefore, good.NotAfter
		der, err := x509.CreateCertificate(rand.Reader, &tmpl, a.Issuer(), ecKey(t).Public(), issuerKey)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		_, err = c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	require.NoError(t, verify(x509.Certificate{DNSNames: []string{"x." + zone}}))
	require.Error(t, verify(x509.Certificate{DNSNames: []string{"www.bank.example"}}))
	require.Error(t, verify(x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}))
	require.Error(t, verify(x509.Certificate{IPAddresses: []net.IP{net.ParseIP("2001:db8::1")}}))
}

func TestAuthorityRefuses(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	for _, cfg := range []profile.AuthorityConfig{
		{Registry: "not a zone", RootKey: key, IssuerKey: key},
		{Registry: zone, IssuerKey: key},
		{Registry: zone, RootKey: key},
		{Registry: zone, RootKey: key, IssuerKey: key, RootLife: -time.Hour},
		{Registry: zone, RootKey: key, IssuerKey: key, IssuerLife: -time.Hour},
		{Registry: zone, RootKey: key, IssuerKey: key, RootLife: time.Hour, IssuerLife: 2 * time.Hour},
		{Registry: zone, RootKey: key, IssuerKey: p384},
		{Registry: zone, RootKey: key, IssuerKey: key, Rand: strings.NewReader("too short")},
	} {
		_, err := profile.NewAuthority(cfg)
		require.Error(t, err)
		if cfg.Rand == nil {
			require.ErrorIs(t, err, profile.ErrAuthority)
		}
	}
	a := newAuthority(t)
	req := profile.Request{Name: name, Device: deviceID, PublicKey: key.Public(), NotAfter: a.Issuer().NotAfter.Add(time.Second)}
	_, err = a.Issue(req)
	require.ErrorIs(t, err, profile.ErrAuthority, "outlives its issuer")
	for what, end := range map[string]time.Time{"no end": {}, "past": time.Now().Add(-time.Second)} {
		req.NotAfter = end
		_, err = a.Issue(req)
		require.ErrorIs(t, err, profile.ErrAuthority, what)
	}
	for _, bad := range []string{"", zone, "www.bank.example", "11.eviliotregistry.ca", "a b." + zone} {
		_, err := a.Issue(profile.Request{Name: bad, Device: deviceID, PublicKey: key.Public(), NotAfter: time.Now().Add(time.Hour)})
		require.ErrorIs(t, err, profile.ErrAuthority, bad)
	}
	signing, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for what, pub := range map[string]any{
		"none": nil, "no key": "no key", "nil": (*ecdsa.PublicKey)(nil), "empty": new(ecdsa.PublicKey),
		"another curve": p384.Public(), "another algorithm": signing,
	} {
		_, err = a.Issue(profile.Request{Name: name, Device: eid.MustParse("1"), PublicKey: pub, NotAfter: time.Now().Add(time.Hour)})
		require.ErrorIs(t, err, profile.ErrAuthority, what)
	}
}

// Clock and serial numbers are the caller's, also from several goroutines, and
// a zone too long for a common name still makes an authority.
func TestAuthorityIsInjectable(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	zone := strings.Repeat("long.", 12) + zone
	a, err := profile.NewAuthority(profile.AuthorityConfig{
		Registry: zone, RootKey: ecKey(t), IssuerKey: ecKey(t), RootLife: 10 * 365 * 24 * time.Hour,
		Now: func() time.Time { return now }, Rand: mathrand.NewChaCha8([32]byte{}),
	})
	require.NoError(t, err)
	require.Equal(t, now.Add(-time.Hour), a.Root().NotBefore)
	require.Equal(t, a.Root().NotAfter, a.Issuer().NotAfter, "a short root shortens the issuer")
	require.Equal(t, "issuing CA", a.Issuer().Subject.CommonName)
	key := ecKey(t)
	serials := make([]string, 8)
	var wg sync.WaitGroup
	for i := range serials {
		wg.Go(func() {
			der, err := a.Issue(profile.Request{Name: "1.2." + zone, PublicKey: key.Public(), NotAfter: now.Add(time.Hour)})
			if c, parseErr := x509.ParseCertificate(der); err == nil && parseErr == nil {
				serials[i] = c.SerialNumber.String()
				if c.SerialNumber.BitLen() != 127 {
					t.Errorf("serial number of %d bits", c.SerialNumber.BitLen())
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(serials)
	require.NotEmpty(t, serials[0])
	require.Len(t, slices.Compact(serials), 8)
}

func TestLoadAuthority(t *testing.T) {
	t.Parallel()
	issuer := ecKey(t)
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: issuer})
	require.NoError(t, err)
	b, err := profile.LoadAuthority(zone, a.Chain(), issuer)
	require.NoError(t, err)
	require.Equal(t, a.Chain(), b.Chain())
	require.NoError(t, issue(t, b, name).CheckSignatureFrom(a.Issuer()))

	other := newAuthority(t)
	for what, load := range map[string]func() (*profile.Authority, error){
		"another key":  func() (*profile.Authority, error) { return profile.LoadAuthority(zone, a.Chain(), ecKey(t)) },
		"no key":       func() (*profile.Authority, error) { return profile.LoadAuthority(zone, a.Chain(), nil) },
		"another zone": func() (*profile.Authority, error) { return profile.LoadAuthority("b.example", a.Chain(), issuer) },
		"half a chain": func() (*profile.Authority, error) { return profile.LoadAuthority(zone, a.Chain()[:1], issuer) },
		"another chain": func() (*profile.Authority, error) {
			return profile.LoadAuthority(zone, [][]byte{a.Chain()[0], other.Chain()[1]}, issuer)
		},
	} {
		_, err := load()
		require.ErrorIs(t, err, profile.ErrAuthority, what)
	}
	device := ecKey(t)
	leaf := profileFor(t, a, device.Public(), nil).Certificate
	_, err = profile.LoadAuthority(zone, [][]byte{leaf, a.Issuer().Raw}, device)
	require.ErrorIs(t, err, profile.ErrAuthority, "a device")
	_, err = profile.LoadAuthority(zone, [][]byte{{1}, {2}}, issuer)
	require.ErrorIs(t, err, profile.ErrInvalid)
}

func TestOpenSSLAcceptsTheChain(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	a := newAuthority(t)
	dir := t.TempDir()
	write := func(file string, c *x509.Certificate) string {
		path := filepath.Join(dir, file)
		b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		require.NoError(t, os.WriteFile(path, b, 0o600))
		return path
	}
	leaf := write("leaf.pem", issue(t, a, name))
	args := []string{"verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", write("root.pem", a.Root()), "-untrusted", write("issuer.pem", a.Issuer()), leaf}
	out, err := exec.Command("openssl", args...).CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.Command("openssl", "x509", "-in", leaf, "-noout", "-text").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "DNS:"+name)
}

func BenchmarkIssue(b *testing.B) {
	a, key := newAuthority(b), ecKey(b)
	digest := make([]byte, 32)
	b.Run("Issue", func(b *testing.B) {
		for b.Loop() {
			_, _ = a.Issue(profile.Request{Name: name, Device: deviceID, PublicKey: key.Public(), NotAfter: time.Now().Add(time.Hour)})
		}
	})
	b.Run("bare_signature", func(b *testing.B) {
		for b.Loop() {
			_, _ = key.Sign(rand.Reader, digest, nil)
		}
	})
}
