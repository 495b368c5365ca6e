package profile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrCSR is wrapped by errors about a certificate request that cannot be used.
var ErrCSR = errors.New("unusable certificate request: have the card make a PKCS #10 request in DER for a P-256 key, signed with SHA-256 or better")

// MaxCSR is how large a certificate request may be, in bytes. An ordinary one
// has about 300; cards that add names and attributes stay below a thousand.
const MaxCSR = 4 << 10

// ParseCSR reads a certificate request (PKCS #10, RFC 2986) in DER and returns
// the key it is for, which [Authority.Issue] can certify: today P-256 and no
// other. The signature is checked, so that whoever made the request has the
// private key. Nothing else of it counts: subject, extensions and attributes are
// ignored, since what a device may be called is for its registry to say. The
// request therefore names no device, and whoever takes one must see to it that it
// is not used for two. Errors wrap ErrCSR.
func ParseCSR(der []byte) (crypto.PublicKey, error) {
	if len(der) > MaxCSR {
		return nil, fmt.Errorf("profile: %w: %d bytes, more than %d", ErrCSR, len(der), MaxCSR)
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrCSR, err)
	}
	if _, err := keyIdentifier(req.PublicKey); err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrCSR, err)
	}
	// Package x509 still takes SHA-1 here.
	if req.SignatureAlgorithm == x509.ECDSAWithSHA1 {
		return nil, fmt.Errorf("profile: %w: it is signed with SHA-1", ErrCSR)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("profile: %w: it is not signed by its own key: %w", ErrCSR, err)
	}
	// One key has one form, by which the registry tells keys apart.
	spki, err := x509.MarshalPKIXPublicKey(req.PublicKey)
	if err != nil || !bytes.Equal(spki, req.RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("profile: %w: its key is not in its ordinary form (RFC 5480, uncompressed)", ErrCSR)
	}
	return req.PublicKey, nil
}
