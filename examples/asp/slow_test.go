package main

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// pipes is a port without a network, whose time synctest can pass.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- a
	return b
}

// TestSlowDevices: nobody keeps a connection that does nothing.
func TestSlowDevices(t *testing.T) {
	t.Parallel()
	dir, cert := t.TempDir(), mint(t, meter)
	for _, k := range []struct {
		rule string
		tls  bool
		send string
		ends time.Duration
	}{
		{"no handshake", false, "", handshakeTime},
		{"half a handshake", false, "\x16\x03\x01\x01\x00", handshakeTime},
		{"no CONNECT", true, "", firstPacket},
		{"half a CONNECT", true, "\x10\x0d\x00\x04MQTT", firstPacket},
		{"no packet within its own keep-alive", true, "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", 90 * time.Second},
		{"no packet, and no keep-alive", true, "\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00", maxKeepalive * 3 / 2 * time.Second},
	} {
		t.Run(k.rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				world := danetest.NewWorld(t, danetest.Config{Start: time.Now()})
				world.AddCERT(meter, cert.Leaf.Raw)
				f := &flags{mqtt: "127.0.0.1:0", host: host, zones: "iotregistry.ca", recheck: time.Hour, max: 10, data: filepath.Join(dir, strings.ReplaceAll(k.rule, " ", "-"))}
				cfg, err := f.settings()
				require.NoError(t, err)
				cfg.resolver.Exchanger = world
				cfg.resolver.Anchors, err = dnssec.ParseAnchors(strings.NewReader(world.Anchor()))
				require.NoError(t, err)
				s, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler))
				require.NoError(t, err)
				port := &pipes{make(chan net.Conn), make(chan struct{})}
				b, err := newBroker(port, s.tlsConfig(), 10, s)
				require.NoError(t, err)
				defer b.close()

				conn := port.dial()
				defer conn.Close()
				if k.tls {
					secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
					require.NoError(t, secure.Handshake())
					conn = secure
				}
				begin := time.Now()
				go func() { _, _ = io.WriteString(conn, k.send) }()
				_, err = io.Copy(io.Discard, conn)
				require.NotErrorIs(t, err, net.ErrClosed)
				require.Equal(t, k.ends, time.Since(begin).Truncate(time.Second))
			})
		})
	}
}
