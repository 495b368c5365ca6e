package tpmkeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/google/go-tpm/tpm2"
)

// Signer is a key on P-256 in a TPM that makes ECDSA signatures: a
// [crypto.Signer] for TLS certificates, certificate requests, and as SK.EUICC. It
// is safe for concurrent use and prints as its public key only.
type Signer struct {
	key    *key
	public *ecdsa.PublicKey
}

var _ crypto.Signer = (*Signer)(nil)

// NewSigner has the TPM make a key; it is lost unless [Signer.Wrapped] is filed.
// [TPM.CreateKeys] does both.
func (t *TPM) NewSigner() (*Signer, error) { return newSigner(t.create(signing)) }

// LoadSigner brings back the key that wrapped, from [Signer.Wrapped], belongs to.
// Errors wrap ErrKey, ErrAuth or ErrForeign.
func (t *TPM) LoadSigner(wrapped []byte) (*Signer, error) {
	return newSigner(t.unwrap(signing, wrapped))
}

func newSigner(k *key, err error) (*Signer, error) {
	if err != nil {
		return nil, err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.point.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &Signer{k, public}, nil
}

// Wrapped returns the key as its TPM alone can read it, in PEM ("TSS2 PRIVATE
// KEY", the ASN.1 format of TPM 2.0 key files).
func (s *Signer) Wrapped() []byte { return s.key.wrapped() }

// Public returns the *ecdsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// String names the public key.
func (s *Signer) String() string { return fmt.Sprintf("signing key in a TPM %x", s.key.point.Bytes()) }

// Sign implements crypto.Signer with TPM2_Sign (TPM 2.0 Library part 3, section
// 20.2). The digest is of SHA-256 or a longer hash, of which ECDSA on P-256 uses
// the first 32 bytes (FIPS 186-5 section 6.4.1), so that TPMs without that hash
// sign too. Randomness is the TPM's own. Errors wrap ErrDigest, or are those of
// [Agreement.ECDH].
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	const size = 32 // of P-256's order and of SHA-256
	if len(digest) < size || opts != nil && opts.HashFunc() != 0 && opts.HashFunc().Size() != len(digest) {
		return nil, ErrDigest
	}
	var signature []byte
	err := s.key.with(func(handle tpm2.AuthHandle) error {
		rsp, err := tpm2.Sign{
			KeyHandle: handle,
			Digest:    tpm2.TPM2BDigest{Buffer: digest[:size]},
			InScheme: tpm2.TPMTSigScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256}),
			},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(s.key.tpm.wire)
		if err != nil {
			return fmt.Errorf("tpmkeys: sign: %w", err)
		}
		signature, err = encode(&rsp.Signature)
		return err
	})
	return signature, err
}

// encode writes a signature as X.509 and TLS do (RFC 3279 section 2.2.3).
func encode(signature *tpm2.TPMTSignature) ([]byte, error) {
	s, err := signature.Signature.ECDSA()
	if err != nil {
		return nil, errors.New("tpmkeys: the TPM answered with another kind of signature")
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(s.SignatureR.Buffer), new(big.Int).SetBytes(s.SignatureS.Buffer),
	})
}
