package publish

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Flags of a [Key] (RFC 4034 s2.1.1).
const (
	KSK = 257 // zone key with the secure entry point bit: signs the DNSKEY RRset
	ZSK = 256 // zone key: signs everything else
)

// Key is one DNSSEC key of a zone. A zone that has only KSKs, or only ZSKs, of
// an algorithm uses them for everything.
type Key struct {
	// Signer signs. It must be safe for concurrent use; the private key may
	// live in a file, a TPM or an HSM.
	Signer crypto.Signer
	// Flags is KSK (257) or ZSK (256).
	Flags uint16
	// Algorithm is the DNSSEC algorithm number: 13 (ECDSA P-256), 14 (ECDSA
	// P-384), 15 (Ed25519), 8 or 10 (RSA with SHA-256 or SHA-512).
	Algorithm uint8
}

// zoneKey is a Key ready for use.
type zoneKey struct {
	Key
	tag  uint16
	size int // octets of each half of an ECDSA signature
	rr   *dns.DNSKEY
}

func newZoneKey(k Key, origin string, ttl uint32) (*zoneKey, error) {
	if k.Signer == nil {
		return nil, errors.New("publish: key has no signer")
	}
	if k.Flags != KSK && k.Flags != ZSK {
		return nil, fmt.Errorf("publish: key flags %d are neither %d nor %d", k.Flags, ZSK, KSK)
	}
	public, size, err := publicKey(k.Signer.Public(), k.Algorithm)
	if err != nil {
		return nil, err
	}
	rr := &dns.DNSKEY{
		Hdr:       dns.RR_Header{Name: origin, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: ttl},
		Flags:     k.Flags,
		Protocol:  3,
		Algorithm: k.Algorithm,
		PublicKey: base64.StdEncoding.EncodeToString(public),
	}
	return &zoneKey{Key: k, tag: rr.KeyTag(), size: size, rr: rr}, nil
}

// publicKey returns the public key field of a DNSKEY (RFC 6605 s4, RFC 8080
// s3, RFC 3110 s2).
func publicKey(key crypto.PublicKey, algorithm uint8) (field []byte, size int, err error) {
	bad := fmt.Errorf("publish: a %T does not fit DNSSEC algorithm %d", key, algorithm)
	switch algorithm {
	case dns.ECDSAP256SHA256, dns.ECDSAP384SHA384:
		pub, ok := key.(*ecdsa.PublicKey)
		curve := elliptic.P256()
		if algorithm == dns.ECDSAP384SHA384 {
			curve = elliptic.P384()
		}
		if !ok || pub.Curve != curve {
			return nil, 0, bad
		}
		point, err := pub.Bytes()
		if err != nil {
			return nil, 0, fmt.Errorf("publish: public key: %w", err)
		}
		return point[1:], (len(point) - 1) / 2, nil
	case dns.ED25519:
		pub, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, 0, bad
		}
		return pub, 0, nil
	case dns.RSASHA256, dns.RSASHA512:
		pub, ok := key.(*rsa.PublicKey)
		if !ok || pub.N.BitLen() < 1024 || pub.N.BitLen() > 4096 {
			return nil, 0, bad
		}
		e := big.NewInt(int64(pub.E)).Bytes()
		return append(append([]byte{byte(len(e))}, e...), pub.N.Bytes()...), 0, nil
	}
	return nil, 0, fmt.Errorf("publish: DNSSEC algorithm %d is not supported", algorithm)
}

// sign returns the signature field of an RRSIG over data (RFC 4034 s3.1.8.1).
func (k *zoneKey) sign(data []byte) ([]byte, error) {
	hash := crypto.SHA256
	switch k.Algorithm {
	case dns.ED25519:
		hash = 0
	case dns.ECDSAP384SHA384:
		hash = crypto.SHA384
	case dns.RSASHA512:
		hash = crypto.SHA512
	}
	digest := data
	if hash != 0 {
		h := hash.New()
		h.Write(data)
		digest = h.Sum(nil)
	}
	sig, err := k.Signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, fmt.Errorf("publish: signing with key %d: %w", k.tag, err)
	}
	if k.size == 0 {
		return sig, nil
	}
	return k.fixed(sig)
}

// fixed turns an ASN.1 ECDSA signature into the two fixed-length integers of
// RFC 6605 s4.
func (k *zoneKey) fixed(sig []byte) ([]byte, error) {
	var inner cryptobyte.String
	input := cryptobyte.String(sig)
	out := make([]byte, 2*k.size)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) {
		return nil, fmt.Errorf("publish: key %d made no ECDSA signature", k.tag)
	}
	for half := out; len(half) > 0; half = half[k.size:] {
		var n []byte
		if !inner.ReadASN1Integer(&n) || len(n) > k.size {
			return nil, fmt.Errorf("publish: key %d made no ECDSA signature", k.tag)
		}
		copy(half[k.size-len(n):k.size], n)
	}
	return out, nil
}

// keyRing holds a zone's keys by what they sign.
type keyRing struct {
	all  []*zoneKey
	apex []*zoneKey // sign DNSKEY, CDS and CDNSKEY
	data []*zoneKey // sign everything else
}

func newKeyRing(keys []Key, origin string, ttl uint32) (*keyRing, error) {
	ring := &keyRing{}
	have := map[[2]uint16]bool{} // algorithm and flags
	for _, k := range keys {
		zk, err := newZoneKey(k, origin, ttl)
		if err != nil {
			return nil, err
		}
		ring.all = append(ring.all, zk)
		have[[2]uint16{uint16(k.Algorithm), k.Flags}] = true
	}
	for _, k := range ring.all {
		both := [2]bool{have[[2]uint16{uint16(k.Algorithm), KSK}], have[[2]uint16{uint16(k.Algorithm), ZSK}]}
		if k.Flags == KSK || !both[0] {
			ring.apex = append(ring.apex, k)
		}
		if k.Flags == ZSK || !both[1] {
			ring.data = append(ring.data, k)
		}
	}
	return ring, nil
}

func (r *keyRing) forType(typ uint16) []*zoneKey {
	switch typ {
	case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return r.apex
	}
	return r.data
}
