// Package claim reads the files in which makers vouch for their devices: which
// device IDs exist and which key-agreement key each eUICC has. Anybody may
// carry such a file, an ASP or an owner; what counts is the maker's signature.
//
// A signed list is a CSV with the columns Device ID, Public Key and optionally
// Model and CSR, and a signature beside it, as a maker makes it with
//
//	openssl dgst -sha256 -sign maker.key -out claims.csv.sig claims.csv
//
// or, with an Ed25519 key, with openssl pkeyutl -sign -rawin:
//
//	list, err := claim.ReadSigned(file, signature, makers...)
//
// A certificate bundle has an X.509 certificate of the maker's CA for each
// device, with the device ID as the subject's serialNumber. It has no place for
// requests:
//
//	list, err := claim.ReadCertificates(file, time.Now(), makers...)
//
// What an operator trusts of a maker is text in PEM, see [ParseTrust].
//
// # What this does not protect from
//
// A file that a maker has signed once is good for ever: there is no date in a
// signed list, and revocation lists of a maker's CA are not read. A maker that
// signs a wrong key is believed. Only its first claim for a device counts, and
// that is for the registry to see to. A certificate request proves that somebody
// has the private key that belongs to it, and not where that is: that it is on the
// card and nowhere else is the maker's word.
package claim

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/iotregistry/sdk/internal/csvfile"
	"github.com/iotregistry/sdk/registry/eid"
)

// MaxFile is how large a file may be, in bytes: about 400,000 devices in a
// signed list, 100,000 with certificate requests, 80,000 certificates. Reading takes up to about five times that
// in memory.
const MaxFile = 64 << 20

// maxWrong is how many wrong items a file may have; one with more is another
// kind of file.
const maxWrong = 100_000

// Claim is a maker's word that a device exists and which keys its eUICC has.
type Claim struct {
	Line   int // in the file, whose first line is 1
	Device eid.ID
	Model  string // empty where the file has none
	Key    string // key-agreement key, as profile.FormatPublicKey writes it
	CSR    []byte // certificate request for the signing key made on the card, as profile.ParseCSR reads it; nil where there is none
}

// Maker is a device manufacturer, with what its files are verified by.
type Maker struct {
	Account string             // at the registry
	Keys    []crypto.PublicKey // sign its lists; those that ParseTrust would refuse verify nothing
	// Roots sign its devices' certificates, directly or through intermediates.
	// Such a CA must sign for eUICC keys only: whatever it certifies for key
	// agreement, with a serialNumber that reads as a device ID, is a claim.
	Roots []*x509.Certificate
}

// List is what a maker vouches for in one file.
type List struct {
	Maker  string       // account whose key or root verified; empty when no certificate of a bundle did
	Claims []Claim      // in the order of the file; no device twice
	Bad    []*ItemError // what else was in it, in that order
}

// ItemError says what is wrong with one row or certificate and where.
type ItemError struct {
	Line   int    // where it begins
	Device eid.ID // zero where it could not be read
	Column string // of a signed list; empty when the item as a whole is wrong
	Err    error  // wraps a sentinel of this package, of eid, profile.ErrKey or profile.ErrCSR
}

// Error names the line, the device, the column and the cause.
func (e *ItemError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d", e.Line)
	if !e.Device.IsZero() {
		fmt.Fprintf(&b, ", device %s", e.Device)
	}
	if e.Column != "" {
		fmt.Fprintf(&b, ", %s", e.Column)
	}
	return fmt.Sprintf("%s: %v", &b, e.Err)
}

// Unwrap returns the cause.
func (e *ItemError) Unwrap() error { return e.Err }

// Why a file as a whole is refused; nothing of it may be used then.
var (
	ErrSignature      = errors.New("no maker's key verifies this signature: ask for both files as the maker made them, and have its public key put into its account")
	ErrHeader         = errors.New("the first line must name the columns Device ID,Public Key and optionally Model,CSR")
	ErrNoCertificates = errors.New("no PEM block in the file: give the devices' certificates in PEM")
	ErrTooLarge       = csvfile.ErrTooLarge // MaxFile bytes, 100,000 wrong items, 32 CA certificates
)

// Why a row or a certificate is refused while the others go on. These of the
// rows are the same as package registry's.
var (
	ErrFields    = csvfile.ErrFields
	ErrCell      = csvfile.ErrCell
	ErrQuote     = csvfile.ErrQuote
	ErrText      = csvfile.ErrText
	ErrDuplicate = csvfile.ErrDuplicate

	ErrPEM         = errors.New("damaged PEM block: copy it again, from BEGIN to END")
	ErrSecret      = errors.New("this is a private key: take it out, and where others have seen the file, replace the key")
	ErrCertificate = errors.New("unusable certificate: ask the maker for a new one")
	ErrIssuer      = errors.New("no trusted CA of a maker signed this certificate: add the CA certificates between it and the root, and have the root put into the maker's account")
	ErrMaker       = errors.New("certificate is of another maker than those before it: put it into a file of its own")
	ErrTime        = errors.New("certificate is not valid at this time: check the clock, then ask the maker for a new one")
	ErrSubject     = errors.New("the subject must have one serialNumber, the device ID: ask the maker for such a certificate")
	ErrUsage       = errors.New("this key must not agree on keys: SGP.22's certified eUICC key only signs, and a profile is sealed to a key-agreement key; " +
		"ask the maker to certify that one, with keyUsage keyAgreement")
)

// readFile reads all of r. A signature is over the whole file, which therefore
// must be seen before any of it may be used.
func readFile(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > MaxFile:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxFile)
	}
	return b, nil
}
