package dane_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/danetest"
)

// outcome is one TLS connection as both ends saw it.
type outcome struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

// connect shakes hands over loopback and sends one octet each way, so that
// alerts and session tickets arrive.
func connect(t testing.TB, client, server *tls.Config) outcome {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	var o outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			o.serverErr = err
			return
		}
		conn := tls.Server(c, server)
		defer conn.Close()
		o.serverErr = echo(conn, true)
		o.server = conn.ConnectionState()
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	conn := tls.Client(c, client)
	o.clientErr = echo(conn, false)
	o.client = conn.ConnectionState()
	conn.Close()
	<-done
	return o
}

func echo(conn *tls.Conn, server bool) error {
	if err := conn.Handshake(); err != nil {
		return err
	}
	if server {
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return err
	}
	if !server {
		_, err := conn.Write([]byte{1})
		return err
	}
	return nil
}

// parties are a service and a device whose records are published.
type parties struct {
	world         *danetest.World
	service, leaf pair
	client        *tls.Config // base of the device
	server        *tls.Config // base of the service
}

func newParties(t testing.TB) *parties {
	t.Helper()
	p := &parties{world: danetest.NewWorld(t, danetest.Config{TTL: 60})}
	p.service = mint(t, pair{}, names(host))
	p.leaf = mint(t, pair{}, names(device))
	publishTLSA(t, p.world, host, 3, 1, 1, p.service)
	p.world.AddCERT(device, p.leaf.cert.Raw)
	p.client = &tls.Config{Certificates: []tls.Certificate{p.leaf.tls()}}
	p.server = &tls.Config{Certificates: []tls.Certificate{p.service.tls()}}
	return p
}

func (p *parties) connect(t testing.TB) outcome {
	t.Helper()
	return connect(t,
		verifierOf(t, p.world).ClientConfig(p.client, host, 443),
		verifierOf(t, p.world).ServerConfig(p.server, "iotregistry.ca"))
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	o := p.connect(t)
	require.NoError(t, o.clientErr)
	require.NoError(t, o.serverErr)
	require.Equal(t, uint16(tls.VersionTLS13), o.client.Version)
	require.Equal(t, host, o.server.ServerName)
	name, err := dane.ClientIdentity(o.server, "other.example", "IoTregistry.ca.")
	require.NoError(t, err)
	require.Equal(t, device, name)
	_, err = dane.ClientIdentity(o.server, "other.example")
	require.ErrorIs(t, err, dane.ErrNotAllowed)
	_, err = dane.ClientIdentity(o.server)
	require.ErrorIs(t, err, dane.ErrNotAllowed)
	// The configs given were not touched.
	require.Nil(t, p.client.VerifyConnection)
	require.Zero(t, p.server.ClientAuth)
}

func TestTLSRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		setup          func(t *testing.T, p *parties)
		client, server error // what each end must report; nil: not checked
	}{
		{"service's key changed", func(t *testing.T, p *parties) {
			p.server.Certificates = []tls.Certificate{mint(t, pair{}, names(host)).tls()}
		}, dane.ErrNoMatch, nil},
		{"service withdrawn", func(_ *testing.T, p *parties) { p.world.Withdraw("_443._tcp.parkoserv.ca.") }, dane.ErrAbsent, nil},
		{"service bogus", func(_ *testing.T, p *parties) {
			p.world.Inject(danetest.Fault{Under: "parkoserv.ca.", Effect: danetest.FlipSignature()})
		}, dane.ErrBogus, nil},
		{"device withdrawn", func(_ *testing.T, p *parties) { p.world.Withdraw(device + ".") }, nil, dane.ErrAbsent},
		{"device's key stolen name", func(t *testing.T, p *parties) {
			p.client.Certificates = []tls.Certificate{mint(t, pair{}, names(device)).tls()}
		}, nil, dane.ErrNoMatch},
		{"device bogus", func(_ *testing.T, p *parties) {
			p.world.Inject(danetest.Fault{Under: "iotregistry.ca.", Effect: danetest.FlipSignature()})
		}, nil, dane.ErrBogus},
		{"device look-up dropped", func(_ *testing.T, p *parties) {
			p.world.Inject(danetest.Fault{Under: "iotregistry.ca.", Effect: danetest.Drop()})
		}, nil, dane.ErrIndeterminate},
		{"device expired", func(t *testing.T, p *parties) {
			old := mint(t, pair{}, names(device), expired)
			p.world.AddCERT(device, old.cert.Raw)
			p.client.Certificates = []tls.Certificate{old.tls()}
		}, nil, dane.ErrExpired},
		{"name in the subject only", func(t *testing.T, p *parties) {
			cn := mint(t, pair{}, subject(device))
			p.world.AddCERT(device, cn.cert.Raw)
			p.client.Certificates = []tls.Certificate{cn.tls()}
		}, nil, dane.ErrWrongName},
		{"name in the subject only, TLSA 3 1 1", func(t *testing.T, p *parties) {
			cn := mint(t, pair{}, subject("12.1.iotregistry.ca"))
			rr, err := dane.NewTLSA("12.1.iotregistry.ca", 60, 3, 1, 1, cn.cert)
			require.NoError(t, err)
			p.world.AddRR(rr)
			p.client.Certificates = []tls.Certificate{cn.tls()}
		}, nil, dane.ErrWrongName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newParties(t)
			tt.setup(t, p)
			o := p.connect(t)
			require.Error(t, o.clientErr)
			require.Error(t, o.serverErr)
			if tt.client != nil {
				require.ErrorIs(t, o.clientErr, tt.client)
			}
			if tt.server != nil {
				require.ErrorIs(t, o.serverErr, tt.server)
			}
		})
	}
}

