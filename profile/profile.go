package profile

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// ErrInvalid is wrapped by errors about an IoT profile whose contents are
// missing or contradict each other.
var ErrInvalid = errors.New("invalid IoT profile")

// Profile is an IoT profile: the plaintext that a device's eUICC keeps. It
// prints without its private key.
type Profile struct {
	ID       uint64 // unique in the registry, greater than any before it
	Device   eid.ID // the device it was made for
	Registry string // the registry that made it, named by its zone: "iotregistry.ca"
	Name     string // owner name of the device's DNS records, a name of Certificate

	Host string // where the provider (ASP) listens
	Port uint16

	Certificate    []byte   // of the device, DER
	PrivateKey     Secret   // for Certificate, PKCS #8 DER; empty when the card made its own key
	CACertificates [][]byte // of the registry, DER: issuer first, root last

	// ASPCertificates are CA certificates the provider's own must chain to, DER.
	// Empty means that the provider's TLSA records alone decide.
	ASPCertificates [][]byte

	NotBefore time.Time // both to the second, in the years 1 to 9999
	NotAfter  time.Time
}

// document is the encoded form: JSON with fields in this order, binary values
// in base64. JSON costs a third more bytes than CBOR or BER-TLV would, which a
// card has room for, and everybody can read it in a debugger or another
// language without a library of ours.
type document struct {
	Format   string    `json:"format"`
	ID       uint64    `json:"id"`
	Device   eid.ID    `json:"device"`
	Registry string    `json:"registry"`
	Name     string    `json:"name"`
	Host     string    `json:"host"`
	Port     uint16    `json:"port"`
	Cert     []byte    `json:"cert"`
	Key      []byte    `json:"key,omitempty"`
	CAs      [][]byte  `json:"cas,omitempty"`
	ASPCAs   [][]byte  `json:"aspCAs,omitempty"`
	From     time.Time `json:"notBefore"`
	To       time.Time `json:"notAfter"`
}

const format = "iot-profile/1"

// MaxEncoded is the most bytes Encode makes and Decode reads. An ordinary
// profile has about 2,500.
const MaxEncoded = 64 << 10

// Encode returns the profile's plaintext, private key included, after checking
// it as Decode would. The same profile always gives the same bytes.
func (p *Profile) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(document{
		Format: format, ID: p.ID, Device: p.Device, Registry: p.Registry, Name: p.Name,
		Host: p.Host, Port: p.Port, Cert: p.Certificate, Key: p.PrivateKey,
		CAs: p.CACertificates, ASPCAs: p.ASPCertificates,
		From: seconds(p.NotBefore), To: seconds(p.NotAfter),
	})
	if err != nil {
		return nil, fmt.Errorf("profile: encode: %w", err)
	}
	if len(b) > MaxEncoded {
		return nil, fmt.Errorf("profile: encode: %w: %d bytes, more than %d", ErrInvalid, len(b), MaxEncoded)
	}
	return b, nil
}

