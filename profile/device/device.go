// Package device is what runs in a device: it takes in sealed profiles, checks
// in the DNS that its own certificate and its registry are what they claim to
// be, and connects to the provider that the profile names.
//
//	d := device.Device{Card: card, Verifier: verifier}
//	p, err := d.Install(ctx, sealed)  // from the operator
//	conn, err := d.Dial(ctx)          // mutual TLS with the provider
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
	"net"
	"strconv"
	"sync"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
)

// ErrNoProfile means that the card holds no profile yet.
var ErrNoProfile = errors.New("device: no profile is installed")

// Device is a device's runtime. Card and Verifier are required. It is safe for
// concurrent use.
type Device struct {
	Card     *euicc.Card
	Verifier *dane.Verifier

	// DialContext connects to "host:port". Nil means a net.Dialer. Where the
	// connection leads is not trusted, the certificate at its end is.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Identity is what the DNS confirmed about the device and its registry.
type Identity struct {
	Profile  *profile.Profile
	Device   *dane.Match // the record that publishes the device's certificate
	Registry *dane.Match // the record that publishes the registry's authority
}

// Install opens a sealed profile on the card and makes it the current one. The
// signer of the seal must be an authority that the registry publishes at its
// zone, validated from the root.
func (d *Device) Install(ctx context.Context, sealed []byte) (*profile.Profile, error) {
	s, err := profile.ParseSealed(sealed)
	if err != nil {
		return nil, err
	}
	return d.Card.Install(sealed, func(chain []*x509.Certificate) error {
		_, err := d.Verifier.Authority(ctx, s.Binding().Registry, chain)
		return err
	})
}

// Verify asks the DNS whether the current profile is in force: its certificate
// must be the published one, and its issuer an authority of the registry. An
// error that is dane.ErrAbsent proves that the profile was withdrawn; with any
// other the device knows nothing and must not connect.
func (d *Device) Verify(ctx context.Context) (*Identity, error) {
	p, ok := d.Card.Current()
	if !ok {
		return nil, ErrNoProfile
	}
	leaf, err := p.Leaf()
	if err != nil {
		return nil, err
	}
	cas, err := p.CAs()
	if err != nil {
		return nil, err
	}
	id := &Identity{Profile: p}
	var wg sync.WaitGroup
	var errDevice, errRegistry error
	wg.Go(func() { id.Device, errDevice = d.Verifier.Device(ctx, p.Name, leaf) })
	wg.Go(func() {
		id.Registry, errRegistry = d.Verifier.Authority(ctx, p.Registry, append([]*x509.Certificate{leaf}, cas...))
	})
	wg.Wait()
	if err := errors.Join(errDevice, errRegistry); err != nil {
		return nil, fmt.Errorf("device: profile %d is not confirmed: %w", p.ID, err)
	}
	return id, nil
}

// TLSConfig returns the configuration for mutual TLS with the provider of p:
// TLS 1.3, the device's certificate, and the provider's certificate verified
// by its TLSA records in every handshake.
func (d *Device) TLSConfig(p *profile.Profile) (*tls.Config, error) {
	cert, err := p.TLSCertificate(nil)
	if err != nil {
		return nil, err
	}
	base := &tls.Config{Certificates: []tls.Certificate{cert}}
	return d.Verifier.ClientConfig(base, p.Host, p.Port), nil
}

// Dial verifies the current profile and connects to its provider. The returned
// connection has completed its handshake; a provider that refuses the device
// says so at the first read (RFC 8446 section 4.4.2.4 lets a server verify
// late).
func (d *Device) Dial(ctx context.Context) (*tls.Conn, error) {
	id, err := d.Verify(ctx)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, id.Profile)
}

func (d *Device) connect(ctx context.Context, p *profile.Profile) (*tls.Conn, error) {
	cfg, err := d.TLSConfig(p)
	if err != nil {
		return nil, err
	}
	dial := d.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	address := net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
	raw, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("device: connect to %s: %w", address, err)
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("device: TLS with %s: %w", address, err)
	}
	return conn, nil
}
