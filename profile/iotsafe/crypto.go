package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"fmt"
	"io"
	"log/slog"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// maxInput is how much data one command may carry.
const maxInput = 255

// ECDH has the card agree on a secret between its private key and a peer's public
// one, which it puts into Options.PeerSlot first. The result is the 32 bytes of the
// X coordinate.
func (c *Client) ECDH(ctx context.Context, name Name, peer *ecdh.PublicKey) (secret []byte, err error) {
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, invalid("the card agrees on keys of P-256 only")
	}
	err = c.converse(ctx, true, func(ctx context.Context) error {
		key, err := c.encode(name, PrivateKey)
		if err != nil {
			return err
		}
		if err := c.putKey(ctx, c.opts.PeerSlot, peer.Bytes()); err != nil {
			return err
		}
		slot, err := c.encode(c.opts.PeerSlot, PublicKey)
		if err != nil {
			return err
		}
		r, err := c.exec(ctx, "COMPUTE DH", apdu.Command{INS: words.INSComputeDH, Data: append(key, slot...), Le: anyLength})
		if err == nil && len(r.Data) != scalarSize {
			err = malformed("COMPUTE DH", "%d bytes instead of %d", len(r.Data), scalarSize)
		}
		secret = r.Data
		return err
	})
	if err != nil {
		return nil, err
	}
	return secret, nil
}

// Verify has the card check an ASN.1 DER signature over a digest with a public key
// of its own. The error is ErrSignature where it does not match.
func (c *Client) Verify(ctx context.Context, name Name, digest, signature []byte, opts crypto.SignerOpts) error {
	return c.verify(ctx, name, nil, digest, signature, opts)
}

// VerifyWith does as Verify with a key that is put into Options.PeerSlot first.
func (c *Client) VerifyWith(ctx context.Context, pub *ecdsa.PublicKey, digest, signature []byte, opts crypto.SignerOpts) error {
	point, err := pointOf(pub)
	if err != nil {
		return err
	}
	return c.verify(ctx, c.opts.PeerSlot, point, digest, signature, opts)
}

func (c *Client) verify(ctx context.Context, name Name, point, digest, signature []byte, opts crypto.SignerOpts) error {
	if opts == nil {
		return invalid("the digest's hash function has to be named")
	}
	r, s, err := readDER(signature)
	if err != nil || r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 8*scalarSize || s.BitLen() > 8*scalarSize {
		return ErrSignature
	}
	raw := make([]byte, signatureSize)
	r.FillBytes(raw[:scalarSize])
	s.FillBytes(raw[scalarSize:])
	return c.converse(ctx, true, func(ctx context.Context) error {
		if point != nil {
			if err := c.putKey(ctx, name, point); err != nil {
				return err
			}
		}
		key, err := c.encode(name, PublicKey)
		if err != nil {
			return err
		}
		init, err := signatureInit(key, opts.HashFunc(), digest)
		if err != nil {
			return err
		}
		return c.verifyRaw(ctx, init, digest, raw)
	})
}

// verifyRaw sends the signature in the form that the card makes its own in, or in
// the other ones until it takes one.
func (c *Client) verifyRaw(ctx context.Context, init, digest, raw []byte) error {
	forms := []SignatureForm{SignatureTwoBytes, SignatureOneByte}
	if c.Quirks().Signature == SignatureOneByte {
		forms = []SignatureForm{SignatureOneByte, SignatureTwoBytes}
	}
	var err error
	for _, form := range forms {
		data := bertlv.Append(nil, words.TagHash, digest)
		if form == SignatureTwoBytes {
			data = append(data, words.TagSignature, 0, signatureSize)
			data = append(data, raw...)
		} else {
			data = bertlv.Append(data, words.TagSignature, raw)
		}
		err = c.session(ctx, "VERIFY SIGNATURE", words.INSVerifySignatureInit, init, false, func(session byte) error {
			_, err := c.exec(ctx, "VERIFY SIGNATURE", apdu.Command{INS: words.INSVerifySignature, P1: words.P1Last, P2: session, Data: data})
			return err
		})
		if !isStatus(err, apdu.WrongData, apdu.WrongLength) {
			return err
		}
	}
	return err
}

