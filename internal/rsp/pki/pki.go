// Package pki makes certificates of remote SIM provisioning (GSMA SGP.14 and
// SGP.22 section 4.5) for tests, simulations and private networks: a CI, the EUM
// and the SM-DP+ below it, and eUICCs for any EID. Nothing here is to be trusted
// by anything else.
package pki

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
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
	Names
	CI, EUM, DPAuth, DPPB *Identity
	Start                 time.Time // new certificates are valid from then on, for ten years
}

// Names are what certificates call their subjects. What is empty is as in SGP.26.
type Names struct {
	CI   string // organization of the CI
	EUM  string // organization of the EUM and of its eUICCs
	EIN  string // all EIDs of the EUM begin so; 8 digits
	SMDP string // organization of the SM-DP+
	OID  []int  // of the SM-DP+
}

// The values of SGP.26, which [Names] take over where they are empty.
const (
	Organization = "RSP Test EUM"
	EIN          = "89049032"
	EID          = "89049032123451234512345678901235" // of its eUICC
	SMDPOID      = "2.999.10"
)

// New makes a PKI whose certificates are valid for ten years from start.
func New(start time.Time) (*PKI, error) { return NewNamed(start, Names{}) }

// NewNamed is New with names of one's own.
func NewNamed(start time.Time, names Names) (*PKI, error) {
	p := &PKI{Names: names, Start: start}
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

// EUICC mints an eUICC. Whether the EID is one, and one of this EUM, is for the
// caller to see to.
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
		return nil, fmt.Errorf("pki: %w", err)
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
		c.Subject = pkix.Name{Organization: []string{cmp.Or(p.Names.CI, "RSPTEST")}, CommonName: "Test CI"}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	case cert.RoleEUM:
		c.Subject = p.maker()
		c.Subject.CommonName = "EUM Test"
		c.IsCA, c.MaxPathLenZero, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.ExtraExtensions = append(c.ExtraExtensions, NameConstraint(c.Subject.Organization[0], cmp.Or(p.EIN, EIN)))
	case cert.RoleEUICC:
		c.Subject = p.maker()
		c.Subject.SerialNumber, c.Subject.CommonName = EID, "Test eUICC"
	case cert.RoleDPAuth, cert.RoleDPPB:
		c.Subject = pkix.Name{Organization: []string{cmp.Or(p.SMDP, "ACME")}, CommonName: "TEST SM-DP+"}
		oid := p.OID
		if oid == nil {
			oid = []int{2, 999, 10}
		}
		c.ExtraExtensions = append(c.ExtraExtensions, RegisteredID(oid...))
	default:
		c.Subject = pkix.Name{Organization: []string{cmp.Or(p.SMDP, "ACME")}, CommonName: role.String()}
	}
	return c, nil
}

// maker names whose eUICCs they are: the EUM that is there, or the one to be.
func (p *PKI) maker() pkix.Name {
	if p.EUM != nil && len(p.EUM.Certificate.Subject.Organization) == 1 {
		s := p.EUM.Certificate.Subject
		return pkix.Name{Country: s.Country, Organization: s.Organization}
	}
	return pkix.Name{Country: []string{"ES"}, Organization: []string{cmp.Or(p.Names.EUM, Organization)}}
}

// Issue makes a key and a certificate for it; a nil issuer is itself.
func Issue(issuer *Identity, template *x509.Certificate) (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
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
			return nil, fmt.Errorf("pki: %w", err)
		}
		template.SubjectKeyId = KeyID(point)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
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
