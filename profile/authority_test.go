package profile_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	tmpl := &x509.Certificate{
		SerialNumber: good.SerialNumber, DNSNames: []string{"www.bank.example"},
		NotBefore: good.NotBefore, NotAfter: good.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.Issuer(), ecKey(t).Public(), issuerKey)
	require.NoError(t, err)
	bad, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.Root())
	inter.AddCert(a.Issuer())
	_, err = bad.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	require.Error(t, err)
}

func TestAuthorityRefuses(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	for _, cfg := range []profile.AuthorityConfig{
		{Registry: "not a zone", RootKey: key, IssuerKey: key},
		{Registry: zone, IssuerKey: key},
		{Registry: zone, RootKey: key},
	} {
		_, err := profile.NewAuthority(cfg)
		require.ErrorIs(t, err, profile.ErrAuthority)
	}
	a := newAuthority(t)
	req := profile.Request{Name: name, Device: deviceID, PublicKey: key.Public(), NotAfter: a.Issuer().NotAfter.Add(time.Second)}
	_, err := a.Issue(req)
	require.ErrorIs(t, err, profile.ErrAuthority, "outlives its issuer")
	for _, bad := range []string{"", zone, "www.bank.example", "11.eviliotregistry.ca", "a b." + zone} {
		_, err := a.Issue(profile.Request{Name: bad, Device: deviceID, PublicKey: key.Public(), NotAfter: time.Now().Add(time.Hour)})
		require.ErrorIs(t, err, profile.ErrAuthority, bad)
	}
	_, err = a.Issue(profile.Request{Name: name, Device: eid.MustParse("1"), PublicKey: "no key", NotAfter: time.Now().Add(time.Hour)})
	require.Error(t, err)
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
