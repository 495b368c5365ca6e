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
	"log/slog"
	"math"

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

// Signer signs seals in a registry's name.
type Signer struct {
	Key   crypto.Signer // P-256 or Ed25519
	Chain [][]byte      // its certificate and those above it, DER
	Rand  io.Reader     // nil means crypto/rand.Reader
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
// is HKDF-SHA256 and AES-128-GCM.
func Seal(to hpke.PublicKey, p *Profile, s Signer) ([]byte, error) {
	plain, err := p.Encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if err := checkSigner(s.Key); err != nil {
		return nil, err
	}
	if n := len(s.Chain); n == 0 || n > maxChain || len(bytes.Join(s.Chain, nil)) > maxChainLen {
		return nil, fmt.Errorf("profile: seal: %w: the signer's chain must have 1 to %d certificates", ErrAuthority, maxChain)
	}
	kdf, aead := sealKDF(), sealAEAD()
	b := cryptobyte.NewBuilder(make([]byte, 0, len(plain)+2<<10))
	addHeader(b, to.KEM().ID(), kdf.ID(), aead.ID(), p.Binding())
	header, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	enc, sender, err := hpke.NewSender(to, kdf, aead, info(header))
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	ct, err := sender.Seal(nil, plain)
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	b.AddUint8(uint8(len(s.Chain)))
	for _, der := range s.Chain {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(enc) })
	b.AddUint32LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ct) })
	signed, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	sig, err := s.sign(signed)
	if err != nil {
		return nil, err
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sig) })
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("profile: seal: %w", err)
	}
	return out, nil
}

func addHeader(b *cryptobyte.Builder, kem, kdf, aead uint16, bind Binding) {
	b.AddBytes([]byte(magic))
	b.AddUint8(version)
	b.AddUint16(kem)
	b.AddUint16(kdf)
	b.AddUint16(aead)
	b.AddUint64(bind.ProfileID)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(bind.Device.String())) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(bind.Registry)) })
}

func info(header []byte) []byte { return append([]byte(infoLabel), header...) }

