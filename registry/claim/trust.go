package claim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrTrust is wrapped by errors about a text of which no file could be verified.
var ErrTrust = errors.New("unusable trust: give PEM blocks of type PUBLIC KEY (ECDSA P-256 or P-384, RSA of 2048 to 8192 bits, Ed25519) or CERTIFICATE (of a CA, with such a key)")

// Bounds of a trust text: its length in bytes and its blocks. Every one of them
// may cost a look at a whole file.
const (
	maxTrust  = 64 << 10
	maxBlocks = 32
)

// ParseTrust reads what an account record says of a maker: PEM blocks (RFC
// 7468) of type PUBLIC KEY for the keys that sign its lists, and CERTIFICATE
// for the CAs that sign its devices' certificates, in any order, 64 kB and 32
// blocks at most. A blank text trusts nobody. Errors wrap ErrTrust and name the
// line. Whether a root has expired is seen when it is used.
func ParseTrust(pem string) (keys []crypto.PublicKey, roots []*x509.Certificate, err error) {
	if len(pem) > maxTrust {
		return nil, nil, fmt.Errorf("claim: %w: more than %d bytes", ErrTrust, maxTrust)
	}
	n := 0
	for b := range blocks([]byte(pem)) {
		if n++; n > maxBlocks {
			return nil, nil, fmt.Errorf("claim: %w: more than %d blocks", ErrTrust, maxBlocks)
		}
		key, root, err := parseAnchor(b)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("claim: %w: line %d: %w", ErrTrust, b.line, err)
		case root != nil:
			roots = append(roots, root)
		default:
			keys = append(keys, key)
		}
	}
	if n == 0 && strings.TrimSpace(pem) != "" {
		return nil, nil, fmt.Errorf("claim: %w: no PEM block in it", ErrTrust)
	}
	return keys, roots, nil
}

// parseAnchor returns a key or a root.
func parseAnchor(b block) (crypto.PublicKey, *x509.Certificate, error) {
	if b.err != nil {
		return nil, nil, b.err
	}
	switch b.kind {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(b.der)
		if err != nil {
			return nil, nil, err
		}
		return key, nil, checkKey(key)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(b.der)
		if err != nil {
			return nil, nil, err
		}
		return nil, cert, checkCA(cert)
	}
	return nil, nil, fmt.Errorf("a block of type %q", b.kind)
}

// FormatTrust writes keys and roots as ParseTrust reads them, and refuses what
// that would refuse.
func FormatTrust(keys []crypto.PublicKey, roots []*x509.Certificate) (string, error) {
	var b strings.Builder
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return "", fmt.Errorf("claim: %w: %w", ErrTrust, err)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return "", fmt.Errorf("claim: %w: %w", ErrTrust, err)
		}
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	for _, root := range roots {
		if err := checkCA(root); err != nil {
			return "", fmt.Errorf("claim: %w: %w", ErrTrust, err)
		}
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	}
	if len(keys)+len(roots) > maxBlocks || b.Len() > maxTrust {
		return "", fmt.Errorf("claim: %w: more than %d blocks or %d bytes", ErrTrust, maxBlocks, maxTrust)
	}
	return b.String(), nil
}

// RSA keys above this size cost more to verify with than they add.
const minRSA, maxRSA = 2048, 8192

// checkKey reports why key cannot verify.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k != nil && (k.Curve == elliptic.P256() || k.Curve == elliptic.P384()) {
			return nil
		}
		return errors.New("an ECDSA key on another curve than P-256 and P-384")
	case *rsa.PublicKey:
		if k != nil && k.N != nil && k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA {
			return nil
		}
		return errors.New("an RSA key with less than 2048 or more than 8192 bits")
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return nil
		}
		return errors.New("an Ed25519 key of the wrong length")
	}
	return fmt.Errorf("a %T cannot verify signatures", key)
}

// checkCA reports why cert cannot sign certificates.
func checkCA(cert *x509.Certificate) error {
	switch {
	case cert == nil:
		return errors.New("no certificate")
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return errors.New("a certificate that is not a CA's (basicConstraints CA:TRUE); a device's or a signing certificate is no root")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("a CA certificate whose keyUsage lacks keyCertSign")
	}
	return checkKey(cert.PublicKey)
}
