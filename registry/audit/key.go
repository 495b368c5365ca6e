package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
)

// KeyID names a public key as [Head.Key] does: the SHA-256 of its
// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in hexadecimal. The error is
// [ErrKey].
func KeyID(pub crypto.PublicKey) (string, error) {
	id, err := keyID(pub)
	if err != nil {
		return "", &Error{Err: err}
	}
	return id, nil
}

func keyID(pub crypto.PublicKey) (string, error) {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if pub == nil || pub.Curve == nil || pub.Curve.Params().BitSize < 256 {
			return "", ErrKey
		}
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return "", ErrKey
		}
	default:
		return "", fmt.Errorf("%w, not %T", ErrKey, pub)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// sign returns the signer's name and its signature.
func sign(random io.Reader, key crypto.Signer, text []byte) (id string, sig []byte, err error) {
	if key == nil {
		return "", nil, ErrKey
	}
	if id, err = keyID(key.Public()); err != nil {
		return "", nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		sig, err = key.Sign(random, text, crypto.Hash(0))
	} else {
		sum := sha256.Sum256(text)
		sig, err = key.Sign(random, sum[:], crypto.SHA256)
	}
	if err != nil {
		return "", nil, fmt.Errorf("sign: %w", err)
	}
	return id, sig, nil
}

// verify checks a signature by a key that keyID accepted.
func verify(pub crypto.PublicKey, text, sig []byte) error {
	ok := false
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(text)
		ok = ecdsa.VerifyASN1(pub, sum[:], sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(pub, text, sig)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}