// TestAllowListBeforeLookup: a client without a name in an allowed zone causes
// not one query.
func TestAllowListBeforeLookup(t *testing.T) {
	t.Parallel()
	for label, tt := range map[string]struct {
		mods  []func(*x509.Certificate)
		zones []string
	}{
		"foreign name":        {[]func(*x509.Certificate){names("11.1.evil.example")}, []string{"iotregistry.ca"}},
		"suffix is no zone":   {[]func(*x509.Certificate){names("11.1.eviliotregistry.ca")}, []string{"iotregistry.ca"}},
		"apex":                {[]func(*x509.Certificate){names("iotregistry.ca")}, []string{"iotregistry.ca"}},
		"wildcard":            {[]func(*x509.Certificate){names("*.iotregistry.ca")}, []string{"iotregistry.ca"}},
		"no name":             {nil, []string{"iotregistry.ca"}},
		"foreign subject":     {[]func(*x509.Certificate){subject("11.1.evil.example")}, []string{"iotregistry.ca"}},
		"subject and foreign": {[]func(*x509.Certificate){subject(device), names("x.example")}, []string{"iotregistry.ca"}},
		"no zones":            {[]func(*x509.Certificate){names(device)}, nil},
		"bad zone":            {[]func(*x509.Certificate){names(device)}, []string{"", ".", "a b"}},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			w := danetest.NewWorld(t, danetest.Config{})
			leaf, srv := mint(t, pair{}, tt.mods...), mint(t, pair{}, names(host))
			server := verifierOf(t, w).ServerConfig(&tls.Config{Certificates: []tls.Certificate{srv.tls()}}, tt.zones...)
			client := &tls.Config{Certificates: []tls.Certificate{leaf.tls()}, InsecureSkipVerify: true}
			o := connect(t, client, server)
			require.ErrorIs(t, o.serverErr, dane.ErrNotAllowed)
			require.Empty(t, w.Queries())
		})
	}
}

func TestServerNeedsCertificate(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	p.client.Certificates = nil
	o := p.connect(t)
	require.Error(t, o.serverErr)
	require.Error(t, o.clientErr)
}

func TestTLS12Refused(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	v := verifierOf(t, p.world)
	old := &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, Certificates: p.client.Certificates}
	require.Error(t, connect(t, old, v.ServerConfig(p.server, "iotregistry.ca")).serverErr)
	old = &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: p.server.Certificates}
	require.Error(t, connect(t, v.ClientConfig(p.client, host, 443), old).clientErr)
	p.server.MinVersion, p.client.MinVersion = tls.VersionTLS10, tls.VersionTLS10
	require.EqualValues(t, tls.VersionTLS13, v.ServerConfig(p.server).MinVersion)
	require.EqualValues(t, tls.VersionTLS13, v.ClientConfig(p.client, host, 443).MinVersion)
}

