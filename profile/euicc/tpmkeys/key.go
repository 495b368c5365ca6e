package tpmkeys

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// use is what a key is for; no key is for both.
type use int

const (
	agreement use = iota
	signing
)

// key is a wrapped key, which is loaded when it is used.
type key struct {
	tpm     *TPM
	use     use
	public  []byte // TPM2B_PUBLIC, as the TPM gave it
	private []byte // TPM2B_PRIVATE
	name    tpm2.TPM2BName
	point   *ecdh.PublicKey
}

// template is what a key for u is made from. The TPM has made the key itself,
// and neither the key nor its parent can leave.
func template(u use, guarded bool) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: !guarded,
			Decrypt: u == agreement, SignEncrypt: u == signing,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

// create has the TPM make a key.
func (t *TPM) create(u use) (*key, error) {
	var k *key
	err := t.do(func() error {
		return t.withPrimary(func(p *primary) (err error) {
			rsp, err := tpm2.Create{
				ParentHandle: p.authorised(),
				InSensitive: tpm2.TPM2BSensitiveCreate{
					Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: t.auth}},
				},
				InPublic: tpm2.New2B(template(u, len(t.auth) > 0)),
			}.Execute(t.wire)
			if err != nil {
				return fmt.Errorf("tpmkeys: create a key: %w", err)
			}
			k, err = t.key(u, tpm2.Marshal(rsp.OutPublic), tpm2.Marshal(rsp.OutPrivate))
			return err
		})
	})
	return k, err
}

// key makes a key of its two halves, after looking whether it is one for u.
func (t *TPM) key(u use, public, private []byte) (*key, error) {
	bad := func(err error) (*key, error) { return nil, fmt.Errorf("%w: %w", ErrKey, err) }
	outer, err := tpm2.Unmarshal[tpm2.TPM2BPublic](public)
	if err != nil {
		return bad(err)
	}
	inner, err := outer.Contents()
	if err != nil {
		return bad(err)
	}
	if _, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](private); err != nil {
		return bad(err)
	}
	pub, err := point(inner)
	if err != nil {
		return bad(err)
	}
	asked := template(u, !inner.ObjectAttributes.NoDA)
	asked.Unique = inner.Unique
	if !bytes.Equal(tpm2.Marshal(tpm2.New2B(asked)), public) {
		return bad(errors.New("it is for another use, or can leave the TPM"))
	}
	name, err := tpm2.ObjectName(inner)
	if err != nil {
		return bad(err)
	}
	return &key{tpm: t, use: u, public: public, private: private, name: *name, point: pub}, nil
}

// point returns the point of a key on P-256.
func point(public *tpm2.TPMTPublic) (*ecdh.PublicKey, error) {
	parms, err := public.Parameters.ECCDetail()
	if err != nil {
		return nil, err
	}
	unique, err := public.Unique.ECC()
	if err != nil {
		return nil, err
	}
	if parms.CurveID != tpm2.TPMECCNistP256 {
		return nil, errors.New("not on P-256")
	}
	x, okX := coordinate(unique.X)
	y, okY := coordinate(unique.Y)
	if !okX || !okY {
		return nil, errors.New("no point of P-256")
	}
	return ecdh.P256().NewPublicKey(append(append([]byte{4}, x...), y...))
}

const coordinateSize = 32 // of P-256, in bytes

// coordinate writes p at full length: TPMs may leave out leading zeros.
func coordinate(p tpm2.TPM2BECCParameter) ([]byte, bool) {
	b := bytes.TrimLeft(p.Buffer, "\x00")
	if len(b) > coordinateSize {
		return nil, false
	}
	return append(make([]byte, coordinateSize-len(b)), b...), true
}

// with runs a command with the key, which it loads where it is not.
func (k *key) with(command func(tpm2.AuthHandle) error) error {
	t := k.tpm
	return t.do(func() error {
		if err := t.load(k); err != nil {
			return err
		}
		return command(tpm2.AuthHandle{Handle: t.loaded[k], Name: k.name, Auth: t.sessions[k.use]})
	})
}

func (t *TPM) load(k *key) error {
	if _, loaded := t.loaded[k]; loaded {
		return nil
	}
	return t.withPrimary(func(p *primary) error {
		if err := t.start(k.use, p); err != nil {
			return err
		}
		public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](k.public)
		if err != nil {
			return err
		}
		private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](k.private)
		if err != nil {
			return err
		}
		rsp, err := tpm2.Load{ParentHandle: p.authorised(), InPrivate: *private, InPublic: *public}.Execute(t.wire)
		if err != nil {
			return fmt.Errorf("tpmkeys: load a key: %w", err)
		}
		t.loaded[k] = rsp.ObjectHandle
		return nil
	})
}
