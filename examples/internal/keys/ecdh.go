package keys

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"errors"
	"fmt"
)

// OpenAgreement returns the key-agreement key that uri names: the key of a
// simulated eUICC that opens sealed profiles. P-256 keys, and X25519 keys made
// elsewhere, are accepted; anything else is [ErrBadKey].
func OpenAgreement(ctx context.Context, uri string) (*ecdh.PrivateKey, error) {
	key, err := open(ctx, uri)
	if err != nil {
		return nil, err
	}
	return agreement(key, uri)
}

// OpenOrCreateAgreement is [OpenAgreement] that makes a P-256 key where the
// file is missing. Use a key for agreement or for signatures, never for both.
func OpenOrCreateAgreement(ctx context.Context, uri string) (*ecdh.PrivateKey, error) {
	key, err := OpenAgreement(ctx, uri)
	if !errors.Is(err, ErrNotFound) {
		return key, err
	}
	signer, err := Create(ctx, uri, P256)
	if errors.Is(err, ErrExists) { // another process was faster
		return OpenAgreement(ctx, uri)
	}
	if err != nil {
		return nil, err
	}
	return agreement(signer, uri)
}

func agreement(key any, uri string) (*ecdh.PrivateKey, error) {
	switch k := key.(type) {
	case *ecdh.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		agree, err := k.ECDH()
		if err == nil && agree.Curve() == ecdh.P256() {
			return agree, nil
		}
	}
	return nil, fmt.Errorf("%w: %s is no P-256 or X25519 key", ErrBadKey, name(uri))
}
