package rsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
)

// ErrSignature means that a signature does not fit text and key.
var ErrSignature = errors.New("signature does not fit")

// signed returns m as received, or as it will be sent.
func signed(m Message) ([]byte, error) {
	if raw := m.received().Raw; raw != nil {
		return raw, nil
	}
	return Encode(m)
}

// withSignature appends the other side's signature, which the next one covers.
func withSignature(m Message, signature []byte) ([]byte, error) {
	text, err := signed(m)
	if err != nil {
		return nil, err
	}
	if len(signature) != signatureSize {
		return nil, fmt.Errorf("rsp: %w: signature of %d bytes", ErrFormat, len(signature))
	}
	return bertlv.Append(text[:len(text):len(text)], tagSignature, signature), nil
}

// SignedText returns what serverSignature1 covers.
func (m *ServerSigned1) SignedText() ([]byte, error) { return signed(m) }

// SignedText returns what euiccSignature1 covers.
func (m *EUICCSigned1) SignedText() ([]byte, error) { return signed(m) }

// SignedText returns what smdpSignature2 covers; it comes after euiccSignature1,
// whose 64 bytes are given.
func (m *SMDPSigned2) SignedText(euiccSignature1 []byte) ([]byte, error) {
	return withSignature(m, euiccSignature1)
}

// SignedText returns what euiccSignature2 covers; it comes after smdpSignature2,
// whose 64 bytes are given.
func (m *EUICCSigned2) SignedText(smdpSignature2 []byte) ([]byte, error) {
	return withSignature(m, smdpSignature2)
}

// SignedText returns what smdpSign covers: the members before it without a tag
// around them, and the eUICC's one-time key of 65 bytes.
func (m *InitialiseSecureChannelRequest) SignedText(euiccOTPK []byte) ([]byte, error) {
	if len(euiccOTPK) != pointSize {
		return nil, fmt.Errorf("rsp: %w: one-time key of %d bytes", ErrFormat, len(euiccOTPK))
	}
	text, err := m.signedPart()
	if err != nil {
		return nil, err
	}
	return bertlv.Append(text, tagOneTime, euiccOTPK), nil
}

func (m *InitialiseSecureChannelRequest) signedPart() ([]byte, error) {
	if m.Raw == nil {
		c := &coder{}
		m.signedMembers(c)
		if c.err != nil {
			return nil, fmt.Errorf("rsp: %w", c.named(m))
		}
		return c.out, nil
	}
	outer, err := bertlv.Parse(m.Raw)
	if err != nil {
		return nil, fmt.Errorf("rsp: %w: %w", ErrFormat, err)
	}
	signature, err := outer.Find(tagSignature)
	if err != nil {
		return nil, fmt.Errorf("rsp: %w: %w", ErrFormat, err)
	}
	n := len(outer.Value) - len(signature.Raw) - len(m.Extra) // the known members come first
	if n < 0 {
		return nil, fmt.Errorf("rsp: %w: Raw and Extra do not belong together", ErrFormat)
	}
	return outer.Value[:n:n], nil
}

// SignedText returns what the receipt's signature covers.
func (m *ProfileInstallationResultData) SignedText() ([]byte, error) { return signed(m) }

// SignedText returns what the signature of a notification other than a receipt
// covers.
func (m *NotificationMetadata) SignedText() ([]byte, error) { return signed(m) }

// SignedText returns what the signature of a cancelled session covers.
func (m *EUICCCancelSessionSigned) SignedText() ([]byte, error) { return signed(m) }

// withAssociation appends the association token, zero where there is none. Both
// sides of SGP.32 sign so since version 1.1: onomondo's eIM (crypto_utils) and
// OpenIoTRSP (euiccpkg) agree on all three signatures, and a third eIM on
// eimSignature. [S]
func withAssociation(m Message, token int64) ([]byte, error) {
	text, err := signed(m)
	if err != nil {
		return nil, err
	}
	content, err := number[int64](1 << 62).encode(token)
	if err != nil {
		return nil, fmt.Errorf("rsp: %w: association token %w", ErrFormat, err)
	}
	return bertlv.Append(text[:len(text):len(text)], 0x84, content), nil
}

// SignedText returns what eimSignature covers; it comes with the token of the
// eIM's association with the eUICC, zero where the eUICC keeps none.
func (m *EUICCPackageSigned) SignedText(associationToken int64) ([]byte, error) {
	return withAssociation(m, associationToken)
}

// SignedText returns what euiccSignEPR covers, with the token that the package was
// signed with.
func (m *EUICCPackageResultData) SignedText(associationToken int64) ([]byte, error) {
	return withAssociation(m, associationToken)
}

// SignedText returns what euiccSignEPE covers, with the token that the package was
// signed with.
func (m *EUICCPackageErrorData) SignedText(associationToken int64) ([]byte, error) {
	return withAssociation(m, associationToken)
}

// SignedTextV10 is SignedText for an eUICC of SGP.32 version 1.0, which covers the
// package's signature, 64 bytes, instead of the token. Two public sources say so,
// none of them by an eUICC that was seen to do it. [M]
func (m *EUICCPackageResultData) SignedTextV10(eimSignature []byte) ([]byte, error) {
	return withSignature(m, eimSignature)
}

// SignedTextV10 is what SignedTextV10 of a result is, for an error.
func (m *EUICCPackageErrorData) SignedTextV10(eimSignature []byte) ([]byte, error) {
	return withSignature(m, eimSignature)
}

// HashCC is the proof of knowing a confirmation code in one session (SGP.22
// section 4.7): the SHA-256 of the code's SHA-256 and the transaction ID.
func HashCC(confirmationCode string, id TransactionID) [sha256.Size]byte {
	return HashCCFromHash(sha256.Sum256([]byte(confirmationCode)), id)
}

// HashCCFromHash is HashCC for a server, which keeps no more than the code's
// SHA-256.
func HashCCFromHash(codeHash [sha256.Size]byte, id TransactionID) [sha256.Size]byte {
	return sha256.Sum256(append(codeHash[:], id...))
}

// Sign signs text with a P-256 key, as [bsp.Sign] does. What is wrong with the key
// or with what it made is ErrSignature.
func Sign(random io.Reader, key crypto.Signer, text []byte) ([]byte, error) {
	raw, err := bsp.Sign(random, key, text)
	switch {
	case err == nil:
		return raw, nil
	case errors.Is(err, bsp.ErrSigner), errors.Is(err, bsp.ErrSignature):
		return nil, fmt.Errorf("rsp: %w: %w", ErrSignature, err)
	}
	return nil, fmt.Errorf("rsp: %w", err)
}

// Verify checks a signature as Sign makes it. Its error wraps ErrSignature.
func Verify(key *ecdsa.PublicKey, text, signature []byte) error {
	if err := bsp.Verify(key, text, signature); err != nil {
		return fmt.Errorf("rsp: %w: %w", ErrSignature, err)
	}
	return nil
}