// PRFInput is what the PRF of TLS 1.2 (RFC 5246 section 5) is computed from. One of
// Secret and Key is required. It prints without its secrets.
type PRFInput struct {
	Secret    Name   // of the card
	Key       []byte `json:"-"` // a secret that is not on the card
	PSK       bool   // the secret is a pre-shared key, from which the premaster secret is made
	Premaster []byte `json:"-"` // the other half of an ECDHE-PSK premaster secret
	Seed      []byte // label and seed
	Length    int    // bytes wanted, 1 to 255
}

// String says what is derived, without the secrets.
func (in PRFInput) String() string { return fmt.Sprintf("PRF of %d bytes, %v", in.Length, in.Secret) }

// Format prints what String says under every verb.
func (in PRFInput) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, in.String()) }

// LogValue logs what String says.
func (in PRFInput) LogValue() slog.Value { return slog.StringValue(in.String()) }

// PRF has the card compute the PRF of TLS 1.2 with SHA-256.
func (c *Client) PRF(ctx context.Context, in PRFInput) (out []byte, err error) {
	if in.Length < 1 || in.Length > maxInput {
		return nil, invalid("a PRF gives 1 to %d bytes", maxInput)
	}
	if (in.Secret == Name{}) == (len(in.Key) == 0) {
		return nil, invalid("a PRF wants a secret of the card or a key, not both")
	}
	err = c.converse(ctx, true, func(ctx context.Context) error {
		data := bertlv.Append(nil, words.TagSecretData, in.Key)
		if len(in.Key) == 0 {
			if data, err = c.encode(in.Secret, Secret); err != nil {
				return err
			}
		}
		kind := byte(words.PRFGeneral)
		switch {
		case len(in.Premaster) > 0:
			kind = words.PRFPSKECDHE
			data = bertlv.Append(data, words.TagPremaster, in.Premaster)
		case in.PSK:
			kind = words.PRFPSK
		}
		data = bertlv.Append(data, words.TagSeed, in.Seed)
		data = bertlv.Append(data, words.TagOutLength, []byte{byte(in.Length)})
		out, err = c.derive(ctx, "COMPUTE PRF", apdu.Command{INS: words.INSComputePRF, P1: kind, Data: data, Le: anyLength}, in.Length)
		return err
	})
	return out, err
}

// HKDFExtract has the card extract a pseudorandom key (RFC 5869 section 2.2) with
// SHA-256, SHA-384 or SHA-512.
func (c *Client) HKDFExtract(ctx context.Context, h crypto.Hash, secret, salt []byte) (key []byte, err error) {
	n, err := numberOf(h)
	if err != nil {
		return nil, err
	}
	err = c.converse(ctx, true, func(ctx context.Context) error {
		data := bertlv.Append(nil, words.TagSecretData, secret)
		data = bertlv.Append(data, words.TagSalt, salt)
		data = bertlv.Append(data, words.TagHashes, []byte{byte(n >> 8), byte(n)})
		key, err = c.derive(ctx, "COMPUTE HKDF", apdu.Command{INS: words.INSComputeHKDF, Data: data, Le: anyLength}, h.Size())
		return err
	})
	return key, err
}

// derive sends a command whose answer is n bytes without any tag.
func (c *Client) derive(ctx context.Context, name string, cmd apdu.Command, n int) ([]byte, error) {
	if len(cmd.Data) > maxInput {
		return nil, invalid("%s: secrets and seeds are longer than one command", name)
	}
	r, err := c.exec(ctx, name, cmd)
	if err != nil {
		return nil, err
	}
	if len(r.Data) != n {
		return nil, malformed(name, "%d bytes instead of %d", len(r.Data), n)
	}
	return r.Data, nil
}
