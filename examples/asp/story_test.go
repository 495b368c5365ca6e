package main

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
)

const registryZone = "iotregistry.ca"

var (
	operator = registry.Actor{Account: "registry", Role: registry.RoleOperator}
	parko    = registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
)

// carrier delivers what is ordered to whoever asks.
type carrier struct {
	mu     sync.Mutex
	sealed map[eid.ID][]byte
}

func (c *carrier) Order(_ context.Context, o mno.Order) (mno.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed[o.Device] = o.Sealed
	return mno.Receipt{Device: o.Device, ICCID: fmt.Sprintf("89%017d", o.ProfileID), MatchingID: "M"}, nil
}

func (c *carrier) Cancel(context.Context, mno.Receipt) error { return nil }

func (c *carrier) take(id eid.ID) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sealed[id]
}

// story is a real registry in the world of the tests, and one device.
type story struct {
	t       testing.TB
	world   *danetest.World
	reg     *registry.Registry
	url     string
	token   string // file
	telco   *carrier
	id      eid.ID
	card    *euicc.Card
	device  *device.Device
	address string // of MQTT
}

func key(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return k
}

func newStory(t testing.TB) *story {
	t.Helper()
	s := &story{t: t, world: danetest.NewWorld(t, danetest.Config{TTL: 60}), telco: &carrier{sealed: map[eid.ID][]byte{}}, id: mustID("1000000000000001")}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: registryZone, RootKey: key(t), IssuerKey: key(t), Now: s.world.Now})
	require.NoError(t, err)
	root, err := dane.NewTLSA(registryZone+".", 60, dane.UsageDANETA, dane.SelectorCert, dane.MatchingSHA256, authority.Root())
	require.NoError(t, err)
	s.world.AddRR(root)
	s.reg, err = registry.New(registry.Config{
		Zone: registryZone, Store: memory.New(), Authority: authority, Publisher: s.world.Zone(registryZone + "."), FirstProfileID: 11,
		Operators: map[string]mno.Operator{"telco": s.telco}, AllowUnclaimed: true, CertTTL: 60, Now: s.world.Now,
	})
	require.NoError(t, err)
	for _, a := range []registry.Account{
		{ID: "registry", Role: registry.RoleOperator}, {ID: "ottawa", Role: registry.RoleOwner}, {ID: "telco", Role: registry.RoleMNO},
		{ID: "parkoserv", Role: registry.RoleASP, Host: host, Port: 443},
	} {
		require.NoError(t, s.reg.PutAccount(t.Context(), operator, a))
	}
	_, token, err := s.reg.IssueToken(t.Context(), operator, "parkoserv", "cloud", 0)
	require.NoError(t, err)
	s.token = filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(s.token, []byte(token.Reveal()), 0o600))
	api, err := web.New(web.Config{Registry: s.reg, Transfers: transfer.New(s.reg, transfer.Policy{}), Now: s.world.Now})
	require.NoError(t, err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.makeDevice()
	return s
}

func (s *story) makeDevice() {
	secret, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(s.t, err)
	private, err := hpke.NewDHKEMPrivateKey(secret)
	require.NoError(s.t, err)
	card, err := euicc.New(euicc.Config{ID: s.id, Key: private, Registry: registryZone})
	require.NoError(s.t, err)
	anchors, err := dnssec.ParseAnchors(strings.NewReader(s.world.Anchor()))
	require.NoError(s.t, err)
	s.card = card
	s.device = &device.Device{
		Source:   device.FromEUICC(card, nil),
		Verifier: &dane.Verifier{Resolver: &dnssec.Resolver{Exchanger: s.world, Anchors: anchors, Now: s.world.Now}, Now: s.world.Now},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.address)
		},
	}
}

func (s *story) done(results []registry.Result, err error) {
	s.t.Helper()
	require.NoError(s.t, err)
	require.Empty(s.t, registry.Failed(results))
}

// install brings the ordered profile onto the card.
func (s *story) install() uint64 {
	s.t.Helper()
	p, err := s.card.Install(s.telco.take(s.id), device.Trust(s.t.Context(), s.device.Verifier, registryZone))
	require.NoError(s.t, err)
	return p.ID
}

// TestStory: a device that a real registry has provisioned connects with its
// profile, verified on both sides by DNS; the cloud confirms it, which withdraws
// the profile before; and when the registry deletes it, the cloud lets it go.
func TestStory(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	c := newCloudIn(t, s.world, func(f *flags) { f.registry, f.token, f.port = s.url, s.token, 443 })
	s.address = c.MQTT
	for _, line := range c.TLSA {
		rr, err := dns.NewRR(line)
		require.NoError(t, err)
		s.world.AddRR(rr)
	}
	s.done(s.reg.Import(t.Context(), parko, registry.Import{Owner: "ottawa", MNO: "telco", Rows: []registry.Row{
		{ID: s.id, Model: "Parking Meter", Version: "1.0", PublicKey: profile.FormatPublicKey(s.card.PublicKey())},
	}}))
	s.done(s.reg.Activate(t.Context(), parko, registry.Options{}, s.id))

	first := s.connect(c, 11)
	s.confirmed(11)
	s.done(s.reg.Reset(t.Context(), parko, registry.Options{}, s.id))
	c.world.Advance(time.Minute)
	c.sessions.Check(t.Context())
	require.Equal(t, aspd.Verified, c.sessions.List()[0].Verdict, "make before break")
	second := s.connect(c, 12)
	first.gone(0x8e)
	s.confirmed(12)
	_, err := c.verifier.Device(t.Context(), meter, mint(t, meter).Leaf)
	require.ErrorIs(t, err, dane.ErrAbsent, "the profile before is withdrawn")

	s.done(s.reg.Delete(t.Context(), parko, registry.Options{}, s.id))
	c.world.Advance(time.Minute)
	c.sessions.Check(t.Context())
	second.gone(0x98)
	_, err = s.device.Dial(t.Context())
	require.ErrorIs(t, err, dane.ErrAbsent, "the device knows it too")
}

func (s *story) connect(c *cloud, profileID uint64) *client {
	s.t.Helper()
	require.Equal(s.t, profileID, s.install())
	conn, err := s.device.Dial(s.t.Context())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	m, err := c.connectOn(conn, nil)
	require.NoError(s.t, err)
	require.Equal(s.t, profileID, c.sessions.List()[0].Profile)
	return m
}

// confirmed waits until the registry knows that the device has connected.
func (s *story) confirmed(profileID uint64) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		ps, err := s.reg.Profiles(s.t.Context(), parko, s.id)
		require.NoError(s.t, err)
		for _, p := range ps {
			if p.ID == profileID {
				return p.Status == registry.ProfileConnected
			}
		}
		return false
	}, 20*time.Second, 10*time.Millisecond)
}
