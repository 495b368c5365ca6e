// Package rsptest makes certificates of remote SIM provisioning for tests and
// simulations: a whole PKI of its own with [New], or the published one of GSMA
// SGP.26 with [SGP26]. eUICCs are minted for any EID. Nothing here is to be
// trusted by anything real.
package rsptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp/cert"
)

// Identity is a certificate and its key.
type Identity struct {
	DER         []byte
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
}

// PKI is a CI and who has certificates of it.
type PKI struct {
	CI, EUM, DPAuth, DPPB *Identity
	Start                 time.Time // new certificates are valid from then on, for ten years
}

// The values of SGP.26, which New takes over.
const (
	Organization = "RSP Test EUM"
	EIN          = "89049032"                         // all EIDs of its EUM begin so
	EID          = "89049032123451234512345678901235" // of its eUICC
	SMDPOID      = "2.999.10"
)

// New makes a PKI whose certificates are valid for ten years from start.
func New(start time.Time) (*PKI, error) {
	p := &PKI{Start: start}
	for _, step := range []struct {
		to     **Identity
		issuer **Identity
		role   cert.Role
	}{{&p.CI, nil, cert.RoleCI}, {&p.EUM, &p.CI, cert.RoleEUM}, {&p.DPAuth, &p.CI, cert.RoleDPAuth}, {&p.DPPB, &p.CI, cert.RoleDPPB}} {
		template, err := p.Template(step.role)
		if err != nil {
			return nil, err
		}
		var issuer *Identity
		if step.issuer != nil {
			issuer = *step.issuer
		}
		if *step.to, err = Issue(issuer, template); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// SGP26 reads the published test PKI and skips the test where it is absent. Its
// server certificates are valid until 2030-03-30.
func SGP26(t testing.TB) *PKI {
	t.Helper()
	dir := filepath.Join(sharedData(t), "sgp26")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("shared/data has no SGP.26 test PKI here")
	}
	read := func(name string) *Identity {
		id, err := load(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	return &PKI{
		CI: read("CI"), EUM: read("EUM"), DPAuth: read("S_SM_DPauth"), DPPB: read("S_SM_DPpb"),
		Start: time.Date(2020, 4, 2, 0, 0, 0, 0, time.UTC),
	}
}

// SGP26EUICC reads the published eUICC, whose EID is [EID].
func SGP26EUICC(t testing.TB) *Identity {
	t.Helper()
	SGP26(t) // or skip
	id, err := load(filepath.Join(sharedData(t), "sgp26"), "EUICC")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sharedData is beside the module's root.
func sharedData(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "data")
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("shared/data is looked for beside the module, which is not here")
	return ""
}

func load(dir, name string) (*Identity, error) {
	der, err := os.ReadFile(filepath.Join(dir, "CERT_"+name+"_ECDSA_NIST.der"))
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("rsptest: %s: %w", name, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "SK_"+name+"_ECDSA_NIST.pem"))
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "EC PRIVATE KEY" { // parameters come first
			continue
		}
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("rsptest: %s: %w", name, err)
		}
		return &Identity{DER: der, Certificate: c, Key: key}, nil
	}
	return nil, fmt.Errorf("rsptest: no private key of %s", name)
}

// EUICC mints an eUICC. Whether the EID is one, and one of this EUM, is for the
// test to want or not.
func (p *PKI) EUICC(eid string) (*Identity, error) {
	template, err := p.Template(cert.RoleEUICC)
	if err != nil {
		return nil, err
	}
	template.Subject.SerialNumber = eid
	return Issue(p.EUM, template)
}

// TLS mints a server certificate for ES9+ that is good for these host names.
func (p *PKI) TLS(hosts ...string) (*Identity, error) {
	template, err := p.Template(cert.RoleDPTLS)
	if err != nil {
		return nil, err
	}
	template.DNSNames = hosts
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return Issue(p.CI, template)
}

