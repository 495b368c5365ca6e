package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// CERTOptions are the conditions of MatchCERT and VerifyCERT. MatchCERT reads
// only AllowHash and Indirect.
type CERTOptions struct {
	// Name is the owner name of the records. VerifyCERT demands that the
	// certificate carries exactly this name.
	Name string

	// Now is the time at which the certificate's dates are checked. Nil means
	// time.Now.
	Now func() time.Time

	// AllowHash accepts records whose certificate field is the 32 octets of
	// the certificate's SHA-256 digest, as the 2020 prototype published them.
	AllowHash bool

	// AllowSubjectCN accepts Name in the subject common name of a certificate
	// that has no dNSName at all, as the 2020 prototype issued them.
	AllowSubjectCN bool

	// Indirect fetches what an IPKIX record points to and returns the
	// certificate's DER bytes. Nil refuses IPKIX. The record signs the URL,
	// not the bytes, so what comes back is only as trustworthy as the transport:
	// only https URLs are passed on, and at most four of them.
	Indirect func(url string) ([]byte, error)
}

// certIPKIX is RFC 4398 section 2.1's IPKIX, the URL of a certificate.
const certIPKIX = dns.CertIPIX

// Bounds for CERT records.
const (
	maxIndirect    = 4
	maxIndirectURL = 1024
	maxCertificate = 1 << 16
)

// MatchCERT returns the first CERT record that holds exactly leaf's DER bytes.
// Type PKIX counts, others only by option; key tag and algorithm are hints and
// not looked at (RFC 4398). The error is ErrNoMatch, or ErrUnusable if no
// record has a usable type and form.
func MatchCERT(leaf *x509.Certificate, certs []*dns.CERT, opts CERTOptions) (*dns.CERT, error) {
	if leaf == nil || len(leaf.Raw) == 0 {
		return nil, fail(Invalid, opts.Name, "certificate is nil or was not parsed from DER")
	}
	if len(certs) > maxRecords {
		return nil, fail(Unusable, opts.Name, "%d CERT records; at most %d are looked at", len(certs), maxRecords)
	}
	var why error
	usable, indirect := false, 0
	for _, rr := range certs {
		if rr != nil && rr.Type == certIPKIX {
			indirect++
		}
		ok, err := certMatches(leaf, rr, opts, indirect)
		switch {
		case ok:
			return rr, nil
		case err == nil:
			usable = true
		case why == nil:
			why = err
		}
	}
	if usable {
		return nil, &Error{Kind: NoMatch, Name: opts.Name}
	}
	return nil, &Error{Kind: Unusable, Name: opts.Name, Err: why}
}

// certMatches returns an error for a record that cannot be used.
func certMatches(leaf *x509.Certificate, rr *dns.CERT, opts CERTOptions, indirect int) (bool, error) {
	if rr == nil {
		return false, errors.New("nil CERT record")
	}
	if rr.Type != dns.CertPKIX && rr.Type != certIPKIX {
		return false, fmt.Errorf("CERT type %d is not supported", rr.Type)
	}
	data, err := base64.StdEncoding.DecodeString(rr.Certificate)
	if err != nil {
		return false, fmt.Errorf("CERT data is not base64: %w", err)
	}
	if rr.Type == certIPKIX {
		if data, err = fetchIndirect(string(data), opts, indirect); err != nil {
			return false, err
		}
	}
	if rr.Type == dns.CertPKIX && len(data) == sha256.Size {
		if !opts.AllowHash {
			return false, errors.New("CERT holds 32 octets, a digest and not a certificate (accepted by option only)")
		}
		sum := sha256.Sum256(leaf.Raw)
		return bytes.Equal(sum[:], data), nil
	}
	return bytes.Equal(leaf.Raw, data), nil
}

func fetchIndirect(url string, opts CERTOptions, n int) ([]byte, error) {
	if opts.Indirect == nil {
		return nil, errors.New("CERT type IPKIX is refused unless enabled")
	}
	if n > maxIndirect || len(url) > maxIndirectURL || !strings.HasPrefix(lower(url), "https://") {
		return nil, fmt.Errorf("CERT type IPKIX: at most %d https URLs of %d characters are followed", maxIndirect, maxIndirectURL)
	}
	data, err := opts.Indirect(url)
	if err != nil {
		return nil, fmt.Errorf("CERT type IPKIX: %w", err)
	}
	if len(data) > maxCertificate {
		return nil, fmt.Errorf("CERT type IPKIX: %d octets fetched, at most %d are accepted", len(data), maxCertificate)
	}
	return data, nil
}

// VerifyCERT decides whether leaf is the certificate that the CERT records
// publish for opts.Name: one of them holds it byte for byte, the name is among
// its dNSNames (no wildcards; case does not count), and the time is within its
// dates. Issuer and signature are not looked at: the record is the proof. The
// caller vouches for the records: they must come from a Secure answer.
//
// Failures are *Error: ErrNoMatch, ErrUnusable, ErrExpired, ErrWrongName or
// ErrInvalid. VerifyCERT does no I/O of its own and reads no clock but opts.Now.
func VerifyCERT(leaf *x509.Certificate, certs []*dns.CERT, opts CERTOptions) (*Match, error) {
	name, err := cleanName(opts.Name)
	if err != nil {
		return nil, err
	}
	rr, err := MatchCERT(leaf, certs, opts)
	if err != nil {
		return nil, err
	}
	if err := checkExactName(leaf, name, opts.AllowSubjectCN); err != nil {
		return nil, named(err, name)
	}
	if err := checkDates(leaf, now(opts.Now)); err != nil {
		return nil, named(err, name)
	}
	return &Match{Record: rr, Certificate: leaf, Chain: []*x509.Certificate{leaf}}, nil
}

// checkExactName demands name (clean) among the certificate's dNSNames.
func checkExactName(leaf *x509.Certificate, name string, allowCN bool) error {
	for _, san := range leaf.DNSNames {
		if lower(strings.TrimSuffix(san, ".")) == name {
			return nil
		}
	}
	if allowCN && len(leaf.DNSNames) == 0 && lower(leaf.Subject.CommonName) == name {
		return nil
	}
	return fail(WrongName, "", "%s is not a dNSName of the certificate", name)
}
