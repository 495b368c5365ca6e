package device_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

const zone = "iotregistry.ca"

var id = eid.MustParse("1000000000000001")

// world is a DNS in which a registry publishes its authority.
type world struct {
	*danetest.World
	anchors   *dnssec.Anchors
	authority *profile.Authority
}

func newWorld(t testing.TB) *world {
	w := &world{World: danetest.NewWorld(t, danetest.Config{})}
	var err error
	w.anchors, err = dnssec.ParseAnchors(strings.NewReader(w.Anchor()))
	require.NoError(t, err)
	w.authority = newAuthority(t, w)
	w.AddRR(authorityRecord(t, w.authority))
	return w
}

func newAuthority(t testing.TB, w *world) *profile.Authority {
	a, err := profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: newKey(t), IssuerKey: newKey(t), Now: w.Now})
	require.NoError(t, err)
	return a
}

func authorityRecord(t testing.TB, a *profile.Authority) dns.RR {
	rr, err := dane.NewTLSA(zone+".", 300, dane.UsageDANETA, dane.SelectorCert, dane.MatchingSHA256, a.Root())
	require.NoError(t, err)
	return rr
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// verifier returns a verifier with an empty cache.
func (w *world) verifier() *dane.Verifier {
	return &dane.Verifier{
		Resolver: &dnssec.Resolver{Exchanger: w, Anchors: w.anchors, Now: w.Now},
		Now:      w.Now, Naming: dane.Deck2020,
	}
}

// meter is a device with the card in it.
type meter struct {
	*device.Device
	Card *euicc.Card
}

// Install takes in what an operator brings.
func (m *meter) Install(ctx context.Context, sealed []byte) (*profile.Profile, error) {
	return m.Card.Install(sealed, device.Trust(ctx, m.Verifier, zone))
}

// device returns a device with an empty card, whose connections go to address
// whatever the host is called. Without an address it must not connect at all.
func (w *world) device(t testing.TB, address string) *meter {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	k, err := hpke.NewDHKEMPrivateKey(key)
	require.NoError(t, err)
	card, err := euicc.New(euicc.Config{ID: id, Key: k, Registry: zone})
	require.NoError(t, err)
	d := &device.Device{Source: device.FromEUICC(card, nil), Verifier: w.verifier(), DialContext: to(address)}
	if address == "" {
		d.DialContext = func(_ context.Context, _, asked string) (net.Conn, error) {
			t.Errorf("a device that may not connect dials %s", asked)
			return nil, net.ErrClosed
		}
	}
	return &meter{d, card}
}

// order returns profile n for the provider at host, sealed for d, with its
// certificate published, as the registry would deliver it.
func (w *world) order(t testing.TB, d *meter, n uint64, host string) []byte {
	sealed, leaf := w.seal(t, d, n, host)
	w.AddCERT(leaf.DNSNames[0]+".", leaf.Raw)
	return sealed
}

func (w *world) seal(t testing.TB, d *meter, n uint64, host string) ([]byte, *x509.Certificate) {
	p := w.profile(t, w.authority, n, host)
	sealed, err := w.authority.Seal(d.Card.PublicKey(), p)
	require.NoError(t, err)
	leaf, err := p.Leaf()
	require.NoError(t, err)
	return sealed, leaf
}

func (w *world) profile(t testing.TB, a *profile.Authority, n uint64, host string) *profile.Profile {
	key := newKey(t)
	name, err := dane.DeviceName(n, id.String(), zone)
	require.NoError(t, err)
	end := w.Now().AddDate(1, 0, 0)
	der, err := a.Issue(profile.Request{Name: name, Device: id, PublicKey: key.Public(), NotAfter: end})
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return &profile.Profile{
		ID: n, Device: id, Registry: zone, Name: name, Host: host, Port: 443,
		Certificate: der, PrivateKey: pkcs8, CACertificates: a.Chain(), NotBefore: w.Now(), NotAfter: end,
	}
}

// serve runs a provider that tells each verified device its name. It publishes
// the TLSA record of published, or its own certificate's when that is nil.
func (w *world) serve(t testing.TB, host string, published *x509.Certificate) (address string) {
	address, _ = w.serving(t, host, published, greet)
	return address
}

// serveCertified is serve with a certificate that is its own CA.
func (w *world) serveCertified(t testing.TB, host string) (address string, ca []byte) {
	return w.serving(t, host, nil, greet)
}

// serving runs a provider that does as told with each connection.
func (w *world) serving(t testing.TB, host string, published *x509.Certificate, handle func(*tls.Conn)) (address string, own []byte) {
	key := newKey(t)
	der := selfSigned(t, w, host, key)
	var err error
	if published == nil {
		published, err = x509.ParseCertificate(der)
		require.NoError(t, err)
	}
	name, err := dane.ServiceName(host, 443)
	require.NoError(t, err)
	rr, err := dane.NewTLSA(name+".", 300, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, published)
	require.NoError(t, err)
	w.AddRR(rr)

	base := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	l, err := tls.Listen("tcp", "127.0.0.1:0", w.verifier().ServerConfig(base, zone))
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { handle(conn.(*tls.Conn)) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String(), der
}

// selfSigned returns a provider's certificate.
func selfSigned(t testing.TB, w *world, host string, key *ecdsa.PrivateKey) []byte {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: w.Now().Add(-time.Hour), NotAfter: w.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	return der
}

func greet(conn *tls.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if conn.Handshake() != nil {
		return
	}
	if name, err := dane.ClientIdentity(conn.ConnectionState(), zone); err == nil {
		_, _ = io.WriteString(conn, name)
	}
}

// greeting connects and returns what the provider says.
func greeting(t testing.TB, d *meter) (string, error) {
	conn, err := d.Dial(t.Context())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	return string(b), err
}

func to(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
