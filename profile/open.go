package profile

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/iotregistry/sdk/registry/eid"
)

// OpenOptions says what a device accepts. Device, Registry and Trust are
// required.
type OpenOptions struct {
	Device   eid.ID // the device's own ID
	Registry string // the one registry whose profiles this device takes
	After    uint64 // ID of the newest profile installed so far; only greater ones open

	// Trust decides whether chain, the signer's certificates, belongs to the
	// registry: by DNS with (dane.Verifier).Authority, or by [TrustRoots]. It
	// is asked last before decryption. Open itself sees to it that the signer
	// is an authority which its certificate names for the registry's zone, so
	// that devices, whose chains are the registry's too, cannot seal.
	Trust func(chain []*x509.Certificate) error
}

// TrustRoots accepts signers whose certificates chain to opts.Roots, which are
// required, at opts.CurrentTime (zero means now).
func TrustRoots(opts x509.VerifyOptions) func([]*x509.Certificate) error {
	return func(chain []*x509.Certificate) error {
		if opts.Roots == nil || len(chain) == 0 {
			return errors.New("profile: no roots or no certificates to verify")
		}
		opts := opts
		opts.Intermediates = x509.NewCertPool()
		for _, c := range chain[1:] {
			opts.Intermediates.AddCert(c)
		}
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		_, err := chain[0].Verify(opts)
		return err
	}
}

// Open checks everything about the seal, what costs least first, opens it with
// the eUICC's key and returns the profile. It judges no validity period but
// what Trust does: a device may not know the time yet.
func (s *Sealed) Open(key hpke.PrivateKey, o OpenOptions) (*Profile, error) {
	bad := func(err error) (*Profile, error) {
		return nil, fmt.Errorf("profile: open %d: %w", s.binding.ProfileID, err)
	}
	switch {
	case key == nil || o.Device.IsZero() || o.Registry == "" || o.Trust == nil:
		return nil, fmt.Errorf("profile: open: %w: a key, Device, Registry and Trust are required", ErrInvalid)
	case s.binding.Device != o.Device:
		return bad(ErrDevice)
	case s.binding.Registry != o.Registry:
		return bad(ErrRegistry)
	case s.binding.ProfileID <= o.After:
		return bad(ErrReplayed)
	case s.kem != key.KEM().ID():
		return bad(fmt.Errorf("%w: it is sealed to a key of KEM %04x", ErrOpen, s.kem))
	case !speaksFor(s.chain[0], o.Registry):
		return bad(fmt.Errorf("%w: it is no authority of %s", ErrUntrusted, o.Registry))
	case !s.verify():
		return bad(ErrSignature)
	}
	if err := o.Trust(s.Chain()); err != nil {
		return bad(fmt.Errorf("%w: %w", ErrUntrusted, err))
	}
	plain, err := s.decrypt(key)
	if err != nil {
		return bad(err)
	}
	defer clear(plain)
	p, err := Decode(plain)
	if err != nil {
		return bad(err)
	}
	if p.Binding() != s.binding {
		return bad(fmt.Errorf("%w: the profile inside is another one", ErrMalformed))
	}
	return p, nil
}

// speaksFor reports whether cert may seal in a registry's name. That it chains
// to the registry's root is not enough, because every device's certificate
// does: a device could then seal profiles for all others. The seal is reserved
// to an authority that the level above has named for this registry's zone.
func speaksFor(cert *x509.Certificate, registry string) bool {
	return cert.BasicConstraintsValid && cert.IsCA &&
		cert.KeyUsage&x509.KeyUsageDigitalSignature != 0 && hasName(cert, registry)
}

func (s *Sealed) verify() bool {
	switch pub := s.chain[0].PublicKey.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(pub, s.signed, s.signature)
	case *ecdsa.PublicKey:
		h := sha256.Sum256(s.signed)
		return pub.Curve == elliptic.P256() && ecdsa.VerifyASN1(pub, h[:], s.signature)
	}
	return false
}

func (s *Sealed) decrypt(key hpke.PrivateKey) ([]byte, error) {
	kdf, err := hpke.NewKDF(s.kdf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	aead, err := hpke.NewAEAD(s.aead)
	if err != nil || aead.ID() == hpke.ExportOnly().ID() {
		return nil, fmt.Errorf("%w: no such AEAD", ErrOpen)
	}
	r, err := hpke.NewRecipient(s.enc, key, kdf, aead, info(s.header))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	plain, err := r.Open(nil, s.ct)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return plain, nil
}
