package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"time"

	"github.com/iotregistry/sdk/internal/rsp/pki"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/registry/eid"
)

// What is in a demonstration card.
const (
	demoRegistry = "iotregistry.example"
	demoHost     = "parkoserv.example"
	demoEID      = "890490320000000000000000000000" // without check digits
	demoYears    = 10
)

// newDemo makes a card up: an eUICC without profiles, and an applet with a key, its
// certificate and CIRA's containers. No registry knows of it, so that it is of use
// for trying how a card is spoken to, and not for connecting anywhere.
func newDemo(q applet.Quirks, now time.Time) (*uicc, error) {
	chip, id, err := demoChip(now)
	if err != nil {
		return nil, err
	}
	objects, err := demoObjects(id, now)
	if err != nil {
		return nil, err
	}
	security, err := applet.New(applet.Config{Quirks: q})
	if err != nil {
		return nil, err
	}
	if err := security.Put(objects...); err != nil {
		return nil, err
	}
	return newUICC(security, chip), nil
}

func demoChip(now time.Time) (*euicc.Chip, eid.ID, error) {
	p, err := pki.New(now.Add(-time.Hour))
	if err != nil {
		return nil, eid.ID{}, err
	}
	id, err := eid.New(demoEID)
	if err != nil {
		return nil, eid.ID{}, err
	}
	leaf, err := p.EUICC(id.String())
	if err != nil {
		return nil, eid.ID{}, err
	}
	chip, err := euicc.NewChip(euicc.ChipConfig{
		EID: id, Certificate: leaf.DER, EUM: p.EUM.DER, Key: leaf.Key, CIs: [][]byte{p.CI.DER},
	})
	return chip, id, err
}

// demoObjects are the containers of a profile of a registry that is forgotten with
// this call.
func demoObjects(id eid.ID, now time.Time) ([]applet.Object, error) {
	var keys [3]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{
		Registry: demoRegistry, RootKey: keys[0], IssuerKey: keys[1], Now: func() time.Time { return now },
	})
	if err != nil {
		return nil, err
	}
	name, end := "1."+id.String()+"."+demoRegistry, now.AddDate(demoYears, 0, 0)
	cert, err := authority.Issue(profile.Request{Name: name, Device: id, PublicKey: keys[2].Public(), NotAfter: end})
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(keys[2])
	if err != nil {
		return nil, err
	}
	return applet.CIRA(&profile.Profile{
		ID: 1, Device: id, Registry: demoRegistry, Name: name, Host: demoHost, Port: 443,
		Certificate: cert, PrivateKey: private, CACertificates: authority.Chain(), NotBefore: now, NotAfter: end,
	}, applet.CIRAOptions{Issuer: keys[1]})
}
