// Package keys opens and makes the private keys of the example programs.
// It is the only package of the project that uses go.step.sm/crypto; everything
// else takes a crypto.Signer, so another key manager replaces this one leaf.
//
// Most programs need one call:
//
//	signer, err := keys.OpenOrCreate(ctx, "softkms:path=ca.key", keys.P256)
//
// A key is named by a key-management URI or a plain path:
//
//	ca.key                                       a PEM file
//	file:///etc/registry/ca.key                  the same, as a URL
//	softkms:path=ca.key                          the same, in go.step.sm/crypto form
//	softkms:path=ca.key;pin-source=ca.pass       an encrypted PEM file and its passphrase's file
//	pkcs11:... tpmkms:... and the cloud schemes  known, not built in: ErrNotBuiltIn
//
// What it does not protect from: a key in a file is as safe as the file. New
// files are made with mode 0600 and a file that everybody can read is refused,
// but whoever is root on the machine has the key. Production registries build
// their programs with a hardware or cloud key manager instead.
package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"
)

// Algorithm names the kind of a new key. The zero value means [P256].
type Algorithm string

// The algorithms of the project's certificates and DNSSEC keys.
const (
	P256    Algorithm = "P-256"   // ECDSA on NIST P-256 (FIPS 186-5; DNSSEC algorithm 13)
	Ed25519 Algorithm = "Ed25519" // EdDSA (RFC 8032; DNSSEC algorithm 15)
)

// What callers branch on. Every error of this package that is not the
// context's wraps one of these, and none of them shows key or passphrase bytes.
var (
	// ErrNotFound means that there is no file of that name.
	ErrNotFound = errors.New("keys: no such key")
	// ErrExists means that [Create] was asked to overwrite a key.
	ErrExists = errors.New("keys: key exists")
	// ErrNotBuiltIn means a key manager that these programs are built without.
	ErrNotBuiltIn = errors.New("keys: key manager not built in")
	// ErrBadURI means a name that is neither a path nor a key-management URI.
	ErrBadURI = errors.New("keys: bad key URI")
	// ErrBadKey means a file that holds no usable private key.
	ErrBadKey = errors.New("keys: no usable private key")
	// ErrPassphrase means an encrypted key without its passphrase, or a wrong one.
	ErrPassphrase = errors.New("keys: passphrase needed or wrong")
	// ErrExposed means a key file that every user of the machine may read or change.
	ErrExposed = errors.New("keys: key file is open to everybody")
)

// Open returns the signing key that uri names. It never makes one: a missing
// file is [ErrNotFound].
func Open(ctx context.Context, uri string) (crypto.Signer, error) {
	key, err := open(ctx, uri)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %s holds a %T, which cannot sign", ErrBadKey, name(uri), key)
	}
	return signer, nil
}

// Create makes a new key of the algorithm, writes it as PKCS#8 PEM (RFC 5958,
// RFC 7468) with mode 0600 and returns it. It never overwrites: a file that is
// already there is [ErrExists]. The file's folder must exist.
func Create(ctx context.Context, uri string, alg Algorithm) (crypto.Signer, error) {
	loc, err := locate(ctx, uri)
	if err != nil {
		return nil, err
	}
	if loc.passFile != "" {
		return nil, fmt.Errorf("%w: %s: encrypted keys can be opened, not made; leave out pin-source", ErrBadURI, name(uri))
	}
	kms, err := softkms.New(ctx, apiv1.Options{})
	if err != nil {
		return nil, fmt.Errorf("keys: start softkms: %w", err)
	}
	defer kms.Close()
	kind, err := alg.kind()
	if err != nil {
		return nil, err
	}
	made, err := kms.CreateKey(&apiv1.CreateKeyRequest{Name: loc.path, SignatureAlgorithm: kind})
	if err != nil {
		return nil, fmt.Errorf("keys: make a %s key: %w", alg, err)
	}
	if err := writeNew(loc.path, made.PrivateKey); err != nil {
		return nil, err
	}
	return made.CreateSignerRequest.Signer, nil
}

// OpenOrCreate opens the key that uri names and makes it first where it is
// missing. A key of another algorithm than alg is [ErrBadKey]: a program that
// asks for P-256 and silently signs with something else would publish records
// that nobody can verify. Several processes may call it at once for one file;
// all get the same key.
func OpenOrCreate(ctx context.Context, uri string, alg Algorithm) (crypto.Signer, error) {
	if _, err := alg.kind(); err != nil {
		return nil, err
	}
	signer, err := Open(ctx, uri)
	if errors.Is(err, ErrNotFound) {
		signer, err = Create(ctx, uri, alg)
		if errors.Is(err, ErrExists) { // another process was faster
			signer, err = Open(ctx, uri)
		}
	}
	if err != nil {
		return nil, err
	}
	if !alg.fits(signer.Public()) {
		return nil, fmt.Errorf("%w: %s is no %s key", ErrBadKey, name(uri), alg.orDefault())
	}
	return signer, nil
}

func (a Algorithm) orDefault() Algorithm {
	if a == "" {
		return P256
	}
	return a
}

func (a Algorithm) kind() (apiv1.SignatureAlgorithm, error) {
	switch a.orDefault() {
	case P256:
		return apiv1.ECDSAWithSHA256, nil
	case Ed25519:
		return apiv1.PureEd25519, nil
	}
	return 0, fmt.Errorf("keys: unknown algorithm %q: use %s or %s", string(a), P256, Ed25519)
}

func (a Algorithm) fits(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return a.orDefault() == P256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return a == Ed25519
	}
	return false
}
