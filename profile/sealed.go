package profile

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"golang.org/x/crypto/cryptobyte"

	"github.com/iotregistry/sdk/registry/eid"
)

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
