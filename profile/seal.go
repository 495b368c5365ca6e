package profile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"

	"github.com/iotregistry/sdk/registry/eid"
)

// Why a sealed profile is not opened. Errors of ParseSealed and Open wrap one.
var (
	ErrMalformed = errors.New("not a sealed profile")
	ErrDevice    = errors.New("profile is sealed for another device")
	ErrRegistry  = errors.New("profile is of another registry")
	ErrReplayed  = errors.New("profile is not newer than the installed one")
	ErrUntrusted = errors.New("signer of the seal is not trusted")
	ErrSignature = errors.New("signature of the seal is wrong")
	ErrOpen      = errors.New("seal does not open with this key")
)

// Binding is what a seal ties a profile to. It stands in clear, so that those
// who carry the profile know for whom it is, and changing it breaks the seal.
type Binding struct {
	Device    eid.ID
	ProfileID uint64
	Registry  string
}

// Signer signs seals in a registry's name. Its certificate must be an
// authority's that names the registry's zone, as an [Authority]'s issuer does.
type Signer struct {
	Key   crypto.Signer // P-256 or Ed25519
	Chain [][]byte      // its certificate and those above it, DER
	Rand  io.Reader     // handed to Key; nil means crypto/rand.Reader
}

// The sealed form, all integers big-endian:
//
//	header    "IoTS" version(1)=1 kem(2) kdf(2) aead(2)
//	          profileID(8) len(1) device len(1) registry
//	chain     count(1) { len(2) certificate }
//	sealed    len(2) enc  len(4) ciphertext
//	signature len(2) signature over all bytes before this length
//
// The header is the info of HPKE, so the recipient's keys exist for this
// binding only (RFC 9180 section 5.1). An ECDSA signature is ASN.1 over the
// SHA-256 of the bytes; Ed25519 signs the bytes.
const (
	magic       = "IoTS"
	version     = 1
	maxChain    = 4
	maxChainLen = 16 << 10
	infoLabel   = "iot-registry sealed profile\x00"
)

// MaxSealed is the most bytes a sealed profile can have.
const MaxSealed = MaxEncoded + maxChainLen + 8<<10

// The KDF and AEAD of every suite we seal with; the KEM is the key's.
var (
	sealKDF  = hpke.HKDFSHA256
	sealAEAD = hpke.AES128GCM
)

// Seal encrypts p to an eUICC's key and signs the result. The KEM is the key's
// own: DHKEM with P-256 or X25519, or an ML-KEM hybrid; the rest of the suite
// is HKDF-SHA256 and AES-128-GCM. A signer that no device would believe is
// refused with ErrAuthority.
func Seal(to hpke.PublicKey, p *Profile, s Signer) ([]byte, error) {
	if err := checkKey(s.Key); err != nil {
		return nil, err
	}
	if n := len(s.Chain); n == 0 || n > maxChain || len(bytes.Join(s.Chain, nil)) > maxChainLen {
		return nil, fmt.Errorf("profile: seal: %w: the signer's chain must have 1 to %d certificates", ErrAuthority, maxChain)
	}
	cert, err := x509.ParseCertificate(s.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w: the signer's certificate: %w", ErrAuthority, err)
	}
	if err := checkIssuer(cert, s.Key, p.Registry); err != nil {
		return nil, err
	}
	return s.seal(to, p)
}

// seal does what Seal does for a signer that has been checked.
func (s Signer) seal(to hpke.PublicKey, p *Profile) ([]byte, error) {
	plain, err := p.Encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	kdf, aead := sealKDF(), sealAEAD()
	header, err := appendHeader(make([]byte, 0, len(plain)+4<<10), to.KEM().ID(), kdf.ID(), aead.ID(), p.Binding())
	if err != nil {
		return nil, err
	}
	enc, sender, err := hpke.NewSender(to, kdf, aead, info(header))
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	ct, err := sender.Seal(nil, plain)
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	msg, err := appendBody(header, s.Chain, enc, ct)
	if err != nil {
		return nil, err
	}
	sig, err := s.sign(msg)
	if err != nil {
		return nil, err
	}
	return appendSignature(msg, sig)
}

func appendHeader(to []byte, kem, kdf, aead uint16, bind Binding) ([]byte, error) {
	b := cryptobyte.NewBuilder(to)
	b.AddBytes([]byte(magic))
	b.AddUint8(version)
	b.AddUint16(kem)
	b.AddUint16(kdf)
	b.AddUint16(aead)
	b.AddUint64(bind.ProfileID)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(bind.Device.String())) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(bind.Registry)) })
	return b.Bytes()
}

func appendBody(to []byte, chain [][]byte, enc, ct []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(to)
	b.AddUint8(uint8(len(chain)))
	for _, der := range chain {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(enc) })
	b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ct) })
	return b.Bytes()
}

func appendSignature(to, sig []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(to)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sig) })
	return b.Bytes()
}

func info(header []byte) []byte { return append([]byte(infoLabel), header...) }

// checkKey reports whether devices can verify what key signs.
func checkKey(key crypto.Signer) error {
	if key != nil {
		switch k := key.Public().(type) {
		case ed25519.PublicKey:
			return nil
		case *ecdsa.PublicKey:
			if k.Curve == elliptic.P256() {
				return nil
			}
		}
	}
	return fmt.Errorf("profile: %w: the signing key must be P-256 or Ed25519", ErrAuthority)
}

// checkIssuer reports whether key is cert's and cert may seal for registry.
func checkIssuer(cert *x509.Certificate, key crypto.Signer, registry string) error {
	if !isKeyOf(key, cert) {
		return fmt.Errorf("profile: %w: the key is not the issuer's", ErrAuthority)
	}
	if !speaksFor(cert, registry) {
		return fmt.Errorf("profile: %w: the issuer must be a CA with the DNS name %s that may make digital signatures", ErrAuthority, registry)
	}
	return nil
}

func (s Signer) sign(msg []byte) ([]byte, error) {
	random := s.Rand
	if random == nil {
		random = rand.Reader
	}
	digest, opts := msg, crypto.SignerOpts(crypto.Hash(0))
	if _, ok := s.Key.Public().(ed25519.PublicKey); !ok {
		h := sha256.Sum256(msg)
		digest, opts = h[:], crypto.SHA256
	}
	sig, err := s.Key.Sign(random, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("profile: sign seal: %w", err)
	}
	return sig, nil
}