// TestResumption: a resumed session is verified like a new one, at both ends.
func TestResumption(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	p.client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	clientV, serverV := verifierOf(t, p.world), verifierOf(t, p.world)
	client := clientV.ClientConfig(p.client, host, 443)
	server := serverV.ServerConfig(p.server, "iotregistry.ca")

	o := connect(t, client, server)
	require.NoError(t, o.clientErr)
	require.False(t, o.client.DidResume)
	o = connect(t, client, server)
	require.NoError(t, o.clientErr)
	require.NoError(t, o.serverErr)
	require.True(t, o.client.DidResume)
	require.True(t, o.server.DidResume)
	name, err := dane.ClientIdentity(o.server, "iotregistry.ca")
	require.NoError(t, err)
	require.Equal(t, device, name)

	// The device is withdrawn: the service refuses to resume with it.
	p.world.Withdraw(device + ".")
	p.world.Advance(2 * time.Minute)
	o = connect(t, client, server)
	require.ErrorIs(t, o.serverErr, dane.ErrAbsent)
	require.True(t, o.server.DidResume)
	p.world.AddCERT(device, p.leaf.cert.Raw)
	p.world.Advance(time.Hour * 2) // past any cached denial
	o = connect(t, client, server)
	require.NoError(t, o.serverErr)

	// The service is withdrawn: the device refuses to resume with it.
	p.world.Withdraw("_443._tcp.parkoserv.ca.")
	p.world.Advance(10 * time.Minute)
	o = connect(t, client, server)
	require.ErrorIs(t, o.clientErr, dane.ErrAbsent)
}

func TestHooksOfBaseStillRun(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	mine := errors.New("mine")
	var ran atomic.Int32
	hook := func(tls.ConnectionState) error { ran.Add(1); return nil }
	p.client.VerifyConnection, p.server.VerifyConnection = hook, hook
	o := p.connect(t)
	require.NoError(t, o.serverErr)
	require.EqualValues(t, 2, ran.Load())
	p.server.VerifyConnection = func(tls.ConnectionState) error { return mine }
	require.ErrorIs(t, p.connect(t).serverErr, mine)
	// The hook is no way around the verification.
	ran.Store(0)
	p.server.VerifyConnection, p.client.VerifyConnection = hook, nil
	p.world.Withdraw(device + ".")
	require.ErrorIs(t, p.connect(t).serverErr, dane.ErrAbsent)
	require.Zero(t, ran.Load())
}

// TestGetConfigForClient: a config chosen per connection is verified as well.
func TestGetConfigForClient(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	chosen := p.server
	p.server = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }}
	require.NoError(t, p.connect(t).serverErr)
	p.world.Withdraw(device + ".")
	require.ErrorIs(t, p.connect(t).serverErr, dane.ErrAbsent)
	// None chosen: the outer config stands.
	p.server = &tls.Config{Certificates: chosen.Certificates, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }}
	require.ErrorIs(t, p.connect(t).serverErr, dane.ErrAbsent)
}

func TestServerPrototypeNaming(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	cn := mint(t, pair{}, subject("1.8912230200031060003F.iotregistry.ca"))
	p.world.AddCERT("1.8912230200031060003f.iotregistry.ca", cn.cert.Raw)
	p.client.Certificates = []tls.Certificate{cn.tls()}
	v := verifierOf(t, p.world)
	v.Naming = dane.Prototype2020
	o := connect(t, verifierOf(t, p.world).ClientConfig(p.client, host, 443), v.ServerConfig(p.server, "iotregistry.ca"))
	require.NoError(t, o.serverErr)
	name, err := dane.ClientIdentity(o.server, "iotregistry.ca")
	require.NoError(t, err)
	require.Equal(t, "1.8912230200031060003f.iotregistry.ca", name)
}

func TestClientIdentityNeedsHandshake(t *testing.T) {
	t.Parallel()
	leaf := mint(t, pair{}, names(device))
	_, err := dane.ClientIdentity(tls.ConnectionState{PeerCertificates: certs(leaf)}, "iotregistry.ca")
	require.ErrorIs(t, err, dane.ErrInvalid)
	_, err = dane.ClientIdentity(tls.ConnectionState{HandshakeComplete: true}, "iotregistry.ca")
	require.ErrorIs(t, err, dane.ErrNotAllowed)
	// The first name in an allowed zone is the identity, whatever comes before.
	both := mint(t, pair{}, names("x.example", "*.iotregistry.ca", "a b", "1._device.iotregistry.ca", device))
	name, err := dane.ClientIdentity(tls.ConnectionState{HandshakeComplete: true, PeerCertificates: certs(both)}, "iotregistry.ca")
	require.NoError(t, err)
	require.Equal(t, "1._device.iotregistry.ca", name)
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	n, err := dane.Allowed("11.1.IoTregistry.ca.", "example", "iotregistry.CA")
	require.NoError(t, err)
	require.Equal(t, "11.1.iotregistry.ca", n)
	for _, n := range []string{"", "iotregistry.ca", "xiotregistry.ca", "11.1.iotregistry.ca.example", "*.iotregistry.ca", "a b.iotregistry.ca"} {
		_, err := dane.Allowed(n, "iotregistry.ca")
		require.ErrorIs(t, err, dane.ErrNotAllowed, n)
	}
	_, err = dane.Allowed("11.1.iotregistry.ca")
	require.ErrorIs(t, err, dane.ErrNotAllowed)
}

