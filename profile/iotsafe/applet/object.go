package applet

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/iotsafe"
	"github.com/iotregistry/sdk/profile"
)

// Errors about objects. ErrObject is for what no card could hold, ErrFull for
// what this one has no room for.
var (
	ErrObject = errors.New("applet: unusable object")
	ErrFull   = errors.New("applet: the store is full; raise Config.Limits or remove objects")
)

// MaxFile is the most bytes of a file.
const MaxFile = 1<<16 - 1

// maxSecret bounds a secret; what commands bring is shorter.
const maxSecret = 255

// Access is what clients may do to an object, as bits; zero is what is usual for
// its kind.
type Access byte

// Access conditions.
const (
	AccessRead   Access = iotsafe.AccessRead
	AccessUpdate Access = iotsafe.AccessUpdate
	AccessNone   Access = 0x80 // neither
)

// Usage is what a key or file is for, as clients are told.
type Usage byte

// Usages of keys and files; zero is General.
const (
	UsageGeneral     Usage = iotsafe.KeyGeneral
	UsageTLS12       Usage = iotsafe.KeyTLS12        // of keys: CertificateVerify
	UsageTLS13       Usage = iotsafe.KeyTLS13        // of keys: CertificateVerify; other full texts are not signed
	UsageCertificate Usage = iotsafe.FileCertificate // of files: X.509
)

// Functions is what a key can do, as bits; zero is everything.
type Functions byte

// Functions of keys.
const (
	CanSign     Functions = iotsafe.FunctionSign // and verify
	CanGenerate Functions = iotsafe.FunctionGenerate
	CanAgree    Functions = iotsafe.FunctionAgree
	CanDerive   Functions = iotsafe.FunctionDerive
)

// Object is what the card's store keeps: a [File], [PrivateKey], [PublicKey] or
// [Secret]; or the [Removal] of one. Each kind has IDs of its own, of 1 to 20
// bytes; labels have 60 bytes at most and need not be. What is put takes the place
// of the object of that kind with the same ID.
type Object interface {
	build(q *Quirks) (*object, error)
}

// File is a file, such as a certificate.
type File struct {
	ID     []byte
	Label  string
	Data   []byte // at most MaxFile bytes; empty: commands are refused
	Usage  Usage  // General or Certificate
	Access Access // zero: read
}

// PrivateKey is a private key on P-256, or the place of one that the card makes.
// It prints without the key.
type PrivateKey struct {
	ID    []byte
	Label string

	// Key signs, and agrees on keys if it is an *ecdsa.PrivateKey; nil: there is
	// none yet. Where it lives elsewhere a Snapshot has its public key only. It may
	// not call the card.
	Key       crypto.Signer     `json:"-"`
	Exchanger ecdh.KeyExchanger `json:"-"` // agrees on keys for another Key; nil: cannot

	Public    []byte // ID of the public key that GENERATE KEY PAIR makes; nil: ID
	Usage     Usage
	Functions Functions
	Access    Access // zero: update (generate) where Key is nil, else none
	Volatile  bool   // the key is gone without power
	Inactive  bool   // commands are refused until a key is generated
}

// PublicKey is a public key on P-256, or the place of one.
type PublicKey struct {
	ID        []byte
	Label     string
	Key       *ecdsa.PublicKey // nil: there is none yet
	Usage     Usage
	Functions Functions
	Access    Access // zero: read and update
	Volatile  bool   // the key is gone without power
	Inactive  bool   // commands are refused until a key is put
}

// Secret is a key of HMAC for PRF and HKDF.
type Secret struct {
	ID        []byte
	Label     string
	Key       profile.Secret // 1 to 255 bytes
	Functions Functions      // zero: derive
	Access    Access         // zero: none
	Inactive  bool
}

// Removal takes an object away; it need not be there.
type Removal struct{ Object Object } // of which kind and ID count

// String hides the key.
func (k PrivateKey) String() string { return fmt.Sprintf("private key %X", k.ID) }

// Format is String for every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// object is an object in the store. Commands change it in place; what an update
// brings is another.
type object struct {
	kind      bertlv.Tag // of its description
	id        []byte
	label     string
	access    Access
	usage     Usage
	functions Functions
	volatile  bool
	inactive  bool

	data []byte // of a file or secret
	size int    // of a file, padding included

	signer    crypto.Signer // of a private key; nil: none
	exchanger ecdh.KeyExchanger
	outside   bool             // the signer lives elsewhere
	public    *ecdsa.PublicKey // of both kinds of keys; nil: none
	pair      []byte           // ID of a private key's public key

	updated bool // by remote administration, and nobody was told yet
	removed bool // build's answer to a Removal
}

// state is inactive also where there is nothing in it.
func (o *object) state() byte {
	if o.inactive || o.public == nil && len(o.data) == 0 {
		return iotsafe.StateInactive
	}
	return iotsafe.StateActive
}

func (o *object) keyType() byte {
	if o.volatile {
		return iotsafe.KeyP256Volatile
	}
	return iotsafe.KeyP256Persistent
}

// empty takes a key away.
func (o *object) empty() { o.signer, o.exchanger, o.outside, o.public = nil, nil, false, nil }

// content returns n bytes of a file from offset, fewer at its end.
func (o *object) content(offset, n int) []byte {
	b := make([]byte, min(n, o.size-offset))
	copy(b, o.data[min(offset, len(o.data)):])
	return b
}

// use says whether a key may do something.
func (o *object) use(f Functions) apdu.Status {
	switch {
	case o.state() != iotsafe.StateActive:
		return apdu.ConditionsNotMet
	case o.functions&f == 0:
		return apdu.CommandIncompatible
	}
	return apdu.OK
}

// same reports whether two objects stand in the same place.
func (o *object) same(p *object) bool { return o.kind == p.kind && bytes.Equal(o.id, p.id) }

