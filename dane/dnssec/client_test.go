package dnssec_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func TestClientOverUDPAndTCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.AddCERT("big.iotregistry.ca.", make([]byte, 3000))
	for _, c := range []*dnssec.Client{{Addr: w.Addr()}, {Addr: w.Addr(), TCP: true}} {
		r := resolver(t, w, c)
		for range 2 {
			res, err := r.Lookup(t.Context(), "big.iotregistry.ca.", dns.TypeCERT)
			require.NoError(t, err)
			require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
			res, err = r.Lookup(t.Context(), "no.iotregistry.ca.", dns.TypeTXT)
			require.NoError(t, err)
			require.Equal(t, dnssec.Secure, res.Status)
		}
		require.NoError(t, c.Close())
	}
}

// serveTCP answers on loopback as the world does, through wrap.
func serveTCP(t *testing.T, w *danetest.World, wrap func(net.Listener) net.Listener) (addr string, conns *atomic.Int32) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr, conns = ln.Addr().String(), new(atomic.Int32)
	ln = &counting{ln, conns}
	if wrap != nil {
		ln = wrap(ln)
	}
	started := make(chan struct{})
	s := &dns.Server{Listener: ln, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		if m, err := w.Exchange(context.Background(), q); err == nil {
			_ = rw.WriteMsg(m)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
	return addr, conns
}

type counting struct {
	net.Listener
	n *atomic.Int32
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func selfSigned(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// All queries of a cold look-up share one handshake.
func TestClientOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cert, pool := selfSigned(t, "resolver.test")
	addr, conns := serveTCP(t, w, func(ln net.Listener) net.Listener {
		return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	})
	c := &dnssec.Client{Addr: addr, TLS: &tls.Config{RootCAs: pool, ServerName: "resolver.test"}}
	r := resolver(t, w, c)
	var wg sync.WaitGroup
	for _, name := range []string{"dev1.iotregistry.ca.", "dev2.iotregistry.ca.", "www.parkoserv.ca.", "no.iotregistry.ca."} {
		wg.Go(func() {
			res, err := r.Lookup(t.Context(), name, dns.TypeTXT)
			if err != nil || res.Status != dnssec.Secure {
				t.Errorf("%s: %v %v", name, res.Reason, err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, conns.Load())
	require.NoError(t, c.Close())
	require.Contains(t, c.String(), "tls://127.0.0.1:")

	stranger := &dnssec.Client{Addr: addr, TLS: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "resolver.test"}}
	_, err := resolver(t, w, stranger).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
	require.ErrorIs(t, err, dnssec.ErrUpstream)
}

// A connection that the server closed while idle is replaced.
func TestClientReconnects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var last atomic.Pointer[net.TCPConn]
	c := &dnssec.Client{Addr: w.Addr(), TCP: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			last.Store(conn.(*net.TCPConn))
		}
		return conn, err
	}}
	defer c.Close()
	r := resolver(t, w, c)
	for range 3 {
		res, err := r.Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status)
		require.NoError(t, last.Load().CloseRead()) // reads now end as if the server had hung up
	}
}

// Datagrams that do not answer the question are passed over, and lost ones
// asked for again.
func TestClientIgnoresForgeries(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ids, ports := map[uint16]bool{}, map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for lost := 1; ; {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			ids[q.Id], ports[from.String()] = true, true
			if lost--; lost >= 0 {
				continue
			}
			send := func(change func(*dns.Msg)) {
				m := new(dns.Msg).SetReply(q)
				m.Rcode = dns.RcodeRefused
				change(m)
				if wire, err := m.Pack(); err == nil {
					_, _ = pc.WriteTo(wire, from)
				}
			}
			send(func(m *dns.Msg) { m.Id++ })
			send(func(m *dns.Msg) { m.Question[0].Name = "other." })
			send(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX })
			send(func(m *dns.Msg) { m.Question = nil })
			send(func(m *dns.Msg) { m.Response = false })
			_, _ = pc.WriteTo([]byte("junk"), from)
			send(func(m *dns.Msg) { m.Rcode = dns.RcodeSuccess })
		}
	}()
	c := &dnssec.Client{Addr: pc.LocalAddr().String(), Retry: 20 * time.Millisecond}
	m, err := c.Exchange(t.Context(), new(dns.Msg).SetQuestion("Example.", dns.TypeA))
	require.NoError(t, err)
	require.Equal(t, dns.RcodeSuccess, m.Rcode)
	require.NoError(t, pc.Close())
	<-done
	require.GreaterOrEqual(t, len(ids), 2, "a new ID each time")
	require.GreaterOrEqual(t, len(ports), 2, "a new port each time")
}

func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0") // and never answers
	require.NoError(t, err)
	defer pc.Close()
	c := &dnssec.Client{Addr: pc.LocalAddr().String(), Timeout: 50 * time.Millisecond, Retry: 10 * time.Millisecond}
	_, err = c.Exchange(t.Context(), new(dns.Msg).SetQuestion("example.", dns.TypeA))
	require.ErrorIs(t, err, dnssec.ErrUpstream)
	require.ErrorContains(t, err, pc.LocalAddr().String())
	_, err = c.Exchange(t.Context(), new(dns.Msg))
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Exchange(ctx, new(dns.Msg).SetQuestion("example.", dns.TypeA))
	require.Error(t, err)
}