// gate is an upstream that counts the CERT look-ups in flight and holds them
// back.
type gate struct {
	world   *danetest.World
	release chan struct{}
	now     atomic.Int32
}

func (g *gate) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if q.Question[0].Qtype == dns.TypeCERT {
		g.now.Add(1)
		defer g.now.Add(-1)
		select {
		case <-g.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return g.world.Exchange(ctx, q)
}

// crowd lets n devices connect to one service at the same time and sends what
// the service makes of each. It is for synctest bubbles.
func crowd(t *testing.T, p *parties, v *dane.Verifier, n int) <-chan error {
	t.Helper()
	server := v.ServerConfig(p.server, "iotregistry.ca")
	errs := make(chan error, n)
	for i := range n {
		name := fmt.Sprintf("%d.1000000000000001.iotregistry.ca", 20+i)
		leaf := mint(t, pair{}, names(name))
		p.world.AddCERT(name, leaf.cert.Raw)
		client := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{leaf.tls()}}
		a, b := net.Pipe()
		go func() {
			_ = echo(tls.Client(a, client), false)
			a.Close()
		}()
		go func() {
			errs <- echo(tls.Server(b, server), true)
			b.Close()
		}()
	}
	return errs
}

// TestServerConcurrencyCap: no more look-ups than allowed are in flight; the
// others wait for their turn.
func TestServerConcurrencyCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, limit = 6, 2
		p := newParties(t)
		g := &gate{world: p.world, release: make(chan struct{})}
		v := verifierOf(t, p.world)
		v.Resolver.Exchanger = g
		v.MaxConcurrent = limit
		errs := crowd(t, p, v, clients)
		synctest.Wait()
		require.EqualValues(t, limit, g.now.Load())
		close(g.release)
		for range clients {
			require.NoError(t, <-errs)
		}
	})
}

// TestServerTimeout: neither a slow name server nor a crowd holds a handshake
// up for more than Timeout, and the refusal claims nothing about the device.
func TestServerTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := newParties(t)
			v := verifierOf(t, p.world)
			v.Resolver.Exchanger = &gate{world: p.world, release: make(chan struct{})}
			v.MaxConcurrent, v.Timeout = 1, timeout
			start := time.Now()
			errs := crowd(t, p, v, 3) // one waits for the DNS, two for their turn
			for range 3 {
				require.ErrorIs(t, <-errs, dane.ErrIndeterminate)
			}
			want := timeout
			if want == 0 {
				want = 10 * time.Second
			}
			require.Equal(t, want, time.Since(start))
		})
	}
}

func TestDialTLS(t *testing.T) {
	t.Parallel()
	p := newParties(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	server := verifierOf(t, p.world).ServerConfig(p.server, "iotregistry.ca")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = echo(tls.Server(c, server), true)
			c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	rr, err := dane.NewTLSA("_"+port+"._tcp.localhost", 300, 3, 1, 1, p.service.cert)
	require.NoError(t, err)
	p.world.AddRR(rr)
	v := verifierOf(t, p.world)
	conn, err := v.DialTLS(t.Context(), "tcp4", "localhost:"+port, p.client)
	require.NoError(t, err)
	require.True(t, conn.ConnectionState().HandshakeComplete)
	conn.Close()

	p.world.RemoveRR(rr)
	p.world.Advance(time.Hour)
	_, err = verifierOf(t, p.world).DialTLS(t.Context(), "tcp4", "localhost:"+port, p.client)
	require.ErrorIs(t, err, dane.ErrAbsent)
	for _, addr := range []string{"localhost", "localhost:0", "localhost:x", "localhost:65536", "127.0.0.1:443", ":443"} {
		_, err = v.DialTLS(t.Context(), "tcp4", addr, p.client)
		require.ErrorIs(t, err, dane.ErrInvalid, addr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.DialTLS(ctx, "tcp4", "localhost:"+port, p.client)
	require.Error(t, err)
}
