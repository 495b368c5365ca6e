package iotsafe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	words "github.com/iotregistry/sdk/internal/iotsafe"
)

// pointSize is an uncompressed point of P-256: 04, X, Y.
const pointSize = 65

// PublicKey reads a public key of the card. That of a key pair usually has the ID
// of the private key.
func (c *Client) PublicKey(ctx context.Context, name Name) (pub *ecdsa.PublicKey, err error) {
	err = c.converse(ctx, true, func(ctx context.Context) error {
		which, err := c.encode(name, PublicKey)
		if err != nil {
			return err
		}
		r, err := c.exec(ctx, "READ PUBLIC KEY", apdu.Command{INS: words.INSReadPublicKey, Data: which, Le: anyLength})
		if err != nil {
			return err
		}
		pub, err = parsePoint("READ PUBLIC KEY", r.Data)
		return err
	})
	return pub, err
}

// KeyPair is a key that the card has made.
type KeyPair struct {
	Private, Public Name // cards may choose other names than they were asked for
	Key             *ecdsa.PublicKey
}

// GenerateKey has the card make a new key pair in place of the one with this name,
// which is lost. It takes some cards many seconds and is never repeated: after an
// error that is no *StatusError nobody knows whether there is a new key.
func (c *Client) GenerateKey(ctx context.Context, name Name) (pair *KeyPair, err error) {
	err = c.converse(ctx, false, func(ctx context.Context) error {
		which, err := c.encode(name, PrivateKey)
		if err != nil {
			return err
		}
		cmd := apdu.Command{INS: words.INSGenerateKeyPair, Data: which, Le: anyLength}
		r, err := c.execWithin(ctx, c.opts.GenerateTimeout, "GENERATE KEY PAIR", cmd)
		if err != nil {
			return err
		}
		pair, err = parseKeyPair(name, r.Data)
		return err
	})
	return pair, err
}

func parseKeyPair(name Name, b []byte) (*KeyPair, error) {
	key, err := parsePoint("GENERATE KEY PAIR", b)
	if err != nil {
		return nil, err
	}
	pair := &KeyPair{Private: name, Public: name, Key: key}
	for len(b) > 0 {
		t, rest, err := bertlv.Read(b)
		if err != nil {
			break // the point was found
		}
		b = rest
		if len(t.Value) == 0 || len(t.Value) > words.MaxID {
			continue
		}
		switch t.Tag {
		case words.TagPrivateKeyID:
			pair.Private = ID(t.Value...)
		case words.TagPublicKeyID:
			pair.Public = ID(t.Value...)
		}
	}
	return pair, nil
}

// parsePoint finds the point in what a card tells of a key: 34 with 49 with 86, or
// fewer of these layers.
func parsePoint(command string, b []byte) (*ecdsa.PublicKey, error) {
	layers := []bertlv.Tag{words.TagPublicData, words.TagECKey, words.TagECPoint}
	for i := 0; i < len(layers) && len(b) != pointSize; {
		t, rest, err := bertlv.Read(b)
		if err != nil {
			return nil, malformed(command, "public key: %v", err)
		}
		if at := bytes.IndexByte([]byte{words.TagPublicData, words.TagECKey, words.TagECPoint}, byte(t.Tag)); t.Tag <= 0xFF && at >= i {
			b, i = t.Value, at+1
			continue
		}
		b = rest
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, malformed(command, "the public key is no point of P-256")
	}
	return pub, nil
}

// appendPoint writes a key as PUT PUBLIC KEY wants it.
func appendPoint(point []byte) []byte {
	b := bertlv.Append(nil, words.TagECPoint, point)
	b = bertlv.Append(nil, words.TagECKey, b)
	return bertlv.Append(nil, words.TagPublicData, b)
}

// PutPublicKey writes somebody else's P-256 key into a slot of the card.
func (c *Client) PutPublicKey(ctx context.Context, slot Name, pub *ecdsa.PublicKey) error {
	point, err := pointOf(pub)
	if err != nil {
		return err
	}
	return c.converse(ctx, true, func(ctx context.Context) error { return c.putKey(ctx, slot, point) })
}

func pointOf(pub *ecdsa.PublicKey) ([]byte, error) {
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, invalid("the card knows keys of P-256 only")
	}
	point, err := pub.Bytes()
	if err != nil {
		return nil, invalid("the key is no point of P-256")
	}
	return point, nil
}

func (c *Client) putKey(ctx context.Context, slot Name, point []byte) error {
	which, err := c.encode(slot, PublicKey)
	if err != nil {
		return err
	}
	return c.session(ctx, "PUT PUBLIC KEY", words.INSPutPublicKeyInit, which, true, func(session byte) error {
		_, err := c.exec(ctx, "PUT PUBLIC KEY", apdu.Command{
			INS: words.INSPutPublicKey, P1: words.P1Last, P2: session, Data: appendPoint(point),
		})
		return err
	})
}
