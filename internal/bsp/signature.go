package bsp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// Signatures are ECDSA on P-256 over SHA-256, written as r and s of 32 bytes
// each (BSI TR-03111 section 5.2.1; SGP.22 section 2.6.7).

// SignatureSize is the length of a raw signature, in bytes.
const SignatureSize = 64

// What is wrong with a signature or its key.
var (
	ErrSignature = errors.New("the signature is not valid")
	ErrSigner    = errors.New("the signing key must be ECDSA on P-256")
)

// RawSignature turns an ASN.1 signature, as [crypto.Signer] and certificates
// have it, into a raw one. The error is [ErrSignature].
func RawSignature(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) != 0 || !isScalar(sig.R) || !isScalar(sig.S) {
		return nil, fmt.Errorf("bsp: %w: not r and s of P-256 in ASN.1", ErrSignature)
	}
	raw := make([]byte, SignatureSize)
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	// encoding/asn1 lets members follow that the struct does not have.
	if again, err := ASN1Signature(raw); err != nil || !bytes.Equal(again, der) {
		return nil, fmt.Errorf("bsp: %w: not r and s alone", ErrSignature)
	}
	return raw, nil
}

// ASN1Signature turns a raw signature into an ASN.1 one. The error is
// [ErrSignature].
func ASN1Signature(raw []byte) ([]byte, error) {
	if len(raw) != SignatureSize {
		return nil, fmt.Errorf("bsp: %w: %d bytes, not %d", ErrSignature, len(raw), SignatureSize)
	}
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	if !isScalar(r) || !isScalar(s) {
		return nil, fmt.Errorf("bsp: %w: r and s must be between 1 and the order of P-256", ErrSignature)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		return nil, fmt.Errorf("bsp: %w: %w", ErrSignature, err)
	}
	return der, nil
}

func isScalar(n *big.Int) bool {
	return n.Sign() > 0 && n.Cmp(elliptic.P256().Params().N) < 0
}

// Sign returns the raw signature of the message. A nil random is that of the
// system. The errors are [ErrSigner] and those of the signer.
func Sign(random io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	if signer == nil || !onP256(signer.Public()) {
		return nil, fmt.Errorf("bsp: %w", ErrSigner)
	}
	if random == nil {
		random = rand.Reader
	}
	digest := sha256.Sum256(message)
	der, err := signer.Sign(random, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("bsp: sign: %w", err)
	}
	return RawSignature(der)
}

// Verify checks the raw signature of the message. The errors are [ErrSigner]
// and [ErrSignature].
func Verify(key crypto.PublicKey, message, raw []byte) error {
	if !onP256(key) {
		return fmt.Errorf("bsp: %w", ErrSigner)
	}
	der, err := ASN1Signature(raw)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), digest[:], der) {
		return fmt.Errorf("bsp: %w", ErrSignature)
	}
	return nil
}

func onP256(key crypto.PublicKey) bool {
	k, ok := key.(*ecdsa.PublicKey)
	return ok && k != nil && k.Curve == elliptic.P256()
}
