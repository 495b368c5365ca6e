package dane

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"

	"github.com/miekg/dns"
)

// Certificate usages of TLSA records (RFC 6698 section 2.1.1, RFC 7218).
const (
	UsagePKIXTA uint8 = 0 // a CA of a path that is also valid to a configured root
	UsagePKIXEE uint8 = 1 // the server's certificate, also valid to a configured root
	UsageDANETA uint8 = 2 // a CA that the domain itself vouches for
	UsageDANEEE uint8 = 3 // the server's certificate itself
)

// Selectors of TLSA records (RFC 6698 section 2.1.2).
const (
	SelectorCert uint8 = 0 // the whole certificate
	SelectorSPKI uint8 = 1 // its SubjectPublicKeyInfo
)

// Matching types of TLSA records (RFC 6698 section 2.1.3).
const (
	MatchingFull   uint8 = 0 // the selected bytes themselves
	MatchingSHA256 uint8 = 1
	MatchingSHA512 uint8 = 2
)

// NewTLSA returns a TLSA record for cert at name, with ttl in seconds. What to
// publish when in doubt: usage 3, selector 1, matching type 1 (RFC 7671
// section 5.1). Values that no RFC defines and malformed names give an error
// that matches ErrInvalid.
func NewTLSA(name string, ttl uint32, usage, selector, matching uint8, cert *x509.Certificate) (*dns.TLSA, error) {
	n, err := recordName(name, cert)
	if err != nil {
		return nil, err
	}
	if usage > UsageDANEEE || selector > SelectorSPKI || matching > MatchingSHA512 {
		return nil, fail(Invalid, n, "TLSA %d %d %d: usage is 0-3, selector 0-1, matching type 0-2", usage, selector, matching)
	}
	return &dns.TLSA{
		Hdr:          dns.RR_Header{Name: dns.Fqdn(n), Rrtype: dns.TypeTLSA, Class: dns.ClassINET, Ttl: ttl},
		Usage:        usage,
		Selector:     selector,
		MatchingType: matching,
		Certificate:  hex.EncodeToString(selected(cert, selector, matching)),
	}, nil
}

// NewCERT returns a CERT record (RFC 4398) of type PKIX that holds cert, with
// ttl in seconds. Key tag and algorithm are those of the certificate's key
// written as a DNSKEY (RFC 4398 section 2); flags, which that RFC leaves open,
// are 0 because the key signs no zone (RFC 4034 section 2.1.1). Both fields are
// 0 where the key fits no DNSSEC algorithm. Readers must take them as hints.
func NewCERT(name string, ttl uint32, cert *x509.Certificate) (*dns.CERT, error) {
	n, err := recordName(name, cert)
	if err != nil {
		return nil, err
	}
	tag, alg := keyTag(cert.PublicKey)
	return &dns.CERT{
		Hdr:         dns.RR_Header{Name: dns.Fqdn(n), Rrtype: dns.TypeCERT, Class: dns.ClassINET, Ttl: ttl},
		Type:        dns.CertPKIX,
		KeyTag:      tag,
		Algorithm:   alg,
		Certificate: base64.StdEncoding.EncodeToString(cert.Raw),
	}, nil
}

func recordName(name string, cert *x509.Certificate) (string, error) {
	n, err := cleanName(name)
	if err != nil {
		return "", err
	}
	if cert == nil || len(cert.Raw) == 0 {
		return "", fail(Invalid, n, "certificate is nil or was not parsed from DER")
	}
	return n, nil
}

// selected returns what a TLSA record with this selector and matching type
// holds for cert; both values are known to be in range.
func selected(cert *x509.Certificate, selector, matching uint8) []byte {
	data := cert.Raw
	if selector == SelectorSPKI {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case MatchingSHA256:
		d := sha256.Sum256(data)
		return d[:]
	case MatchingSHA512:
		d := sha512.Sum512(data)
		return d[:]
	}
	return data
}

// keyTag returns the RFC 4034 appendix B key tag of the DNSKEY with flags 0,
// protocol 3 and this key, and the DNSSEC algorithm; 0, 0 if there is none.
func keyTag(pub any) (tag uint16, algorithm uint8) {
	alg, key := dnssecKey(pub)
	if alg == 0 {
		return 0, 0
	}
	var sum uint32
	for i, b := range append([]byte{0, 0, 3, alg}, key...) {
		if i&1 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
	}
	return uint16(sum + sum>>16&0xffff), alg
}

// dnssecKey returns the key in the wire form of RFC 3110, 6605 or 8080.
func dnssecKey(pub any) (alg uint8, key []byte) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			alg = dns.ECDSAP256SHA256
		case elliptic.P384():
			alg = dns.ECDSAP384SHA384
		default:
			return 0, nil
		}
		e, err := k.ECDH()
		if err != nil {
			return 0, nil
		}
		return alg, e.Bytes()[1:] // without the 0x04 of an uncompressed point
	case ed25519.PublicKey:
		return dns.ED25519, k
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 512 || bits > 4096 { // RFC 5702 section 2.1
			return 0, nil
		}
		exp := binary.BigEndian.AppendUint64(nil, uint64(k.E))
		for len(exp) > 1 && exp[0] == 0 {
			exp = exp[1:]
		}
		return dns.RSASHA256, append(append([]byte{byte(len(exp))}, exp...), k.N.Bytes()...)
	}
	return 0, nil
}
