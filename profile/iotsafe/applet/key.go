package applet

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"slices"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/iotsafe"
)

// generate makes a key in o, under another ID if it moves, and puts its public key
// where it belongs.
func (a *Applet) generate(o *object, moves bool) apdu.Status {
	id, pair := o.id, o.pair
	if moves {
		id = a.freeID(o.id)
		if bytes.Equal(o.pair, o.id) {
			pair = id
		}
	}
	public := &object{
		kind: iotsafe.TagPublicKey, id: pair, access: AccessRead, usage: o.usage, functions: CanSign | CanAgree, volatile: o.volatile,
	}
	next := slices.Clone(a.objects)
	if i := slices.IndexFunc(next, public.same); i >= 0 {
		if a.update != nil && slices.ContainsFunc(a.update.objects, public.same) {
			return apdu.AdminInProgress
		}
		public = next[i]
	} else {
		next = append(next, public)
	}
	if a.check(next) != nil {
		return apdu.NotEnoughMemory
	}
	key, err := newKey(a.cfg.Random)
	if err != nil || o.setSigner(key, nil) != nil {
		return apdu.Unknown
	}
	o.id, o.pair, o.inactive = id, pair, false
	public.public, public.inactive = o.public, false
	a.set(next)
	return apdu.OK
}

// newKey draws a key from random as it is: crypto/ecdsa would not.
func newKey(random io.Reader) (*ecdsa.PrivateKey, error) {
	if random == rand.Reader {
		return ecdsa.GenerateKey(elliptic.P256(), random)
	}
	for range 16 { // each try succeeds but with a chance of 2^-32
		b := make([]byte, coordinate)
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b); err == nil {
			return key, nil
		}
	}
	return nil, errInternal
}

// freeID counts up from id until no private key has it.
func (a *Applet) freeID(id []byte) []byte {
	next := bytes.Clone(id)
	for {
		for i := len(next) - 1; i >= 0; i-- {
			if next[i]++; next[i] != 0 {
				break
			}
		}
		taken := func(o *object) bool { return o.kind == iotsafe.TagPrivateKey && bytes.Equal(o.id, next) }
		if bytes.Equal(next, id) || !slices.ContainsFunc(a.objects, taken) {
			return next
		}
	}
}

// GenerateKey has the card make the private key with an ID, as its maker does
// before the registry knows the device, and returns the public one. Where there is
// no such object it makes one whose key no client can replace, and a public key
// with the same ID. It fails with [ErrObject] where there is a key that clients
// may not replace either, and with [ErrFull] or [ErrUpdate].
func (a *Applet) GenerateKey(ctx context.Context, id []byte) (*ecdsa.PublicKey, error) {
	fresh, err := PrivateKey{ID: id, Access: AccessNone}.build(&a.cfg.Quirks)
	if err != nil {
		return nil, err
	}
	if err := a.wait(ctx, a.cfg.Quirks.KeyGeneration); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.update != nil {
		return nil, ErrUpdate
	}
	o := a.private(fresh.id)
	switch {
	case o == nil:
		next, err := a.with([]*object{fresh})
		if err != nil {
			return nil, err
		}
		o = fresh
		a.set(next)
	case o.public != nil && o.access&AccessUpdate == 0:
		return nil, fmt.Errorf("%w: private key %X is there already and not to be replaced", ErrObject, id)
	}
	switch a.generate(o, false) {
	case apdu.OK:
		return o.public, nil
	case apdu.NotEnoughMemory:
		return nil, ErrFull
	}
	return nil, errInternal
}

// private finds a private key by the ID that the card has it under.
func (a *Applet) private(id []byte) *object {
	for _, o := range a.objects {
		if o.kind == iotsafe.TagPrivateKey && bytes.Equal(o.id, id) {
			return o
		}
	}
	return nil
}

// CSR returns a certification request (PKCS #10, DER) for a DNS name, signed by
// the private key with an ID: how a registry gets to certify a key that never
// leaves the card. It fails with [ErrObject] where there is no key.
func (a *Applet) CSR(id []byte, name string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.private(a.cfg.Quirks.pad(id))
	if o == nil || o.state() != iotsafe.StateActive || o.functions&CanSign == 0 {
		return nil, fmt.Errorf("%w: there is no private key %X to sign with", ErrObject, id)
	}
	template := &x509.CertificateRequest{DNSNames: []string{name}, SignatureAlgorithm: x509.ECDSAWithSHA256}
	if len(name) <= maxCommonName {
		template.Subject = pkix.Name{CommonName: name}
	}
	der, err := x509.CreateCertificateRequest(a.cfg.Random, template, crypto.Signer(o.signer))
	if err != nil {
		return nil, fmt.Errorf("applet: certification request for %s: %w", name, err)
	}
	return der, nil
}

// maxCommonName is the most characters of a common name (RFC 5280 appendix A).
const maxCommonName = 64
