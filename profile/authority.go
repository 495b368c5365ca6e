package profile

import (
	"crypto"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// ErrAuthority is wrapped by errors about a registry CA that cannot be made or
// used as asked.
var ErrAuthority = errors.New("unusable certificate authority")

// Authority is a registry's certificate authority: a root that signs one
// issuer, and the issuer's key, which signs device certificates and seals. It
// is safe for concurrent use.
type Authority struct {
	registry string
	issuer   *x509.Certificate
	root     *x509.Certificate
	signer   crypto.Signer
	now      func() time.Time
	rand     io.Reader
}

// AuthorityConfig says what authority to make.
type AuthorityConfig struct {
	Registry     string           // zone of the registry, its name in certificates and seals
	Organization string           // for people; may be empty
	RootKey      crypto.Signer    // used once, then best kept offline
	IssuerKey    crypto.Signer    // P-256 or Ed25519
	RootLife     time.Duration    // 0 means 30 years
	IssuerLife   time.Duration    // 0 means 20 years
	Now          func() time.Time // nil means time.Now
	Rand         io.Reader        // of serial numbers and signatures; nil means crypto/rand.Reader
}

const year = 365 * 24 * time.Hour

// NewAuthority makes the root's and the issuer's certificates. The issuer may
// certify names in the registry's zone only (RFC 5280 section 4.2.1.10).
func NewAuthority(cfg AuthorityConfig) (*Authority, error) {
	if !isHostname(cfg.Registry) {
		return nil, fmt.Errorf("profile: %w: Registry is no domain name", ErrAuthority)
	}
	if cfg.RootKey == nil || cfg.IssuerKey == nil {
		return nil, fmt.Errorf("profile: %w: RootKey and IssuerKey are required", ErrAuthority)
	}
	a := &Authority{registry: cfg.Registry, signer: cfg.IssuerKey, now: cfg.Now, rand: cfg.Rand}
	a.setDefaults()
	if err := checkKey(a.signer); err != nil {
		return nil, err
	}
	rootTmpl, err := a.caTemplate(cfg.Organization, "root CA", cfg.RootLife, 30*year)
	if err != nil {
		return nil, err
	}
	rootTmpl.MaxPathLen = 1
	if a.root, err = a.create(rootTmpl, rootTmpl, cfg.RootKey.Public(), cfg.RootKey); err != nil {
		return nil, err
	}
	tmpl, err := a.caTemplate(cfg.Organization, "issuing CA", cfg.IssuerLife, 20*year)
	if err != nil {
		return nil, err
	}
	tmpl.MaxPathLenZero = true
	tmpl.DNSNames = []string{a.registry}
	tmpl.PermittedDNSDomainsCritical = true
	tmpl.PermittedDNSDomains = []string{a.registry}
	a.issuer, err = a.create(tmpl, a.root, cfg.IssuerKey.Public(), cfg.RootKey)
	return a, err
}

// LoadAuthority returns the authority of an existing chain (issuer, then root,
// as Chain returns it) and the issuer's key.
func LoadAuthority(registry string, chain [][]byte, issuerKey crypto.Signer) (*Authority, error) {
	certs, err := parseAll(chain)
	if err != nil {
		return nil, err
	}
	if len(certs) != 2 || issuerKey == nil {
		return nil, fmt.Errorf("profile: %w: want the issuer's certificate, the root's and the issuer's key", ErrAuthority)
	}
	a := &Authority{registry: registry, issuer: certs[0], root: certs[1], signer: issuerKey}
	a.setDefaults()
	if err := checkKey(issuerKey); err != nil {
		return nil, err
	}
	if err := a.issuer.CheckSignatureFrom(a.root); err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrAuthority, err)
	}
	if err := checkIssuer(a.issuer, issuerKey, registry); err != nil {
		return nil, err
	}
	if !slices.Equal(a.issuer.PermittedDNSDomains, []string{registry}) {
		return nil, fmt.Errorf("profile: %w: the issuer is not limited to names in %s", ErrAuthority, registry)
	}
	return a, nil
}

func (a *Authority) setDefaults() {
	if a.now == nil {
		a.now = time.Now
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
}

func (a *Authority) caTemplate(org, role string, life, def time.Duration) (*x509.Certificate, error) {
	serial, err := a.serial()
	if err != nil {
		return nil, err
	}
	if life == 0 {
		life = def
	}
	subject := pkix.Name{CommonName: a.registry + " " + role}
	if org != "" {
		subject.Organization = []string{org}
	}
	now := a.now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		IsCA:     true, BasicConstraintsValid: true,
	}, nil
}

// backdate lets devices whose clocks are a little slow use a new certificate.
const backdate = time.Hour

func (a *Authority) serial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(a.rand, b); err != nil {
		return nil, fmt.Errorf("profile: draw serial number: %w", err)
	}
	b[0] &= 0x7f // positive
	b[0] |= 0x40 // and never short
	return new(big.Int).SetBytes(b), nil
}

func (a *Authority) create(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(a.rand, tmpl, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: %w", ErrAuthority, err)
	}
	return x509.ParseCertificate(der)
}

// Registry returns the zone that names the registry.
func (a *Authority) Registry() string { return a.registry }

// Issuer returns the certificate that signs device certificates and seals.
func (a *Authority) Issuer() *x509.Certificate { return a.issuer }

// Root returns the root certificate, whose digest the registry publishes as a
// TLSA record at its zone's apex.
func (a *Authority) Root() *x509.Certificate { return a.root }

// Chain returns the certificates of issuer and root, DER.
func (a *Authority) Chain() [][]byte { return [][]byte{a.issuer.Raw, a.root.Raw} }

// Request asks for a device's certificate.
type Request struct {
	Name      string           // the device name; must lie in the registry's zone
	Device    eid.ID           // for the subject's serial number
	PublicKey crypto.PublicKey // the device's key
	NotAfter  time.Time        // not later than the issuer's own end
}

// Issue signs a client certificate for a device and returns it in DER.
func (a *Authority) Issue(req Request) ([]byte, error) {
	if req.NotAfter.After(a.issuer.NotAfter) {
		return nil, fmt.Errorf("profile: issue: %w: it would outlive its issuer, which ends %s",
			ErrAuthority, a.issuer.NotAfter.Format(time.DateOnly))
	}
	if !inZone(req.Name, a.registry) {
		return nil, fmt.Errorf("profile: issue: %w: %q is not below %s", ErrAuthority, req.Name, a.registry)
	}
	serial, err := a.serial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{SerialNumber: req.Device.String()},
		DNSNames:     []string{req.Name},
		NotBefore:    a.now().Add(-backdate), NotAfter: req.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(req.Name) <= 64 { // the upper bound of a common name (RFC 5280 appendix A)
		tmpl.Subject.CommonName = req.Name
	}
	der, err := x509.CreateCertificate(a.rand, tmpl, a.issuer, req.PublicKey, a.signer)
	if err != nil {
		return nil, fmt.Errorf("profile: issue %s: %w", req.Name, err)
	}
	return der, nil
}

func inZone(name, zone string) bool {
	return isHostname(name) && len(name) > len(zone)+1 && name[len(name)-len(zone)-1:] == "."+zone
}

// Seal seals p to an eUICC's key in the registry's name.
func (a *Authority) Seal(to hpke.PublicKey, p *Profile) ([]byte, error) {
	if p.Registry != a.registry {
		return nil, fmt.Errorf("profile: seal: %w: profile is of registry %q, this is %q", ErrInvalid, p.Registry, a.registry)
	}
	return Signer{Key: a.signer, Chain: a.Chain(), Rand: a.rand}.seal(to, p)
}
