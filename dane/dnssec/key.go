package dnssec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" // only for DS type 1 and algorithms 5 and 7, if the caller allows them
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"

	"github.com/miekg/dns"
)

// key is a DNSKEY with its data decoded, once.
type key struct {
	rdata  []byte
	flags  uint16
	alg    uint8
	tag    uint16
	used   bool
	public crypto.PublicKey // nil until asked for
	err    error
}

var errKey = errors.New("key cannot be used")

// readKey decodes a DNSKEY; keys that may not sign zone data are refused (RFC
// 4034 section 2.1, RFC 5011 section 2.1).
func readKey(rr *dns.DNSKEY) (*key, bool) {
	if rr.Protocol != 3 || rr.Flags&dns.ZONE == 0 || rr.Flags&dns.REVOKE != 0 {
		return nil, false
	}
	return decodeKey(rr)
}

func decodeKey(rr *dns.DNSKEY) (*key, bool) {
	material, err := base64.StdEncoding.DecodeString(rr.PublicKey)
	if err != nil {
		return nil, false
	}
	rdata := append16(make([]byte, 0, 4+len(material)), rr.Flags)
	rdata = append(append(rdata, rr.Protocol, rr.Algorithm), material...)
	return &key{rdata: rdata, flags: rr.Flags, alg: rr.Algorithm, tag: keyTag(rdata)}, true
}

// keyTag is RFC 4034 appendix B. Algorithm 1, which has another, is not
// supported.
func keyTag(rdata []byte) uint16 {
	var sum uint32
	for i, b := range rdata {
		if i&1 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
	}
	return uint16(sum + sum>>16&0xFFFF)
}

// digest is the digest of a DS record for the key (RFC 4034 section 5.1.4).
func (k *key) digest(owner name, kind uint8) []byte {
	data := append([]byte(owner), k.rdata...)
	switch kind {
	case dns.SHA1:
		sum := sha1.Sum(data)
		return sum[:]
	case dns.SHA256:
		sum := sha256.Sum256(data)
		return sum[:]
	case dns.SHA384:
		sum := sha512.Sum384(data)
		return sum[:]
	}
	return nil
}

// matches reports whether a DS record is for this key.
func (k *key) matches(owner name, ds *dns.DS) bool {
	if k.tag != ds.KeyTag || k.alg != ds.Algorithm {
		return false
	}
	want, err := hex.DecodeString(ds.Digest)
	return err == nil && len(want) > 0 && bytes.Equal(want, k.digest(owner, ds.DigestType))
}

// open parses the public key, once.
func (k *key) open() (crypto.PublicKey, error) {
	if k.public == nil && k.err == nil {
		k.public, k.err = parsePublic(k.alg, k.rdata[4:])
	}
	return k.public, k.err
}

func parsePublic(alg uint8, b []byte) (crypto.PublicKey, error) {
	switch alg {
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512:
		return parseRSA(b)
	case dns.ECDSAP256SHA256:
		return parseECDSA(elliptic.P256(), b)
	case dns.ECDSAP384SHA384:
		return parseECDSA(elliptic.P384(), b)
	case dns.ED25519:
		if len(b) == ed25519.PublicKeySize {
			return ed25519.PublicKey(b), nil
		}
	}
	return nil, errKey
}

// parseRSA reads RFC 3110 section 2, with bounds on the work that an odd key
// could cause.
func parseRSA(b []byte) (crypto.PublicKey, error) {
	if len(b) < 3 {
		return nil, errKey
	}
	size, b := int(b[0]), b[1:]
	if size == 0 {
		size, b = int(b[0])<<8|int(b[1]), b[2:]
	}
	if size == 0 || size > 4 || len(b) <= size {
		return nil, errKey
	}
	exponent := 0
	for _, c := range b[:size] {
		exponent = exponent<<8 | int(c)
	}
	modulus := new(big.Int).SetBytes(b[size:])
	if bits := modulus.BitLen(); bits < 1024 || bits > 4096 || exponent < 3 || exponent > 1<<31-1 || exponent&1 == 0 {
		return nil, errKey
	}
	return &rsa.PublicKey{N: modulus, E: exponent}, nil
}

// parseECDSA reads RFC 6605 section 4.
func parseECDSA(curve elliptic.Curve, b []byte) (crypto.PublicKey, error) {
	public, err := ecdsa.ParseUncompressedPublicKey(curve, append([]byte{4}, b...))
	if err != nil {
		return nil, errKey
	}
	return public, nil
}

// hashOf returns the hash of an algorithm; 0 for Ed25519, which hashes itself.
func hashOf(alg uint8, data []byte) (crypto.Hash, []byte) {
	switch alg {
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1:
		sum := sha1.Sum(data)
		return crypto.SHA1, sum[:]
	case dns.RSASHA256, dns.ECDSAP256SHA256:
		sum := sha256.Sum256(data)
		return crypto.SHA256, sum[:]
	case dns.ECDSAP384SHA384:
		sum := sha512.Sum384(data)
		return crypto.SHA384, sum[:]
	case dns.RSASHA512:
		sum := sha512.Sum512(data)
		return crypto.SHA512, sum[:]
	}
	return 0, data
}

// verify checks a signature over data hashed by hashOf.
func (k *key) verify(hash crypto.Hash, digest, sig []byte) bool {
	public, err := k.open()
	if err != nil {
		return false
	}
	switch p := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(p, hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		size := (p.Curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return false
		}
		return ecdsa.Verify(p, digest, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(p, digest, sig)
	}
	return false
}
