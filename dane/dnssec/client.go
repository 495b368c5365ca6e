package dnssec

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the EDNS buffer size that fits every path unfragmented (DNS flag
// day 2020, RFC 9715).
const udpSize = 1232

// Client asks one upstream over UDP, and over TCP when an answer is truncated;
// with TLS set, over DNS over TLS alone (RFC 7858). Queries over TCP and TLS
// share a connection and are pipelined (RFC 7766). A Client is safe for
// concurrent use and must not be copied. It keeps no goroutine, but may keep a
// connection open until Close or its idle time is over.
type Client struct {
	// Addr is "host:port"; the port may be left out and is then 53, or 853
	// with TLS.
	Addr string
	// TCP asks over TCP alone.
	TCP bool
	// TLS switches to DNS over TLS. ServerName defaults to the host of Addr.
	TLS *tls.Config
	// Timeout is how long one query may take in all, if the context allows it
	// longer. Zero means 5 s.
	Timeout time.Duration
	// Retry is how long to wait for an answer by UDP before the query is sent
	// again, from another port. Zero means 1 s. It doubles each time.
	Retry time.Duration
	// Idle is how long an unused connection is used again. Zero means 10 s.
	Idle time.Duration
	// Dial opens connections. Nil means a net.Dialer, bound to a random port
	// for UDP. The network is "udp" or "tcp".
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu     sync.Mutex
	stream *stream
}

// String names the upstream, as tls://1.1.1.1:853 or 192.0.2.1:53.
func (c *Client) String() string {
	if c.TLS != nil {
		return "tls://" + c.address()
	}
	return c.address()
}

func (c *Client) address() string {
	port := "53"
	if c.TLS != nil {
		port = "853"
	}
	if _, _, err := net.SplitHostPort(c.Addr); err == nil {
		return c.Addr
	}
	return net.JoinHostPort(strings.Trim(c.Addr, "[]"), port)
}

// Exchange sends a copy of q with a fresh random ID, the DO and CD bits set and
// an EDNS size of 1232, and returns the answer that matches it. Other datagrams
// are ignored. Truncated answers are asked for again by TCP.
func (c *Client) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.Timeout, 5*time.Second))
	defer cancel()
	q, err := prepare(q)
	if err != nil {
		return nil, err
	}
	if c.TLS == nil && !c.TCP {
		m, err := c.exchangeUDP(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("dnssec: %w: %s: %w", ErrUpstream, c, err)
		}
		if !m.Truncated {
			return m, nil
		}
	}
	m, err := c.exchangeStream(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("dnssec: %w: %s: %w", ErrUpstream, c, err)
	}
	if m.Truncated {
		return nil, fmt.Errorf("dnssec: %w: %s: answer truncated on a stream", ErrUpstream, c)
	}
	return m, nil
}

func orDefault(d, value time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return value
}

// prepare returns the query as it is sent.
func prepare(q *dns.Msg) (*dns.Msg, error) {
	if len(q.Question) != 1 {
		return nil, errors.New("dnssec: a query must have one question")
	}
	q = q.Copy()
	q.CheckingDisabled, q.AuthenticatedData = true, false
	if opt := q.IsEdns0(); opt != nil {
		opt.SetDo()
		opt.SetUDPSize(udpSize)
	} else {
		q.SetEdns0(udpSize, true)
	}
	q.Id = random16()
	return q, nil
}

func random16() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

func (c *Client) exchangeUDP(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	wait := orDefault(c.Retry, time.Second)
	for {
		m, err := c.attempt(ctx, q, wait)
		if err == nil || ctx.Err() != nil {
			return m, err
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return nil, err
		}
		q.Id = random16()
		wait *= 2
	}
}

// attempt sends the query once and waits for its answer.
func (c *Client) attempt(ctx context.Context, q *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx, "udp")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if m := matching(q, buf[:n]); m != nil {
			return m, nil
		}
	}
}

// matching unpacks an answer and returns nil if it does not belong to q. A
// truncated answer may break off in the middle of a record: its header is all
// that counts.
func matching(q *dns.Msg, wire []byte) *dns.Msg {
	if len(wire) < 12 || binary.BigEndian.Uint16(wire) != q.Id {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil && !m.Truncated {
		return nil
	}
	if m.Id != q.Id || !m.Response || len(m.Question) != 1 || m.Opcode != dns.OpcodeQuery {
		return nil
	}
	if n, ok := parseName(q.Question[0].Name); !ok || !sameQuestion(m.Question[0], question{n, q.Question[0].Qtype}) {
		return nil
	}
	return m
}

func (c *Client) dial(ctx context.Context, network string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, c.address())
	}
	if network != "udp" {
		return new(net.Dialer).DialContext(ctx, network, c.address())
	}
	for range 8 {
		port := random16()
		if port < 1024 {
			continue
		}
		d := net.Dialer{LocalAddr: &net.UDPAddr{Port: int(port)}}
		if conn, err := d.DialContext(ctx, network, c.address()); err == nil {
			return conn, nil
		}
	}
	return new(net.Dialer).DialContext(ctx, network, c.address()) // the system's random choice
}
