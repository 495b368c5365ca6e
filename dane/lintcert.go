package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/miekg/dns"
)

func (l *linter) lintCERT(rr *dns.CERT) {
	data, err := base64.StdEncoding.DecodeString(rr.Certificate)
	if err != nil {
		l.add(Fault, "cert-not-base64", rr, "the certificate field is not base64", "encode the certificate's DER bytes in base64")
		return
	}
	if rr.Type != dns.CertPKIX {
		l.add(Fault, "cert-type", rr, fmt.Sprintf("CERT type %d holds no X.509 certificate", rr.Type),
			"publish type PKIX with the DER certificate")
		return
	}
	cert, err := x509.ParseCertificate(data)
	switch {
	case isPEM(data):
		l.add(Fault, "cert-pem", rr, "the certificate field holds PEM text", "encode the DER bytes in base64, not the PEM text again")
	case len(data) == sha256.Size:
		l.lintHashForm(rr, data)
	case err != nil:
		l.add(Fault, "cert-not-der", rr, "the certificate field is not a DER certificate", "publish the certificate's DER bytes")
	default:
		l.lintCertificate(rr, cert)
	}
}

func (l *linter) lintHashForm(rr *dns.CERT, data []byte) {
	text := "the certificate field holds 32 octets, a digest, as the 2020 prototype did"
	if len(l.chain) > 0 {
		if sum := sha256.Sum256(l.chain[0].Raw); !bytes.Equal(sum[:], data) {
			text += ", and it is not the SHA-256 digest of this certificate"
		}
	}
	l.add(Fault, "cert-digest", rr, text, "publish the whole certificate, or the digest as TLSA 3 0 1")
}

func (l *linter) lintCertificate(rr *dns.CERT, cert *x509.Certificate) {
	if tag, alg := keyTag(cert.PublicKey); (rr.KeyTag != 0 || rr.Algorithm != 0) && (rr.KeyTag != tag || rr.Algorithm != alg) {
		l.add(Warning, "cert-key-tag", rr, fmt.Sprintf("key tag %d and algorithm %d are not those of the certificate's key", rr.KeyTag, rr.Algorithm),
			fmt.Sprintf("publish PKIX %d %d, or PKIX 0 0", tag, alg))
	}
	if checkExactName(cert, l.name, false) != nil && l.chain == nil {
		l.add(Fault, "cert-name", rr, "the certificate in the record lacks "+l.name+" as a dNSName", "issue it with the owner name as a dNSName")
	}
	if l.chain == nil {
		l.lintDates(rr, cert)
		return
	}
	if !bytes.Equal(cert.Raw, l.chain[0].Raw) {
		sev, fix := Warning, "withdraw the record if it belongs to an old certificate"
		if l.holds(cert.Raw) {
			sev, fix = Fault, "publish the device's certificate here, and its CA at the zone's apex as TLSA 2 0 1"
		}
		l.add(sev, "cert-no-match", rr, "the record holds another certificate than the one presented", fix)
	}
}

// certOf returns the certificate in a PKIX record, or nil.
func certOf(rr *dns.CERT) *x509.Certificate {
	if rr.Type != dns.CertPKIX {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(rr.Certificate)
	if err != nil {
		return nil
	}
	c, err := x509.ParseCertificate(data)
	if err != nil {
		return nil
	}
	return c
}
