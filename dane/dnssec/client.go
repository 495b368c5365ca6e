package dnssec

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the EDNS buffer size offered: what passes unfragmented nearly
// everywhere (DNS flag day 2020, RFC 9715).
const udpSize = 1232

// Networks a Client can use.
const (
	UDP = "udp" // and TCP when an answer does not fit
	TCP = "tcp"
	TLS = "tls" // DNS over TLS (RFC 7858)
)

// Client is an Exchanger for one upstream. The zero value of every field but
// Addr is fit for use. It is safe for concurrent use.
type Client struct {
	// Addr is a host or host:port; the default port is 53, or 853 for TLS.
	Addr string
	// Network is UDP, TCP or TLS; "" means UDP.
	Network string
	// TLS configures DNS over TLS; nil means that the host of Addr is
	// authenticated against the system's roots.
	TLS *tls.Config
	// Timeout is for one attempt; 0 means 3 s. UDP makes up to Attempts of
	// them, 0 meaning 3, each from a new port with a new ID.
	Timeout  time.Duration
	Attempts int
	// Dial opens connections; nil means a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// String names the upstream.
func (c *Client) String() string { return c.network() + "://" + c.addr() }

func (c *Client) network() string {
	if c.Network == "" {
		return UDP
	}
	return c.Network
}

func (c *Client) addr() string {
	if _, _, err := net.SplitHostPort(c.Addr); err == nil {
		return c.Addr
	}
	if c.Network == TLS {
		return net.JoinHostPort(c.Addr, "853")
	}
	return net.JoinHostPort(c.Addr, "53")
}

// Exchange sends a query and returns the answer to it. Anything else that
// arrives is ignored. The query's ID is replaced by a random one.
func (c *Client) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	switch c.network() {
	case UDP:
		m, err := c.overUDP(ctx, q)
		if err == nil && m.Truncated {
			m, err = c.overStream(ctx, TCP, q)
		}
		return c.explain(m, err)
	case TCP, TLS:
		return c.explain(c.overStream(ctx, c.Network, q))
	}
	return nil, fmt.Errorf("dnssec: client: unknown network %q; use udp, tcp or tls", c.Network)
}

func (c *Client) explain(m *dns.Msg, err error) (*dns.Msg, error) {
	if err != nil {
		return nil, fmt.Errorf("dnssec: %w: %s: %w", ErrUpstream, c, err)
	}
	return m, nil
}

func (c *Client) dial(ctx context.Context, network string) (net.Conn, error) {
	plain := network
	if network == TLS {
		plain = TCP
	}
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, plain, c.addr())
	if err != nil || network != TLS {
		return conn, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	if conf.ServerName == "" && !conf.InsecureSkipVerify {
		conf.ServerName, _, _ = net.SplitHostPort(c.addr())
	}
	secured := tls.Client(conn, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// attempt runs f on a connection that ends with the context or the time-out.
func (c *Client) attempt(ctx context.Context, network string, f func(net.Conn) (*dns.Msg, error)) (*dns.Msg, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := c.dial(ctx, network)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	m, err := f(conn)
	if stop(); ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	conn.Close() // the answer is there; nothing is lost
	return m, err
}

func (c *Client) overUDP(ctx context.Context, q *dns.Msg) (m *dns.Msg, err error) {
	attempts := c.Attempts
	if attempts <= 0 {
		attempts = 3
	}
	for range attempts {
		m, err = c.attempt(ctx, UDP, func(conn net.Conn) (*dns.Msg, error) { return onceUDP(conn, q) })
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return m, err
}

// onceUDP sends a query and waits for its answer, past any forged ones.
func onceUDP(conn net.Conn, q *dns.Msg) (*dns.Msg, error) {
	wire, id, err := packed(q)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if m := answerTo(q, id, buf[:n]); m != nil {
			return m, nil
		}
	}
}

// overStream sends a query with its length before it (RFC 7766).
func (c *Client) overStream(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error) {
	return c.attempt(ctx, network, func(conn net.Conn) (*dns.Msg, error) {
		wire, id, err := packed(q)
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(append(append16(nil, uint16(len(wire))), wire...)); err != nil {
			return nil, err
		}
		answer, err := readFrame(conn)
		if err != nil {
			return nil, err
		}
		if m := answerTo(q, id, answer); m != nil {
			return m, nil
		}
		return nil, errors.New("answer does not fit the question")
	})
}

func readFrame(conn net.Conn) ([]byte, error) {
	var size [2]byte
	if err := readFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	return buf, readFull(conn, buf)
}

func readFull(conn net.Conn, buf []byte) error {
	for at := 0; at < len(buf); {
		n, err := conn.Read(buf[at:])
		if at += n; err != nil && at < len(buf) {
			return err
		}
	}
	return nil
}

// packed returns the query in wire form with a fresh ID.
func packed(q *dns.Msg) ([]byte, uint16, error) {
	if len(q.Question) != 1 {
		return nil, 0, errors.New("a query has one question")
	}
	wire, err := q.Pack()
	if err != nil {
		return nil, 0, err
	}
	id := randomID()
	binary.BigEndian.PutUint16(wire, id)
	return wire, id, nil
}

// answerTo parses a message and returns it if it answers q (RFC 5452 section 9.1).
func answerTo(q *dns.Msg, id uint16, wire []byte) *dns.Msg {
	if len(wire) < 12 || binary.BigEndian.Uint16(wire) != id {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil && !m.Truncated {
		return nil
	}
	if !m.Response || len(m.Question) != 1 {
		return nil
	}
	a, b := m.Question[0], q.Question[0]
	x, okX := parseName(a.Name)
	y, okY := parseName(b.Name)
	if !okX || !okY || x != y || a.Qtype != b.Qtype || a.Qclass != b.Qclass {
		return nil
	}
	m.Id = q.Id
	return m
}

func randomID() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}
