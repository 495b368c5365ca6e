package applet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/iotsafe"
	"github.com/iotregistry/sdk/profile"
)

// ErrProfile is wrapped by errors about an IoT profile that cannot be laid out as
// asked.
var ErrProfile = errors.New("applet: the IoT profile does not fit the containers")

// CIRAOptions are what [CIRA] needs beyond the profile.
type CIRAOptions struct {
	// Issuer is the key of the registry's issuer, which signs containers 9 and 10;
	// nil leaves them out, and their absence is for the device to judge.
	Issuer crypto.Signer

	// Card is where the objects are going to. A profile without a private key needs
	// it: the card's own is used then.
	Card *Applet

	Random io.Reader // handed to Issuer; nil: the system's
}

// CIRA lays an IoT profile out as CIRA's prototype of 2020 has it, for
// [Applet.Put] or, on a card that is in use, [Applet.Update]. The IDs have one
// byte each:
//
//	1  private key of the device, and its public key
//	2  certificate of the device
//	3  certificate of the provider's CA, if the profile has one
//	4  ephemeral key pair, volatile
//	5  ephemeral public key of a peer, volatile
//	6  certificate of the registry's root
//	7  certificate of the registry's issuer
//	8  the provider's endpoint, JSON: {"url":"parkoserv.ca","port":443}
//	9  DER ECDSA signature with SHA-256 by the issuer over the bytes of 8
//	10 the same over the bytes of 3
//
// What the profile does not have is a [Removal], so that nothing of an older one
// stays. The private key of a profile without one stays as it is; it must be the
// certificate's. Errors wrap [ErrProfile].
func CIRA(p *profile.Profile, o CIRAOptions) ([]Object, error) {
	leaf, err := p.Leaf()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	public, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: the device's key is not ECDSA", ErrProfile)
	}
	objects := []Object{
		PublicKey{ID: ciraID(iotsafe.CIRAPrivateKey), Key: public, Access: AccessRead},
		PrivateKey{ID: ciraID(iotsafe.CIRAEphemeral), Volatile: true},
		PublicKey{ID: ciraID(iotsafe.CIRAEphemeral), Volatile: true, Access: AccessRead},
		PublicKey{ID: ciraID(iotsafe.CIRAPeer), Volatile: true},
	}
	key, err := ciraKey(p, public, o.Card)
	if err != nil {
		return nil, err
	}
	if key != nil {
		objects = append(objects, key)
	}
	files, err := ciraFiles(p, o)
	if err != nil {
		return nil, err
	}
	return append(objects, files...), nil
}

func ciraID(n byte) []byte { return []byte{n} }

// ciraKey returns container 1, nil where the card's stays.
func ciraKey(p *profile.Profile, public *ecdsa.PublicKey, card *Applet) (Object, error) {
	id := ciraID(iotsafe.CIRAPrivateKey)
	if len(p.PrivateKey) == 0 {
		if card == nil {
			return nil, fmt.Errorf("%w: it has no private key; give the Card that made one", ErrProfile)
		}
		card.mu.Lock()
		defer card.mu.Unlock()
		switch o := card.private(card.cfg.Quirks.pad(id)); {
		case o == nil || o.public == nil:
			return nil, fmt.Errorf("%w: it has no private key and neither has container 1; have the card make it by GenerateKey", ErrProfile)
		case !o.public.Equal(public):
			return nil, fmt.Errorf("%w: the key in container 1 is not the certificate's", ErrProfile)
		}
		return nil, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(p.PrivateKey.Reveal())
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: the private key is not ECDSA in PKCS #8", ErrProfile)
	}
	if !key.PublicKey.Equal(public) {
		return nil, fmt.Errorf("%w: the private key is not the certificate's", ErrProfile)
	}
	return PrivateKey{ID: id, Key: key}, nil
}

// ciraFiles returns containers 2, 3 and 6 to 10.
func ciraFiles(p *profile.Profile, o CIRAOptions) ([]Object, error) {
	n := len(p.CACertificates)
	switch {
	case n == 0 || n > 2:
		return nil, fmt.Errorf("%w: it has %d certificates of the registry; there is room for issuer and root", ErrProfile, n)
	case len(p.ASPCertificates) > 1:
		return nil, fmt.Errorf("%w: it has %d certificates of the provider; there is room for one", ErrProfile, len(p.ASPCertificates))
	}
	endpoint, err := json.Marshal(struct {
		URL  string `json:"url"`
		Port uint16 `json:"port"`
	}{p.Host, p.Port})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	var asp, endpointSigned, aspSigned []byte
	if len(p.ASPCertificates) == 1 {
		asp = p.ASPCertificates[0]
	}
	if o.Issuer != nil {
		sign, err := issuerOf(p, o)
		if err != nil {
			return nil, err
		}
		if endpointSigned, err = sign(endpoint); err != nil {
			return nil, err
		}
		if aspSigned, err = sign(asp); err != nil {
			return nil, err
		}
	}
	return []Object{
		ciraFile(iotsafe.CIRACertificate, p.Certificate, UsageCertificate),
		ciraFile(iotsafe.CIRAASP, asp, UsageCertificate),
		ciraFile(iotsafe.CIRARoot, p.CACertificates[n-1], UsageCertificate),
		ciraFile(iotsafe.CIRASub, p.CACertificates[0], UsageCertificate),
		ciraFile(iotsafe.CIRAEndpoint, endpoint, UsageGeneral),
		ciraFile(iotsafe.CIRAEndpointSigned, endpointSigned, UsageGeneral),
		ciraFile(iotsafe.CIRAASPSigned, aspSigned, UsageGeneral),
	}, nil
}

func ciraFile(id byte, data []byte, usage Usage) Object {
	f := File{ID: ciraID(id), Data: data, Usage: usage}
	if len(data) == 0 {
		return Removal{Object: f}
	}
	return f
}

// issuerOf returns what signs with the issuer's key; what is not there it leaves
// so.
func issuerOf(p *profile.Profile, o CIRAOptions) (func([]byte) ([]byte, error), error) {
	issuer, err := x509.ParseCertificate(p.CACertificates[0])
	if err != nil {
		return nil, fmt.Errorf("%w: issuer: %w", ErrProfile, err)
	}
	public, ok := o.Issuer.Public().(*ecdsa.PublicKey)
	if !ok || !public.Equal(issuer.PublicKey) {
		return nil, fmt.Errorf("%w: Issuer is not the ECDSA key of the registry's issuer", ErrProfile)
	}
	random := o.Random
	if random == nil {
		random = rand.Reader
	}
	return func(text []byte) ([]byte, error) {
		if len(text) == 0 {
			return nil, nil
		}
		sum := sha256.Sum256(text)
		b, err := o.Issuer.Sign(random, sum[:], crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("applet: sign a container: %w", err)
		}
		return b, nil
	}, nil
}