func checkSigner(key crypto.Signer) error {
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

// Sealed is a sealed profile as received. What it says is unproven until Open.
type Sealed struct {
	raw       []byte
	header    []byte
	signed    []byte
	kem       uint16
	kdf       uint16
	aead      uint16
	binding   Binding
	chain     []*x509.Certificate
	enc       []byte
	ct        []byte
	signature []byte
}

// ParseSealed reads the outer form of a sealed profile and keeps its bytes.
func ParseSealed(b []byte) (*Sealed, error) {
	bad := func(what string) (*Sealed, error) {
		return nil, fmt.Errorf("profile: %w: %s", ErrMalformed, what)
	}
	if len(b) > MaxSealed {
		return bad("too large")
	}
	raw := append([]byte(nil), b...)
	s, in := &Sealed{raw: raw}, cryptobyte.String(raw)
	var m []byte
	var v uint8
	if !in.ReadBytes(&m, len(magic)) || string(m) != magic {
		return bad("does not begin with " + magic)
	}
	if !in.ReadUint8(&v) || v != version {
		return bad("unknown version")
	}
	var device, registry, enc cryptobyte.String
	if !in.ReadUint16(&s.kem) || !in.ReadUint16(&s.kdf) || !in.ReadUint16(&s.aead) ||
		!in.ReadUint64(&s.binding.ProfileID) ||
		!in.ReadUint8LengthPrefixed(&device) || !in.ReadUint8LengthPrefixed(&registry) {
		return bad("truncated header")
	}
	s.header = raw[:len(raw)-len(in)]
	id, err := eid.Parse(string(device))
	if err != nil || id.String() != string(device) || s.binding.ProfileID == 0 || !isHostname(string(registry)) {
		return bad("binding is not canonical")
	}
	s.binding.Device, s.binding.Registry = id, string(registry)
	if s.chain, err = readChain(&in); err != nil {
		return bad(err.Error())
	}
	var ctLen uint32
	if !in.ReadUint16LengthPrefixed(&enc) || !in.ReadUint32(&ctLen) || ctLen > math.MaxInt32 || !in.ReadBytes(&s.ct, int(ctLen)) {
		return bad("truncated ciphertext")
	}
	s.enc, s.signed = enc, raw[:len(raw)-len(in)]
	var sig cryptobyte.String
	if !in.ReadUint16LengthPrefixed(&sig) || !in.Empty() {
		return bad("truncated signature or trailing bytes")
	}
	s.signature = sig
	return s, nil
}

func readChain(in *cryptobyte.String) ([]*x509.Certificate, error) {
	var n uint8
	if !in.ReadUint8(&n) || n == 0 || n > maxChain {
		return nil, fmt.Errorf("the signer's chain must have 1 to %d certificates", maxChain)
	}
	var chain []*x509.Certificate
	size := 0
	for range n {
		var der cryptobyte.String
		if !in.ReadUint16LengthPrefixed(&der) {
			return nil, errors.New("truncated chain")
		}
		if size += len(der); size > maxChainLen {
			return nil, errors.New("chain too large")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errors.New("a certificate of the chain cannot be read")
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// Binding returns what the seal says it is bound to.
func (s *Sealed) Binding() Binding { return s.binding }

// Chain returns the certificates that the signer presents, its own first.
func (s *Sealed) Chain() []*x509.Certificate { return append([]*x509.Certificate(nil), s.chain...) }

// Bytes returns the sealed profile as it was received.
func (s *Sealed) Bytes() []byte { return append([]byte(nil), s.raw...) }

// String names the binding and the size.
func (s *Sealed) String() string {
	return fmt.Sprintf("sealed profile %d of device %s by %s, %d bytes",
		s.binding.ProfileID, s.binding.Device, s.binding.Registry, len(s.raw))
}

// LogValue is String.
func (s *Sealed) LogValue() slog.Value { return slog.StringValue(s.String()) }

// OpenOptions says what a device accepts. Device, Registry and Trust are
// required.
type OpenOptions struct {
	Device   eid.ID // the device's own ID
	Registry string // the one registry whose profiles this device takes
	After    uint64 // ID of the newest profile installed so far; only greater ones open

	// Trust decides whether chain, the signer's certificates, belongs to the
	// registry: by DNS with (dane.Verifier).Authority, or by [TrustRoots].
	Trust func(chain []*x509.Certificate) error
}

// TrustRoots accepts signers whose certificates chain to roots now.
func TrustRoots(opts x509.VerifyOptions) func([]*x509.Certificate) error {
	return func(chain []*x509.Certificate) error {
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

// Open checks everything about the seal, in the order in which it costs, opens
// it with the eUICC's key and returns the profile.
func (s *Sealed) Open(key hpke.PrivateKey, o OpenOptions) (*Profile, error) {
	bad := func(err error) (*Profile, error) {
		return nil, fmt.Errorf("profile: open %d: %w", s.binding.ProfileID, err)
	}
	switch {
	case o.Device.IsZero() || o.Registry == "" || o.Trust == nil:
		return nil, fmt.Errorf("profile: open: %w: Device, Registry and Trust are required", ErrInvalid)
	case s.binding.Device != o.Device:
		return bad(ErrDevice)
	case s.binding.Registry != o.Registry:
		return bad(ErrRegistry)
	case s.binding.ProfileID <= o.After:
		return bad(ErrReplayed)
	case s.kem != key.KEM().ID():
		return bad(fmt.Errorf("%w: it is sealed to a key of KEM %04x", ErrOpen, s.kem))
	}
	if err := o.Trust(s.Chain()); err != nil {
		return bad(fmt.Errorf("%w: %w", ErrUntrusted, err))
	}
	if !s.verify() {
		return bad(ErrSignature)
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
