package tpmkeys

import (
	"crypto/ecdh"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Agreement is a key on P-256 in a TPM that agrees on keys. It is a
// [crypto/ecdh.KeyExchanger], of which hpke.NewDHKEMPrivateKey makes what
// profiles are opened with. It is safe for concurrent use and prints as its
// public key only.
type Agreement struct{ key *key }

var _ ecdh.KeyExchanger = (*Agreement)(nil)

// NewAgreement has the TPM make a key; it is lost unless [Agreement.Wrapped] is
// filed. [TPM.CreateKeys] does both.
func (t *TPM) NewAgreement() (*Agreement, error) {
	k, err := t.create(agreement)
	if err != nil {
		return nil, err
	}
	return &Agreement{k}, nil
}

// LoadAgreement brings back the key that wrapped, from [Agreement.Wrapped],
// belongs to. Errors wrap ErrKey, ErrAuth or ErrForeign.
func (t *TPM) LoadAgreement(wrapped []byte) (*Agreement, error) {
	k, err := t.unwrap(agreement, wrapped)
	if err != nil {
		return nil, err
	}
	return &Agreement{k}, nil
}

// Wrapped returns the key as its TPM alone can read it, in PEM ("TSS2 PRIVATE
// KEY", the ASN.1 format of TPM 2.0 key files).
func (a *Agreement) Wrapped() []byte { return a.key.wrapped() }

// PublicKey implements ecdh.KeyExchanger.
func (a *Agreement) PublicKey() *ecdh.PublicKey { return a.key.point }

// Curve implements ecdh.KeyExchanger; it is P-256.
func (a *Agreement) Curve() ecdh.Curve { return ecdh.P256() }

// String names the public key.
func (a *Agreement) String() string {
	return fmt.Sprintf("key agreement in a TPM %x", a.key.point.Bytes())
}

// ECDH returns the secret shared with peer, computed in the TPM (TPM2_ECDH_ZGen,
// TPM 2.0 Library part 3, section 14.5). Errors wrap ErrPeer and those that the
// TPM may give at any time: ErrAuth, ErrLockout, ErrForeign, ErrFull, ErrTimeout,
// ErrClosed.
func (a *Agreement) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, ErrPeer
	}
	b := peer.Bytes()[1:]
	in := tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: b[:coordinateSize]},
		Y: tpm2.TPM2BECCParameter{Buffer: b[coordinateSize:]},
	}
	var secret []byte
	err := a.key.with(func(handle tpm2.AuthHandle) error {
		rsp, err := tpm2.ECDHZGen{KeyHandle: handle, InPoint: tpm2.New2B(in)}.Execute(a.key.tpm.wire)
		if err != nil {
			return fmt.Errorf("tpmkeys: agree on a key: %w", err)
		}
		out, err := rsp.OutPoint.Contents()
		if err != nil {
			return fmt.Errorf("tpmkeys: agree on a key: %w", err)
		}
		var ok bool
		if secret, ok = coordinate(out.X); !ok {
			return errors.New("tpmkeys: the TPM answered with no point of P-256")
		}
		return nil
	})
	return secret, err
}
