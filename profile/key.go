package profile

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrKey is wrapped by errors about a public key that cannot be sealed to.
var ErrKey = errors.New("unusable eUICC public key")

// KEM identifiers (RFC 9180 section 7.1 and the HPKE KEM registry) of the keys
// that have a standard SPKI form.
const (
	kemP256   = 0x0010
	kemX25519 = 0x0020
)

// maxKeyText bounds a key's text; the longest, an ML-KEM-1024 hybrid, has
// about 2,300 characters.
const maxKeyText = 8 << 10

// ParsePublicKey reads an eUICC's key-agreement key as makers write it: PEM or
// bare base64 of a SubjectPublicKeyInfo for X25519 and the NIST curves from
// P-256 up, or "<KEM id in hex>:<base64 of the raw key>" for every KEM of
// crypto/hpke. Points are checked to be on their curve. Errors wrap ErrKey.
func ParsePublicKey(text string) (hpke.PublicKey, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("profile: %w: more than %d characters", ErrKey, maxKeyText)
	}
	if id, raw, ok := strings.Cut(text, ":"); ok && !strings.HasPrefix(text, "-----") {
		return parseRaw(id, raw)
	}
	der, err := spki(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrKey, err)
	}
	pub, ok := key.(*ecdh.PublicKey)
	if ec, isEC := key.(*ecdsa.PublicKey); isEC {
		if pub, err = ec.ECDH(); err != nil {
			return nil, fmt.Errorf("profile: %w: %w", ErrKey, err)
		}
	} else if !ok {
		return nil, fmt.Errorf("profile: %w: a %T cannot agree on keys; use P-256 or X25519", ErrKey, key)
	}
	k, err := hpke.NewDHKEMPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrKey, err)
	}
	return k, nil
}

func spki(text string) ([]byte, error) {
	if strings.HasPrefix(text, "-----") {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
			return nil, fmt.Errorf("profile: %w: not one PEM block of type PUBLIC KEY", ErrKey)
		}
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(der) == 0 {
		return nil, fmt.Errorf("profile: %w: neither PEM nor base64", ErrKey)
	}
	return der, nil
}

func parseRaw(id, text string) (hpke.PublicKey, error) {
	n, err := strconv.ParseUint(id, 16, 16)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: what stands before the colon is no KEM number in hex", ErrKey)
	}
	kem, err := hpke.NewKEM(uint16(n))
	if err != nil {
		return nil, fmt.Errorf("profile: %w: KEM %04x: %w", ErrKey, n, err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: key is not base64", ErrKey)
	}
	key, err := kem.NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrKey, err)
	}
	return key, nil
}

// FormatPublicKey writes a key in the one form under which it is kept and
// compared: base64 of its SubjectPublicKeyInfo for P-256 and X25519, otherwise
// KEM number and raw bytes.
func FormatPublicKey(key hpke.PublicKey) string {
	raw := key.Bytes()
	var curve ecdh.Curve
	switch key.KEM().ID() {
	case kemP256:
		curve = ecdh.P256()
	case kemX25519:
		curve = ecdh.X25519()
	}
	if curve != nil {
		if pub, err := curve.NewPublicKey(raw); err == nil {
			if der, err := x509.MarshalPKIXPublicKey(pub); err == nil {
				return base64.StdEncoding.EncodeToString(der)
			}
		}
	}
	return fmt.Sprintf("%04x:%s", key.KEM().ID(), base64.StdEncoding.EncodeToString(raw))
}
