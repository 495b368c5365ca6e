package claim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/iotregistry/sdk/internal/csvfile"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// maxSignature bounds a signature; base64 of the longest, by RSA of 8192 bits,
// has about 1,400 characters.
const maxSignature = 4 << 10

// columns are those of a signed list.
var columns = []csvfile.Column[Claim]{
	{Name: "Device ID", Required: true, Set: func(c *Claim, s string) (err error) { c.Device, err = eid.Parse(s); return err }},
	{Name: "Public Key", Required: true, Lines: true, Set: setKey},
	{Name: "Model", Set: func(c *Claim, s string) error { c.Model = s; return nil }},
	{Name: "CSR", Lines: true, Set: setCSR},
}

func setKey(c *Claim, text string) error {
	key, err := profile.ParsePublicKey(text)
	if err == nil {
		c.Key = profile.FormatPublicKey(key)
	}
	return err
}

// setCSR reads base64, with line breaks or without; an empty cell is no request.
func setCSR(c *Claim, text string) error {
	text = strings.Join(strings.Fields(text), "")
	if text == "" {
		return nil
	}
	if len(text) > base64.StdEncoding.EncodedLen(profile.MaxCSR) {
		return fmt.Errorf("%w: it is longer than %d bytes", profile.ErrCSR, profile.MaxCSR)
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%w: it is not base64 of DER", profile.ErrCSR)
	}
	if _, err := profile.ParseCSR(der); err != nil {
		return err
	}
	c.CSR = der
	return nil
}

// ReadSigned reads a maker's list: CSV (RFC 4180) with the columns Device ID,
// Public Key (as profile.ParsePublicKey reads it) and, if wanted, Model and CSR
// (PKCS #10 in DER in base64, as profile.ParseCSR reads it; of some devices the
// cell may be empty), in any order, by the rules of registry.ReadCSV.
//
// signature is over the exact bytes of the file: ECDSA on P-256 or P-384 in
// ASN.1 DER or RSA PKCS #1 v1.5 (2048 to 8192 bits), both with SHA-256, or
// Ed25519 (RFC 8032); raw or in base64, with line breaks or without. The list
// is the first maker's one of whose keys verifies it, which takes one hash of
// the file and another one for each Ed25519 key.
//
// Rows that are right come back whatever is wrong with others, which are in
// List.Bad. An error is for the whole file and leaves nothing to use: its
// reader fails, ErrSignature, ErrHeader, ErrTooLarge.
func ReadSigned(r io.Reader, signature []byte, makers ...Maker) (*List, error) {
	list, err := readSigned(r, signature, makers)
	if err != nil {
		return nil, fmt.Errorf("claim: read signed list: %w", err)
	}
	return list, nil
}

func readSigned(r io.Reader, signature []byte, makers []Maker) (*List, error) {
	file, err := readFile(r)
	if err != nil {
		return nil, err
	}
	account, err := signer(file, signature, makers)
	if err != nil {
		return nil, err
	}
	claims, wrong, err := csvfile.Format[Claim]{
		Columns:   columns,
		ErrHeader: ErrHeader,
		New:       func(line int) Claim { return Claim{Line: line} },
		Key:       func(c *Claim) string { return c.Device.String() },
		Limits:    csvfile.Limits{Bytes: MaxFile, Rows: MaxFile, Wrong: maxWrong},
	}.Read(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	list := &List{Maker: account, Claims: claims}
	for _, w := range wrong {
		list.Bad = append(list.Bad, &ItemError{Line: w.Line, Device: w.Row.Device, Column: w.Column, Err: w.Err})
	}
	return list, nil
}

// signer returns the account of the first maker whose key verifies.
func signer(file, signature []byte, makers []Maker) (string, error) {
	if len(signature) > maxSignature {
		return "", fmt.Errorf("%w: it has more than %d bytes, which no signature has", ErrSignature, maxSignature)
	}
	forms := [][]byte{signature}
	if raw, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(signature), nil))); err == nil {
		forms = append(forms, raw)
	}
	digest := sha256.Sum256(file)
	for _, m := range makers {
		for _, key := range m.Keys {
			if checkKey(key) != nil {
				continue
			}
			for _, form := range forms {
				if verify(key, file, digest[:], form) {
					return m.Account, nil
				}
			}
		}
	}
	return "", ErrSignature
}

// verify takes keys that checkKey accepts.
func verify(key crypto.PublicKey, file, digest, signature []byte) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, signature) == nil
	case ed25519.PublicKey: // the length first: this one hashes the file again
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(k, file, signature)
	}
	return false
}
