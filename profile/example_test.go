package profile_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log"
	"time"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// A registry issues a certificate for a device and seals its profile to the
// eUICC's key; the device opens it.
func Example() {
	id := eid.MustParse("1000000000000001")
	euicc, err := hpke.DHKEM(ecdh.P256()).GenerateKey() // never leaves the eUICC
	if err != nil {
		log.Fatal(err)
	}

	authority, sealed, err := register(id, euicc.PublicKey())
	if err != nil {
		log.Fatal(err)
	}

	s, err := profile.ParseSealed(sealed)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Root())
	options := profile.OpenOptions{
		Device: id, Registry: "iotregistry.ca",
		Trust: profile.TrustRoots(x509.VerifyOptions{Roots: roots}),
	}
	p, err := s.Open(euicc, options)
	fmt.Println(p, err)
	fmt.Println("private key:", p.PrivateKey)

	options.After = p.ID
	_, err = s.Open(euicc, options)
	fmt.Println(err)
	options.Device = eid.MustParse("1000000000000002")
	_, err = s.Open(euicc, options)
	fmt.Println(err)
	// Output:
	// IoT profile 11 of device 1000000000000001 for parkoserv.ca:443 <nil>
	// private key: *****
	// profile: open 11: profile is not newer than the installed one
	// profile: open 11: profile is sealed for another device
}

// register is the registry's part.
func register(id eid.ID, euicc hpke.PublicKey) (*profile.Authority, []byte, error) {
	const zone, name = "iotregistry.ca", "11.1000000000000001.iotregistry.ca"
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	issuerKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: rootKey, IssuerKey: issuerKey})
	if err != nil {
		return nil, nil, err
	}

	deviceKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(deviceKey)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	end := now.AddDate(1, 0, 0)
	cert, err := authority.Issue(profile.Request{Name: name, Device: id, PublicKey: deviceKey.Public(), NotAfter: end})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := authority.Seal(euicc, &profile.Profile{
		ID: 11, Device: id, Registry: zone, Name: name, Host: "parkoserv.ca", Port: 443,
		Certificate: cert, PrivateKey: pkcs8, CACertificates: authority.Chain(),
		NotBefore: now, NotAfter: end,
	})
	return authority, sealed, err
}
