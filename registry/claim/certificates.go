package claim

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// maxCAs is how many CA certificates a bundle may have: each is held against
// every maker's roots.
const maxCAs = 32

// ReadCertificates reads a bundle of PEM certificates (RFC 7468): one for each
// device, and those of CAs between them and a maker's root, in any order. A
// device's certificate has the device ID as its subject's serialNumber (RFC
// 5280 appendix A, X.520; SGP.22 puts the EID there), blanks ignored, and the
// eUICC's key-agreement key as its key. keyUsage, where it has one, must
// include keyAgreement: the eUICC key that SGP.22 certifies has
// digitalSignature only, and nothing can be sealed to it. Claims have no Model and no CSR.
//
// now is when certificates must be valid; zero is the present. A bundle is one
// maker's: the one to whose root its first good certificate leads. A chain with
// critical constraints on directory names, as those of SGP.22's EUMs, is
// refused: package x509 cannot judge them.
//
// Certificates that are right come back whatever is wrong with others (expired,
// unknown CA, wrong key, a device for the second time ...), which are in
// List.Bad, as are CA certificates that lead nowhere. An error is for the whole
// file: its reader fails, ErrNoCertificates, ErrTooLarge.
func ReadCertificates(r io.Reader, now time.Time, makers ...Maker) (*List, error) {
	list, err := readCertificates(r, now, makers)
	if err != nil {
		return nil, fmt.Errorf("claim: read certificates: %w", err)
	}
	return list, nil
}

func readCertificates(r io.Reader, now time.Time, makers []Maker) (*List, error) {
	file, err := readFile(r)
	if err != nil {
		return nil, err
	}
	if now.IsZero() {
		now = time.Now()
	}
	b := bundle{
		issuers: make(map[string][]*anchor), stale: make(map[string]bool),
		bad: make(map[int]error), first: make(map[eid.ID]int),
	}
	// Certificates are parsed twice, since a hundred thousand parsed ones would
	// take far more memory than the file.
	authorities, err := findCAs(file)
	if err != nil {
		return nil, err
	}
	b.trust(now, makers, authorities)
	empty := true
	for block := range blocks(file) {
		empty = false
		if b.add(block); len(b.list.Bad) > maxWrong {
			return nil, fmt.Errorf("%w: more than %d wrong certificates", ErrTooLarge, maxWrong)
		}
	}
	if empty {
		return nil, ErrNoCertificates
	}
	return &b.list, nil
}

// bundle turns PEM blocks into a list.
type bundle struct {
	issuers map[string][]*anchor // by subject, in DER
	stale   map[string]bool      // the same of CA certificates that are not valid now
	bad     map[int]error        // CA certificates that lead nowhere, by line
	maker   *anchor              // of the first good certificate
	first   map[eid.ID]int       // line of each device
	list    List
}

// authority is a CA certificate of the bundle.
type authority struct {
	line int
	cert *x509.Certificate
}

func findCAs(file []byte) ([]authority, error) {
	var found []authority
	for b := range blocks(file) {
		cert, err := b.certificate()
		if err != nil || !isCA(cert) {
			continue
		}
		if len(found) == maxCAs {
			return nil, fmt.Errorf("%w: more than %d CA certificates", ErrTooLarge, maxCAs)
		}
		found = append(found, authority{b.line, cert})
	}
	return found, nil
}

func isCA(cert *x509.Certificate) bool { return cert.BasicConstraintsValid && cert.IsCA }

func (b block) certificate() (*x509.Certificate, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.kind != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: a block of type %q is none", ErrCertificate, b.kind)
	}
	cert, err := x509.ParseCertificate(b.der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return cert, nil
}

// add judges one block of the bundle.
func (b *bundle) add(block block) {
	cert, err := block.certificate()
	if err == nil && isCA(cert) {
		if err = b.bad[block.line]; err == nil {
			return
		}
	}
	if err != nil {
		b.list.Bad = append(b.list.Bad, &ItemError{Line: block.line, Err: err})
		return
	}
	c, err := b.device(block.line, cert)
	if err != nil {
		b.list.Bad = append(b.list.Bad, &ItemError{Line: c.Line, Device: c.Device, Err: err})
		return
	}
	b.first[c.Device] = c.Line
	b.list.Claims = append(b.list.Claims, c)
}

// device makes a claim of a certificate; with an error it says what was read.
func (b *bundle) device(line int, cert *x509.Certificate) (Claim, error) {
	id, idErr := deviceID(cert)
	c := Claim{Line: line, Device: id}
	if err := b.verify(cert); err != nil {
		return c, err
	}
	if idErr != nil {
		return c, idErr
	}
	if err := setKey(&c, base64.StdEncoding.EncodeToString(cert.RawSubjectPublicKeyInfo)); err != nil {
		return c, err
	}
	if hasKeyUsage(cert) && cert.KeyUsage&x509.KeyUsageKeyAgreement == 0 {
		return c, ErrUsage
	}
	if at, ok := b.first[id]; ok {
		return c, fmt.Errorf("%w: its certificate stands in line %d already", ErrDuplicate, at)
	}
	return c, nil
}

// deviceID reads the subject's serialNumber (X.520, 2.5.4.5).
func deviceID(cert *x509.Certificate) (eid.ID, error) {
	var found []string
	for _, attribute := range cert.Subject.Names {
		if attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 5}) {
			s, _ := attribute.Value.(string)
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return eid.ID{}, fmt.Errorf("%w; this has %d", ErrSubject, len(found))
	}
	return eid.Parse(strings.ReplaceAll(found[0], " ", ""))
}

// hasKeyUsage tells an extension without any bit from none: RFC 5280 section
// 4.2.1.3 forbids the first, and it must not pass for the second.
func hasKeyUsage(cert *x509.Certificate) bool {
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15})
	})
}
