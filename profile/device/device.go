// Package device is what runs in a device: it takes its profile from an eUICC or
// an IoT SAFE applet, checks in the DNS that its own certificate and its registry
// are what they claim to be, connects to the provider that the profile names, and
// moves when there is another profile.
//
//	d := device.Device{Source: device.FromEUICC(card, nil), Verifier: verifier}
//	conn, err := d.Dial(ctx)                                  // mutual TLS, once
//	err = d.Run(ctx, func(ctx context.Context, s *device.Session) error { ... }) // for good
//
// Nothing is built in but the card with its key, the name of the registry and
// the trust anchor of the DNS root that the verifier's resolver holds.
package device

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
)

// ErrNoProfile means that the card holds no profile yet.
var ErrNoProfile = errors.New("device: no profile is installed")

// ErrProvider means that the provider's certificate does not chain to the CAs that
// the profile demands.
var ErrProvider = errors.New("device: the provider's certificate is of none of the profile's CAs")

// Device is a device's runtime. Source and Verifier are required. It is safe for
// concurrent use.
type Device struct {
	Source   Source
	Verifier *dane.Verifier

	// DialContext connects to "host:port". Nil means a net.Dialer. Where the
	// connection leads is not trusted, the certificate at its end is.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Pace, Observe, Sleep and Rand are for Run.
	Pace    Pace
	Observe func(Event)                                      // hears what happens; nil: nobody
	Sleep   func(ctx context.Context, d time.Duration) error // nil: waits
	Rand    io.Reader                                        // spreads the waits of many devices; nil: the system's
}

// Identity is what the DNS confirmed about the device and its registry.
type Identity struct {
	Credentials *Credentials
	Device      *dane.Match // the record that publishes the device's certificate
	Registry    *dane.Match // the record that publishes the registry's authority
}

// Expires is how long the confirmation holds: until the first of the records
// behind it does not count any more.
func (i *Identity) Expires() time.Time {
	if i.Registry.Expires.Before(i.Device.Expires) {
		return i.Registry.Expires
	}
	return i.Device.Expires
}

// Trust returns the judge of who seals profiles for a card of package euicc: the
// signer must be an authority that the registry publishes at its zone, validated
// from the root. The look-ups end with ctx.
func Trust(ctx context.Context, v *dane.Verifier, registry string) func(chain []*x509.Certificate) error {
	return func(chain []*x509.Certificate) error {
		_, err := v.Authority(ctx, registry, chain)
		return err
	}
}

// Verify asks the DNS whether the profile in use is in force: its certificate must
// be the published one, and its issuer an authority of the registry. An error that
// is dane.ErrAbsent proves that the profile was withdrawn; with any other the
// device knows nothing and must not connect.
func (d *Device) Verify(ctx context.Context) (*Identity, error) {
	c, err := d.Source.Load(ctx)
	if err != nil {
		return nil, err
	}
	return d.confirm(ctx, c)
}

func (d *Device) confirm(ctx context.Context, c *Credentials) (*Identity, error) {
	leaf, err := leafOf(c)
	if err != nil {
		return nil, err
	}
	id := &Identity{Credentials: c}
	var wg sync.WaitGroup
	var errDevice, errRegistry error
	wg.Go(func() { id.Device, errDevice = d.Verifier.Device(ctx, c.Name, leaf) })
	wg.Go(func() {
		id.Registry, errRegistry = d.Verifier.Authority(ctx, c.Registry, append([]*x509.Certificate{leaf}, c.CAs...))
	})
	wg.Wait()
	if err := errors.Join(errDevice, errRegistry); err != nil {
		return nil, fmt.Errorf("device: profile %d is not confirmed: %w", c.ProfileID, err)
	}
	return id, nil
}

// leafOf returns the device's certificate, which a source need not have parsed.
func leafOf(c *Credentials) (*x509.Certificate, error) {
	if c.Certificate.Leaf != nil {
		return c.Certificate.Leaf, nil
	}
	if len(c.Certificate.Certificate) == 0 {
		return nil, fmt.Errorf("device: profile %d has no certificate", c.ProfileID)
	}
	leaf, err := x509.ParseCertificate(c.Certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("device: certificate of profile %d: %w", c.ProfileID, err)
	}
	return leaf, nil
}

// TLSConfig returns the configuration for mutual TLS with the provider of a
// profile: TLS 1.3, the device's certificate, and the provider's verified in every
// handshake, by its TLSA records and by the CAs that the profile demands.
func (d *Device) TLSConfig(c *Credentials) *tls.Config {
	base := &tls.Config{Certificates: []tls.Certificate{c.Certificate}}
	if len(c.ASP) > 0 {
		base.VerifyConnection = func(s tls.ConnectionState) error { return d.chains(c, s) }
	}
	return d.Verifier.ClientConfig(base, c.Host, c.Port)
}

// chains checks the provider against the CAs of the profile.
func (d *Device) chains(c *Credentials, s tls.ConnectionState) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: c.Host}
	if d.Verifier.Now != nil {
		opts.CurrentTime = d.Verifier.Now()
	}
	for _, ca := range c.ASP {
		opts.Roots.AddCert(ca)
	}
	for _, other := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(other)
	}
	if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
		return fmt.Errorf("%w: %w", ErrProvider, err)
	}
	return nil
}

// Dial verifies the profile in use and connects to its provider. The returned
// connection has completed its handshake; a provider that refuses the device
// says so at the first read (RFC 8446 section 4.4.2.4 lets a server verify
// late).
func (d *Device) Dial(ctx context.Context) (*tls.Conn, error) {
	id, err := d.Verify(ctx)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, id.Credentials)
}

func (d *Device) connect(ctx context.Context, c *Credentials) (*tls.Conn, error) {
	dial := d.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	raw, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("device: connect to %s: %w", address, err)
	}
	conn := tls.Client(raw, d.TLSConfig(c))
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("device: TLS with %s: %w", address, err)
	}
	return conn, nil
}
