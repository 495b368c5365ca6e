package danetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
)

// Networks a question can come by: the values of [Reply].Network.
const (
	InProcess = "mem" // World.Exchange
	UDP       = "udp" // a datagram to World.Addr
	TCP       = "tcp" // a connection to World.Addr
)

// Exchange answers a query in process, without limit of size. It has the shape
// of a validator's upstream. A dropped query fails at once with an error that
// wraps os.ErrDeadlineExceeded, so that tests need not wait.
func (w *World) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	return w.exchange(ctx, InProcess, q)
}

func (w *World) exchange(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("danetest: %w", err)
	}
	m, err := w.answer(q, network == UDP)
	if err != nil {
		return nil, err
	}
	r := &Reply{World: w, Network: network, Query: q, Msg: m}
	for _, f := range w.strike(q) {
		f.Effect(r)
	}
	if r.delay > 0 {
		timer := time.NewTimer(r.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("danetest: %w", ctx.Err())
		}
	}
	if r.dropped {
		return nil, fmt.Errorf("danetest: query dropped: %w", os.ErrDeadlineExceeded)
	}
	return r.Msg, nil
}

// answer asks the zones, without faults.
func (w *World) answer(q *dns.Msg, udp bool) (*dns.Msg, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("danetest: packing the query: %w", err)
	}
	m := new(dns.Msg)
	if out := w.authority.Respond(nil, wire, udp); out == nil {
		return nil, errors.New("danetest: message is not a query")
	} else if err := m.Unpack(out); err != nil {
		return nil, fmt.Errorf("danetest: unpacking the answer: %w", err)
	}
	return m, nil
}

// Addr returns "host:port" on loopback, where the world answers over UDP and
// TCP from the first call on.
func (w *World) Addr() string {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.net == nil {
		l, err := listen(w)
		if err != nil {
			w.tb.Fatalf("danetest: %v", err)
		}
		w.net = l
	}
	return w.net.addr
}

func (w *World) closeNetwork() {
	w.mu.Lock()
	l := w.net
	w.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// Client asks a server over the network: by UDP, and again by TCP when the
// answer was truncated. It is for tests; it does not retry.
type Client struct {
	Addr string // "host:port"
}

// Client returns a client of this world.
func (w *World) Client() *Client { return &Client{Addr: w.Addr()} }

// Exchange sends a query and returns its answer.
func (c *Client) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	for _, network := range []string{UDP, TCP} {
		client := dns.Client{Net: network, Timeout: 5 * time.Second}
		m, _, err := client.ExchangeContext(ctx, q, c.Addr)
		if err != nil {
			return nil, fmt.Errorf("danetest: %s to %s: %w", network, c.Addr, err)
		}
		if !m.Truncated || network == TCP {
			return m, nil
		}
	}
	return nil, nil
}

// listener carries the sockets.
type listener struct {
	addr     string
	udp, tcp *dns.Server
	done     chan error
}

func listen(w *World) (*listener, error) {
	var lastErr error
	for range 16 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addr := pc.LocalAddr().String()
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			pc.Close()
			lastErr = err
			continue
		}
		l := &listener{
			addr: addr, done: make(chan error, 2),
			udp: &dns.Server{PacketConn: pc, Handler: w.handler(UDP)},
			tcp: &dns.Server{Listener: ln, Handler: w.handler(TCP)},
		}
		l.start()
		return l, nil
	}
	return nil, lastErr
}

// start returns when both servers run, so that close can end them.
func (l *listener) start() {
	for _, s := range []*dns.Server{l.udp, l.tcp} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { l.done <- s.ActivateAndServe() }()
		<-ready
	}
}

func (l *listener) close() {
	_ = l.udp.Shutdown()
	_ = l.tcp.Shutdown()
	<-l.done
	<-l.done
}

func (w *World) handler(network string) dns.Handler {
	return dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		m, err := w.exchange(w.ended, network, q)
		if err != nil {
			return // nothing comes back
		}
		if network == UDP {
			size := dns.MinMsgSize
			if opt := q.IsEdns0(); opt != nil {
				size = max(size, int(opt.UDPSize()))
			}
			m.Truncate(size)
		}
		_ = rw.WriteMsg(m) // the client's loss
	})
}
