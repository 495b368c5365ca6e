package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

const (
	scalarSize    = 32 // bytes of r and of s
	signatureSize = 2 * scalarSize
)

// Signer is a private key of the card as a crypto.Signer for ECDSA on P-256. It is
// safe for concurrent use.
type Signer struct {
	client *Client
	name   Name
	public *ecdsa.PublicKey
}

var _ crypto.Signer = (*Signer)(nil)

// Signer returns the card's key with this name after reading its public half. Use
// SignerFor where the card does not give that away.
func (c *Client) Signer(ctx context.Context, name Name) (*Signer, error) {
	pub, err := c.PublicKey(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.SignerFor(name, pub)
}

// SignerFor returns the card's key with this name whose public half is known, from
// its certificate. The card is not asked: if it is another key, signing says so.
func (c *Client) SignerFor(name Name, pub *ecdsa.PublicKey) (*Signer, error) {
	if _, err := pointOf(pub); err != nil {
		return nil, err
	}
	return &Signer{client: c, name: name, public: pub}, nil
}

// Public returns the *ecdsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs under Options.Context; see SignContext. The card has its own source of
// randomness, and the given one is not used.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.SignContext(s.client.opts.Context(), digest, opts)
}

// SignContext has the card sign a SHA-256, SHA-384 or SHA-512 digest and returns
// the signature in ASN.1 DER. It is checked before it is given out: where it does
// not match the public key, the error is ErrSignature, and the card has another key
// than its certificate says.
func (s *Signer) SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	if opts == nil {
		return nil, invalid("the digest's hash function has to be named")
	}
	if _, err := hashNumber(opts.HashFunc(), digest); err != nil {
		return nil, err
	}
	err = s.client.converse(ctx, true, func(ctx context.Context) error {
		signature, err = s.client.sign(ctx, s.name, opts.HashFunc(), digest)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !ecdsa.VerifyASN1(s.public, digest, signature) {
		return nil, fmt.Errorf("%w the public key of %v: the card has another key, or was given one since; read the profile again", ErrSignature, s.name)
	}
	return signature, nil
}

func hashNumber(h crypto.Hash, digest []byte) (uint16, error) {
	n, err := numberOf(h)
	if err == nil && len(digest) != h.Size() {
		return 0, invalid("a digest of %d bytes is none of %v", len(digest), h)
	}
	return n, err
}

// numberOf returns the number that IoT.05 gives a hash function.
func numberOf(h crypto.Hash) (uint16, error) {
	switch h {
	case crypto.SHA256:
		return words.SHA256, nil
	case crypto.SHA384:
		return words.SHA384, nil
	case crypto.SHA512:
		return words.SHA512, nil
	}
	return 0, invalid("the card knows SHA-256, SHA-384 and SHA-512 only")
}

// sign makes one signature. ECDSA on P-256 takes the first 32 bytes of a digest
// (FIPS 186-5 section 6.4.1), so that a card that knows SHA-256 only can sign the
// longer ones too.
func (c *Client) sign(ctx context.Context, name Name, h crypto.Hash, digest []byte) ([]byte, error) {
	if h != crypto.SHA256 && !c.Quirks().OnlySHA256 {
		signature, err := c.signDigest(ctx, name, h, digest)
		if !isStatus(err, apdu.WrongData, apdu.ConditionsNotMet, apdu.CommandIncompatible, apdu.WrongLength) {
			return signature, err
		}
		short, errShort := c.signDigest(ctx, name, crypto.SHA256, digest[:scalarSize])
		if errShort != nil {
			return nil, err // it was not for the hash function
		}
		c.learned(func(q *Quirks) { q.OnlySHA256 = true })
		return short, nil
	}
	return c.signDigest(ctx, name, crypto.SHA256, digest[:scalarSize])
}

func (c *Client) signDigest(ctx context.Context, name Name, h crypto.Hash, digest []byte) (signature []byte, err error) {
	key, err := c.encode(name, PrivateKey)
	if err != nil {
		return nil, err
	}
	data, err := signatureInit(key, h, digest)
	if err != nil {
		return nil, err
	}
	err = c.session(ctx, "COMPUTE SIGNATURE", words.INSComputeSignatureInit, data, false, func(session byte) error {
		r, err := c.exec(ctx, "COMPUTE SIGNATURE", apdu.Command{
			INS: words.INSComputeSignature, P1: words.P1Last, P2: session,
			Data: bertlv.Append(nil, words.TagHash, digest), Le: anyLength,
		})
		if err != nil {
			return err
		}
		var form SignatureForm
		var der bool
		signature, form, der, err = parseSignature(r.Data)
		if err == nil {
			c.learned(func(q *Quirks) { q.Signature, q.DERSignature = form, der })
		}
		return err
	})
	return signature, err
}

// signatureInit is the data of COMPUTE and VERIFY SIGNATURE INIT after the key.
func signatureInit(key []byte, h crypto.Hash, digest []byte) ([]byte, error) {
	n, err := hashNumber(h, digest)
	if err != nil {
		return nil, err
	}
	data := bertlv.Append(append([]byte{}, key...), words.TagMode, []byte{words.ModePad})
	data = bertlv.Append(data, words.TagHashes, []byte{byte(n >> 8), byte(n)})
	return bertlv.Append(data, words.TagSignatures, []byte{words.ECDSA}), nil
}

// parseSignature reads an answer in any of the forms that cards have, into DER.
func parseSignature(b []byte) (signature []byte, form SignatureForm, der bool, err error) {
	value, form := unwrapSignature(b)
	if len(value) == signatureSize {
		signature, err = marshalSignature(new(big.Int).SetBytes(value[:scalarSize]), new(big.Int).SetBytes(value[scalarSize:]))
		return signature, form, false, err
	}
	r, s, err := readDER(value)
	if err != nil {
		return nil, 0, false, malformed("COMPUTE SIGNATURE", "%d bytes are no signature of P-256", len(b))
	}
	signature, err = marshalSignature(r, s)
	return signature, form, true, err
}

// unwrapSignature takes off tag and length. A length is taken for one if it is
// right.
func unwrapSignature(b []byte) ([]byte, SignatureForm) {
	if len(b) < 3 || b[0] != words.TagSignature || len(b) == signatureSize {
		return b, SignatureBare
	}
	if int(b[1])<<8|int(b[2]) == len(b)-3 {
		return b[3:], SignatureTwoBytes
	}
	if t, rest, err := bertlv.Read(b); err == nil && len(rest) == 0 {
		return t.Value, SignatureOneByte
	}
	return b, SignatureBare
}

type ecdsaSignature struct{ R, S *big.Int }

func readDER(b []byte) (r, s *big.Int, err error) {
	var v ecdsaSignature
	if rest, err := asn1.Unmarshal(b, &v); err != nil || len(rest) != 0 || v.R == nil || v.S == nil {
		return nil, nil, ErrMalformed
	}
	return v.R, v.S, nil
}

func marshalSignature(r, s *big.Int) ([]byte, error) {
	if r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 8*scalarSize || s.BitLen() > 8*scalarSize {
		return nil, malformed("COMPUTE SIGNATURE", "a number is out of range")
	}
	b, err := asn1.Marshal(ecdsaSignature{r, s})
	if err != nil {
		return nil, malformed("COMPUTE SIGNATURE", "%v", err)
	}
	return b, nil
}
