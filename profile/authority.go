package profile

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
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
	IssuerLife   time.Duration    // 0 means 20 years, at most as long as the root's
	Now          func() time.Time // nil means time.Now
	Rand         io.Reader        // of serial numbers, and handed to the keys; nil means crypto/rand.Reader
}

const year = 365 * 24 * time.Hour

// NewAuthority makes the root's and the issuer's certificates. The issuer may
// certify names in the registry's zone and no addresses (RFC 5280 section
// 4.2.1.10).
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
	rootLife := cmp.Or(cfg.RootLife, 30*year)
	issuerLife := cmp.Or(cfg.IssuerLife, min(20*year, rootLife))
	if issuerLife <= 0 || issuerLife > rootLife {
		return nil, fmt.Errorf("profile: %w: lives must be positive and the issuer's no longer than the root's", ErrAuthority)
	}
	rootTmpl, err := a.caTemplate(cfg.Organization, "root CA", rootLife)
	if err != nil {
		return nil, err
	}
	rootTmpl.MaxPathLen = 1
	if a.root, err = a.create(rootTmpl, rootTmpl, cfg.RootKey.Public(), cfg.RootKey); err != nil {
		return nil, err
	}
	tmpl, err := a.caTemplate(cfg.Organization, "issuing CA", issuerLife)
	if err != nil {
		return nil, err
	}
	tmpl.MaxPathLenZero = true
	tmpl.DNSNames = []string{a.registry}
	tmpl.PermittedDNSDomainsCritical = true
	tmpl.PermittedDNSDomains = []string{a.registry}
	tmpl.ExcludedIPRanges = allAddresses()
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
	} else {
		a.rand = &lockedReader{r: a.rand}
	}
}

// lockedReader lets goroutines share a reader that was not made for it.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

func allAddresses() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

func (a *Authority) caTemplate(org, role string, life time.Duration) (*x509.Certificate, error) {
	serial, err := a.serial()
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: a.registry + " " + role}
	if len(subject.CommonName) > maxCommonName {
		subject.CommonName = role
	}
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
	Device    eid.ID           // for the subject's serial number; zero leaves it out
	PublicKey crypto.PublicKey // the device's key, a P-256 *ecdsa.PublicKey
	NotAfter  time.Time        // in the future, not later than the issuer's own end
}

// Issue signs a client certificate for a device and returns it in DER. What it
// cannot certify it refuses with ErrAuthority.
func (a *Authority) Issue(req Request) ([]byte, error) {
	now := a.now()
	keyID, err := keyIdentifier(req.PublicKey)
	switch {
	case err != nil:
		return nil, fmt.Errorf("profile: issue: %w: %w", ErrAuthority, err)
	case !req.NotAfter.After(now):
		return nil, fmt.Errorf("profile: issue: %w: NotAfter is not in the future", ErrAuthority)
	case req.NotAfter.After(a.issuer.NotAfter):
		return nil, fmt.Errorf("profile: issue: %w: it would outlive its issuer, which ends %s",
			ErrAuthority, a.issuer.NotAfter.Format(time.DateOnly))
	case !inZone(req.Name, a.registry):
		return nil, fmt.Errorf("profile: issue: %w: %q is not below %s", ErrAuthority, req.Name, a.registry)
	}
	serial, err := a.serial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{SerialNumber: req.Device.String()},
		SubjectKeyId: keyID,
		DNSNames:     []string{req.Name},
		NotBefore:    now.Add(-backdate), NotAfter: req.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(req.Name) <= maxCommonName {
		tmpl.Subject.CommonName = req.Name
	}
	der, err := x509.CreateCertificate(a.rand, tmpl, a.issuer, req.PublicKey, a.signer)
	if err != nil {
		return nil, fmt.Errorf("profile: issue %s: %w", req.Name, err)
	}
	return der, nil
}

// maxCommonName is the most characters of a common name (RFC 5280 appendix A).
const maxCommonName = 64

// keyIdentifier returns 160 bits of the SHA-256 of a device's key (RFC 7093
// section 2), and an error unless it is one that cards and TLS stacks share.
func keyIdentifier(key crypto.PublicKey) ([]byte, error) {
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok || pub == nil || pub.Curve != elliptic.P256() {
		return nil, errors.New("a device's key must be a P-256 *ecdsa.PublicKey")
	}
	point, err := pub.Bytes()
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	sum := sha256.Sum256(point)
	return sum[:20], nil
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