// Decode reads what Encode made. Members it does not know are ignored, so that
// later versions may add some; anything missing or contradictory is an error.
// Errors never quote the input, which contains a private key.
func Decode(b []byte) (*Profile, error) {
	if len(b) > MaxEncoded {
		return nil, fmt.Errorf("profile: decode: %w: %d bytes, more than %d", ErrInvalid, len(b), MaxEncoded)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("profile: decode: %w: not the JSON document it should be", ErrInvalid)
	}
	if d.Format != format {
		return nil, fmt.Errorf("profile: decode: %w: format is not %q", ErrInvalid, format)
	}
	p := &Profile{
		ID: d.ID, Device: d.Device, Registry: d.Registry, Name: d.Name, Host: d.Host, Port: d.Port,
		Certificate: d.Cert, PrivateKey: d.Key, CACertificates: d.CAs, ASPCertificates: d.ASPCAs,
		NotBefore: seconds(d.From), NotAfter: seconds(d.To),
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// seconds returns t as the document has it.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// check reports the first thing that would keep a device from using p.
func (p *Profile) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("profile: %w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case p.ID == 0:
		return bad("no profile ID")
	case p.Device.IsZero():
		return bad("no device ID")
	case !isHostname(p.Registry):
		return bad("registry is no domain name")
	case !isHostname(p.Host) && net.ParseIP(p.Host) == nil:
		return bad("host is neither a host name nor an address")
	case p.Port == 0:
		return bad("no port")
	case !seconds(p.NotBefore).Before(seconds(p.NotAfter)):
		return bad("validity ends before it begins")
	case seconds(p.NotBefore).Year() < 1 || seconds(p.NotAfter).Year() > 9999:
		return bad("validity is not within the years 1 to 9999") // RFC 3339 has no others
	}
	leaf, err := p.Leaf()
	if err != nil {
		return err
	}
	if !hasName(leaf, p.Name) {
		return bad("the certificate is not for the profile's name")
	}
	for _, der := range append(append([][]byte{}, p.CACertificates...), p.ASPCertificates...) {
		if _, err := x509.ParseCertificate(der); err != nil {
			return bad("a CA certificate cannot be read")
		}
	}
	return p.checkPrivateKey(leaf)
}

func (p *Profile) checkPrivateKey(leaf *x509.Certificate) error {
	if len(p.PrivateKey) == 0 {
		return nil
	}
	key, err := p.signer()
	if err != nil {
		return err
	}
	if !isKeyOf(key, leaf) {
		return fmt.Errorf("profile: %w: the private key is not the certificate's", ErrInvalid)
	}
	return nil
}

func isKeyOf(key crypto.Signer, cert *x509.Certificate) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(cert.PublicKey)
}

func (p *Profile) signer() (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(p.PrivateKey)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("profile: %w: the private key cannot be read", ErrInvalid)
	}
	return signer, nil
}

func hasName(cert *x509.Certificate, name string) bool {
	for _, n := range cert.DNSNames {
		if name != "" && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// isHostname accepts host names of letters, digits and hyphens (RFC 1123).
func isHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// Leaf returns the device's certificate.
func (p *Profile) Leaf() (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(p.Certificate)
	if err != nil {
		return nil, fmt.Errorf("profile: %w: device certificate: %w", ErrInvalid, err)
	}
	return leaf, nil
}

// CAs returns the registry's CA certificates, issuer first.
func (p *Profile) CAs() ([]*x509.Certificate, error) {
	return parseAll(p.CACertificates)
}

func parseAll(ders [][]byte) ([]*x509.Certificate, error) {
	out := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("profile: %w: CA certificate %d: %w", ErrInvalid, i, err)
		}
		out[i] = c
	}
	return out, nil
}

// TLSCertificate returns what the device presents in mutual TLS: its
// certificate, the issuer's and the key. For a profile without a key the card
// signs: pass its signer; otherwise pass nil. A key that is not the
// certificate's is refused with ErrInvalid.
func (p *Profile) TLSCertificate(card crypto.Signer) (tls.Certificate, error) {
	leaf, err := p.Leaf()
	if err != nil {
		return tls.Certificate{}, err
	}
	key := card
	if key == nil {
		if key, err = p.signer(); err != nil {
			return tls.Certificate{}, err
		}
	}
	if !isKeyOf(key, leaf) {
		return tls.Certificate{}, fmt.Errorf("profile: %w: the key is not the certificate's", ErrInvalid)
	}
	c := tls.Certificate{Certificate: [][]byte{p.Certificate}, Leaf: leaf, PrivateKey: key}
	if n := len(p.CACertificates); n > 1 {
		c.Certificate = append(c.Certificate, p.CACertificates[:n-1]...) // the root stays home
	}
	return c, nil
}

// Binding returns what a seal ties the profile to.
func (p *Profile) Binding() Binding {
	return Binding{Device: p.Device, ProfileID: p.ID, Registry: p.Registry}
}

// Equal reports whether two profiles encode to the same bytes. One that does
// not encode equals none.
func (p *Profile) Equal(o *Profile) bool {
	if p == nil || o == nil {
		return false
	}
	a, errA := p.Encode()
	b, errB := o.Encode()
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// String names the profile and its purpose, no more.
func (p *Profile) String() string {
	return fmt.Sprintf("IoT profile %d of device %s for %s:%d", p.ID, p.Device, p.Host, p.Port)
}

// LogValue is String.
func (p *Profile) LogValue() slog.Value { return slog.StringValue(p.String()) }
