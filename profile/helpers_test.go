package profile_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	zone = "iotregistry.ca"
	name = "11.1000000000000001.iotregistry.ca"
)

var deviceID = eid.MustParse("1000000000000001")

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func agreementKey(t testing.TB) hpke.PrivateKey {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	k, err := hpke.NewDHKEMPrivateKey(key)
	require.NoError(t, err)
	return k
}

func newAuthority(t testing.TB) *profile.Authority {
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: ecKey(t), IssuerKey: ecKey(t)})
	require.NoError(t, err)
	return a
}

// newProfile returns a complete profile of a's with a key made for it.
func newProfile(t testing.TB, a *profile.Authority) *profile.Profile {
	key := ecKey(t)
	return profileFor(t, a, key.Public(), key)
}

func profileFor(t testing.TB, a *profile.Authority, pub crypto.PublicKey, key any) *profile.Profile {
	now := time.Now().UTC().Truncate(time.Second)
	der, err := a.Issue(profile.Request{Name: name, Device: deviceID, PublicKey: pub, NotAfter: now.AddDate(1, 0, 0)})
	require.NoError(t, err)
	p := &profile.Profile{
		ID: 11, Device: deviceID, Registry: zone, Name: name, Host: "parkoserv.ca", Port: 443,
		Certificate: der, CACertificates: a.Chain(), NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
	}
	if key != nil {
		p.PrivateKey, err = x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
	}
	return p
}

// trust accepts seals of a.
func trust(a *profile.Authority) func([]*x509.Certificate) error {
	roots := x509.NewCertPool()
	roots.AddCert(a.Root())
	return profile.TrustRoots(x509.VerifyOptions{Roots: roots})
}

func options(a *profile.Authority) profile.OpenOptions {
	return profile.OpenOptions{Device: deviceID, Registry: zone, Trust: trust(a)}
}