// base checks what all kinds share.
func base(q *Quirks, kind bertlv.Tag, id []byte, label string) (*object, error) {
	o := &object{kind: kind, id: q.pad(id), label: label}
	switch {
	case len(id) == 0 || !q.goodID(o.id):
		return nil, fmt.Errorf("%w: an ID has not 1 to %d bytes, or more than the card's", ErrObject, iotsafe.MaxID)
	case len(label) > iotsafe.MaxLabel:
		return nil, fmt.Errorf("%w: a label has more than %d bytes", ErrObject, iotsafe.MaxLabel)
	}
	return o, nil
}

// or returns the first that is not zero, without the bit that says none.
func (a Access) or(usual Access) Access {
	if a == 0 {
		a = usual
	}
	return a &^ AccessNone
}

// orElse returns the first that is not zero.
func orElse[T ~byte](value, usual T) T {
	if value == 0 {
		return usual
	}
	return value
}

func (f File) build(q *Quirks) (*object, error) {
	o, err := base(q, iotsafe.TagFile, f.ID, f.Label)
	if err != nil {
		return nil, err
	}
	o.access, o.usage = f.Access.or(AccessRead), orElse(f.Usage, UsageGeneral)
	o.data, o.size = bytes.Clone(f.Data), len(f.Data)
	if q.FileSize != 0 {
		o.size = q.FileSize
	}
	if len(f.Data) > o.size || o.size > MaxFile {
		return nil, fmt.Errorf("%w: file %X has %d bytes, more than the card takes", ErrObject, f.ID, len(f.Data))
	}
	return o, nil
}

func (k PrivateKey) build(q *Quirks) (*object, error) {
	o, err := base(q, iotsafe.TagPrivateKey, k.ID, k.Label)
	if err != nil {
		return nil, err
	}
	o.usage, o.volatile, o.inactive = orElse(k.Usage, UsageGeneral), k.Volatile, k.Inactive
	o.functions = orElse(k.Functions, CanSign|CanGenerate|CanAgree|CanDerive)
	o.access = k.Access.or(AccessNone)
	if k.Key == nil {
		o.access = k.Access.or(AccessUpdate)
	}
	o.pair = bytes.Clone(o.id)
	if len(k.Public) > 0 {
		o.pair = q.pad(k.Public)
	}
	if !q.goodID(o.pair) {
		return nil, fmt.Errorf("%w: private key %X: Public is no ID of this card", ErrObject, k.ID)
	}
	if k.Key == nil {
		return o, nil
	}
	return o, o.setSigner(k.Key, k.Exchanger)
}

// setSigner fills a private key.
func (o *object) setSigner(key crypto.Signer, exchanger ecdh.KeyExchanger) error {
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || public == nil || public.Curve != elliptic.P256() {
		return fmt.Errorf("%w: private key %X is not ECDSA on P-256", ErrObject, o.id)
	}
	o.signer, o.exchanger, o.public, o.outside = key, exchanger, public, true
	own, soft := key.(*ecdsa.PrivateKey)
	if soft {
		o.outside = false
		agree, err := own.ECDH()
		if err != nil {
			return fmt.Errorf("%w: private key %X: unusable", ErrObject, o.id)
		}
		o.exchanger = agree
	}
	if o.exchanger == nil {
		return nil
	}
	point, err := public.Bytes()
	if err != nil || o.exchanger.Curve() != ecdh.P256() || !bytes.Equal(o.exchanger.PublicKey().Bytes(), point) {
		return fmt.Errorf("%w: private key %X: Exchanger is of another key", ErrObject, o.id)
	}
	return nil
}

func (k PublicKey) build(q *Quirks) (*object, error) {
	o, err := base(q, iotsafe.TagPublicKey, k.ID, k.Label)
	if err != nil {
		return nil, err
	}
	o.usage, o.volatile, o.inactive = orElse(k.Usage, UsageGeneral), k.Volatile, k.Inactive
	o.functions = orElse(k.Functions, CanSign|CanAgree)
	o.access = k.Access.or(AccessRead | AccessUpdate)
	if k.Key == nil {
		return o, nil
	}
	if k.Key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: public key %X is not on P-256", ErrObject, k.ID)
	}
	point, err := k.Key.Bytes()
	if err == nil {
		o.public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: public key %X: %w", ErrObject, k.ID, err)
	}
	return o, nil
}

func (s Secret) build(q *Quirks) (*object, error) {
	o, err := base(q, iotsafe.TagSecret, s.ID, s.Label)
	if err != nil {
		return nil, err
	}
	if len(s.Key) == 0 || len(s.Key) > maxSecret {
		return nil, fmt.Errorf("%w: secret %X has not 1 to %d bytes", ErrObject, s.ID, maxSecret)
	}
	o.access, o.functions, o.inactive = s.Access.or(AccessNone), orElse(s.Functions, CanDerive), s.Inactive
	o.data = bytes.Clone(s.Key.Reveal())
	return o, nil
}

func (r Removal) build(q *Quirks) (*object, error) {
	var kind bertlv.Tag
	var id []byte
	switch o := r.Object.(type) {
	case File:
		kind, id = iotsafe.TagFile, o.ID
	case PrivateKey:
		kind, id = iotsafe.TagPrivateKey, o.ID
	case PublicKey:
		kind, id = iotsafe.TagPublicKey, o.ID
	case Secret:
		kind, id = iotsafe.TagSecret, o.ID
	default:
		return nil, fmt.Errorf("%w: Removal wants a File, PrivateKey, PublicKey or Secret", ErrObject)
	}
	o, err := base(q, kind, id, "")
	if err != nil {
		return nil, err
	}
	o.removed = true
	return o, nil
}