// Template returns what a certificate in this role has, for [Issue] and for tests
// that change something before.
func (p *PKI) Template(role cert.Role) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	c := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		NotBefore:    p.Start, NotAfter: p.Start.AddDate(10, 0, 0),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtraExtensions:       []pkix.Extension{Policy(role)},
	}
	switch role {
	case cert.RoleCI:
		c.Subject = pkix.Name{Organization: []string{"RSPTEST"}, CommonName: "Test CI"}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	case cert.RoleEUM:
		c.Subject = pkix.Name{Country: []string{"ES"}, Organization: []string{Organization}, CommonName: "EUM Test"}
		c.IsCA, c.MaxPathLenZero, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.ExtraExtensions = append(c.ExtraExtensions, NameConstraint(Organization, EIN))
	case cert.RoleEUICC:
		c.Subject = pkix.Name{Country: []string{"ES"}, Organization: []string{Organization}, SerialNumber: EID, CommonName: "Test eUICC"}
	case cert.RoleDPAuth, cert.RoleDPPB:
		c.Subject = pkix.Name{Organization: []string{"ACME"}, CommonName: "TEST SM-DP+"}
		c.ExtraExtensions = append(c.ExtraExtensions, RegisteredID(2, 999, 10))
	default:
		c.Subject = pkix.Name{Organization: []string{"ACME"}, CommonName: role.String()}
	}
	return c, nil
}

// Issue makes a key and a certificate for it; a nil issuer is itself.
func Issue(issuer *Identity, template *x509.Certificate) (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	return IssueFor(issuer, template, key)
}

// IssueFor is Issue for a key that is there already.
func IssueFor(issuer *Identity, template *x509.Certificate, key *ecdsa.PrivateKey) (*Identity, error) {
	parent, signer := template, crypto.Signer(key)
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Key
	}
	if template.SubjectKeyId == nil {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return nil, fmt.Errorf("rsptest: %w", err)
		}
		template.SubjectKeyId = KeyID(point)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("rsptest: %w", err)
	}
	return &Identity{DER: der, Certificate: c, Key: key}, nil
}

// KeyID returns the first 160 bits of a point's SHA-256 (RFC 7093 section 2).
func KeyID(point []byte) []byte {
	h := sha256.Sum256(point)
	return h[:20]
}

// Policy returns the policy of a role, marked critical.
func Policy(role cert.Role) pkix.Extension {
	policy := oid(2, 23, 146, 1, 2, 1, int(role))
	return pkix.Extension{Id: oid(2, 5, 29, 32), Critical: true, Value: sequence(sequence(der(policy)))}
}

// RegisteredID returns a subject alternative name that is an object identifier.
func RegisteredID(arcs ...int) pkix.Extension {
	id := der(oid(arcs...))
	id[0] = 0x88 // [8] in place of the universal tag
	return pkix.Extension{Id: oid(2, 5, 29, 17), Value: sequence(id)}
}

// NameConstraint returns what keeps an EUM to an organization and to EIDs that
// begin with these digits, marked critical.
func NameConstraint(organization, ein string) pkix.Extension {
	name := pkix.RDNSequence{
		{{Type: oid(2, 5, 4, 10), Value: organization}},
		{{Type: oid(2, 5, 4, 5), Value: ein}},
	}
	subtree := sequence(bertlv.Append(nil, 0xA4, der(name)))
	return pkix.Extension{Id: oid(2, 5, 29, 30), Critical: true, Value: sequence(bertlv.Append(nil, 0xA0, subtree))}
}

// PermittedEINs returns the newer way to do it: a list of what EIDs begin with.
func PermittedEINs(eins ...string) pkix.Extension {
	var list []byte
	for _, ein := range eins {
		list = bertlv.Append(list, asn1.TagPrintableString, []byte(ein))
	}
	return pkix.Extension{Id: oid(2, 23, 146, 1, 2, 2, 0), Value: sequence(list)}
}

func oid(arcs ...int) asn1.ObjectIdentifier { return arcs }

func sequence(parts ...[]byte) []byte { return bertlv.Append(nil, 0x30, parts...) }

// der encodes what encoding/asn1 knows; what it does not know gives nothing, and
// then no certificate.
func der(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		return []byte{0}
	}
	return b
}
