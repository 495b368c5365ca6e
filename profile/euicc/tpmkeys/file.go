package tpmkeys

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-tpm/tpm2"
)

// Keys are the keys of one device.
type Keys struct {
	Agreement *Agreement // opens profiles
	Signer    *Signer    // for TLS, or as SK.EUICC
}

// The blocks of a key file.
const (
	keyBlock    = "TSS2 PRIVATE KEY"
	parentBlock = "TPM2 STORAGE PRIMARY NAME"
	maxFile     = 16 << 10 // a file has about 1 KiB
)

// CreateKeys makes a device's keys and files them at path, which must not exist:
// where it does, the error wraps fs.ErrExist, and nothing is made. The file is
// readable by its owner only, and on the disk when the call returns. After a
// power cut in between, LoadKeys says ErrKey: remove the file and begin again.
func (t *TPM) CreateKeys(path string) (*Keys, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("tpmkeys: create keys: %w", err)
	}
	keys, err := t.createKeys(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tpmkeys: create keys: %w", err), os.Remove(path))
	}
	return keys, nil
}

func (t *TPM) createKeys(f *os.File) (*Keys, error) {
	a, err := t.NewAgreement()
	if err != nil {
		return nil, err
	}
	s, err := t.NewSigner()
	if err != nil {
		return nil, err
	}
	parent := pem.EncodeToMemory(&pem.Block{Type: parentBlock, Bytes: t.parent})
	if _, err := f.Write(append(append(parent, a.Wrapped()...), s.Wrapped()...)); err != nil {
		return nil, err
	}
	return &Keys{a, s}, f.Sync()
}

// LoadKeys brings back the keys that CreateKeys has filed at path. Errors wrap
// fs.ErrNotExist, ErrKey (not such a file), ErrForeign (of another TPM) or
// ErrAuth.
func (t *TPM) LoadKeys(path string) (*Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tpmkeys: load keys: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tpmkeys: load keys: %w", err)
	}
	parent, rest, err := block(text, parentBlock)
	if err != nil {
		return nil, err
	}
	if err := t.is(parent); err != nil {
		return nil, err
	}
	first, rest, err := block(rest, keyBlock)
	if err != nil {
		return nil, err
	}
	second, rest, err := block(rest, keyBlock)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: more follows the keys", ErrKey)
	}
	return t.loadKeys(first, second)
}

func (t *TPM) loadKeys(first, second []byte) (*Keys, error) {
	a, err := t.decode(agreement, first)
	if err != nil {
		return nil, err
	}
	s, err := newSigner(t.decode(signing, second))
	if err != nil {
		return nil, err
	}
	return &Keys{&Agreement{a}, s}, nil
}

// is reports as an error whether t's storage primary has another name.
func (t *TPM) is(parent []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !bytes.Equal(t.parent, parent) {
		return ErrForeign
	}
	return nil
}

// block returns what is in text's first PEM block, which is of type kind and
// has nothing before it.
func block(text []byte, kind string) (content, rest []byte, err error) {
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrKey, maxFile)
	}
	b, rest := pem.Decode(text)
	if b == nil || b.Type != kind || len(b.Headers) > 0 || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN "+kind)) {
		return nil, nil, fmt.Errorf("%w: no %s in PEM", ErrKey, kind)
	}
	return b.Bytes, rest, nil
}

// wrappedKey is a TPM 2.0 key file (draft-bottomley-tpm2-keys), as far as keys
// of this package need it; OpenSSL's TPM provider reads them too.
type wrappedKey struct {
	Type      asn1.ObjectIdentifier
	EmptyAuth bool `asn1:"optional,explicit,tag:0"`
	Parent    int64
	Public    []byte // TPM2B_PUBLIC
	Private   []byte // TPM2B_PRIVATE
}

// loadable is id-loadablekey of the TCG.
func loadable() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3} }

func (k *key) wrapped() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: wrappedKey{
		Type: loadable(), EmptyAuth: len(k.tpm.auth) == 0, Parent: int64(tpm2.TPMRHOwner), Public: k.public, Private: k.private,
	}.der()})
}

func (w wrappedKey) der() []byte {
	der, err := asn1.Marshal(w)
	if err != nil {
		return nil // cannot be: object identifiers, integers and octets have an encoding
	}
	return der
}

func parseWrapped(der []byte) (w wrappedKey, err error) {
	_, err = asn1.Unmarshal(der, &w)
	switch {
	case err != nil:
		return w, fmt.Errorf("%w: %w", ErrKey, err)
	case !bytes.Equal(w.der(), der): // package asn1 lets some lengths pass, and what follows
		return w, fmt.Errorf("%w: it is not in DER", ErrKey)
	case !w.Type.Equal(loadable()) || w.Parent != int64(tpm2.TPMRHOwner):
		return w, fmt.Errorf("%w: it is of another kind, or has another parent", ErrKey)
	}
	return w, nil
}

func (t *TPM) unwrap(u use, wrapped []byte) (*key, error) {
	der, rest, err := block(wrapped, keyBlock)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: more follows it", ErrKey)
	}
	return t.decode(u, der)
}

// decode reads a key and has the TPM load it, so that a key of another TPM shows
// now and not at its first use.
func (t *TPM) decode(u use, der []byte) (*key, error) {
	w, err := parseWrapped(der)
	if err != nil {
		return nil, err
	}
	if w.EmptyAuth != (len(t.auth) == 0) {
		return nil, fmt.Errorf("%w: the key was made with one and none is given, or the reverse", ErrAuth)
	}
	k, err := t.key(u, w.Public, w.Private)
	if err != nil {
		return nil, err
	}
	if err := t.do(func() error { return t.load(k) }); err != nil {
		return nil, err
	}
	return k, nil
}
