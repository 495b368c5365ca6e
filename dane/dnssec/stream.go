package dnssec

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// stream is a TCP or TLS connection that several queries share. There is no
// goroutine that reads: one of the callers that wait does, hands answers to
// the others, and passes the duty on when its own has come.
type stream struct {
	conn   net.Conn
	reader chan struct{} // holds one token: the right to read

	mu      sync.Mutex // guards the rest, and writing
	waiting map[uint16]*waiter
	err     error // why the connection is of no more use
	idle    time.Time
}

type waiter struct {
	query *dns.Msg
	done  chan *dns.Msg // of size 1
}

var errStreamEnded = errors.New("connection closed")

func newStream(conn net.Conn) *stream {
	s := &stream{conn: conn, reader: make(chan struct{}, 1), waiting: map[uint16]*waiter{}, idle: time.Now()}
	s.reader <- struct{}{}
	return s
}

// exchangeStream asks over the shared connection, and once more over a new one
// if a connection that was idle turns out to be dead.
func (c *Client) exchangeStream(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	for {
		s, fresh, err := c.connection(ctx)
		if err != nil {
			return nil, err
		}
		m, err := s.exchange(ctx, q)
		if err == nil || ctx.Err() != nil || fresh {
			return m, err
		}
	}
}

// connection returns the open connection or a new one. Callers that come at
// once wait for one handshake.
func (c *Client) connection(ctx context.Context) (s *stream, fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stream; s != nil {
		if s.alive(orDefault(c.Idle, 10*time.Second)) {
			return s, false, nil
		}
		s.fail(errStreamEnded)
		c.stream = nil
	}
	conn, err := c.dial(ctx, "tcp")
	if err != nil {
		return nil, false, err
	}
	if c.TLS != nil {
		if conn, err = handshake(ctx, conn, c.TLS, c.address()); err != nil {
			return nil, false, err
		}
	}
	c.stream = newStream(conn)
	return c.stream, true, nil
}

func handshake(ctx context.Context, conn net.Conn, config *tls.Config, addr string) (net.Conn, error) {
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12 // RFC 9325 section 3.1.1
	}
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// Close closes the connection that a Client keeps, if any. Queries under way on
// it fail. The Client may be used again.
func (c *Client) Close() error {
	c.mu.Lock()
	s := c.stream
	c.stream = nil
	c.mu.Unlock()
	if s != nil {
		s.fail(errStreamEnded)
	}
	return nil
}

func (s *stream) alive(idle time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && (len(s.waiting) > 0 || time.Since(s.idle) < idle)
}

// fail ends the connection, and with it every query that waits on it.
func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	s.conn.Close()
	for _, w := range s.waiting {
		close(w.done)
	}
	clear(s.waiting)
}

func (s *stream) exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	w, err := s.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer s.forget(w)
	for {
		select {
		case m, ok := <-w.done:
			if !ok {
				return nil, s.cause()
			}
			return m, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.reader:
			m, err := s.read(ctx, w)
			s.reader <- struct{}{}
			if m != nil || err != nil {
				return m, err
			}
		}
	}
}

func (s *stream) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// send writes the query under an ID that no other query on the connection has.
func (s *stream) send(ctx context.Context, q *dns.Msg) (*waiter, error) {
	w := &waiter{query: q.Copy(), done: make(chan *dns.Msg, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	for s.waiting[w.query.Id] != nil {
		w.query.Id++
	}
	wire, err := w.query.Pack()
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	s.conn.SetWriteDeadline(deadline)
	if _, err := s.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		s.err = err
		s.conn.Close()
		for _, other := range s.waiting {
			close(other.done)
		}
		clear(s.waiting)
		return nil, err
	}
	s.waiting[w.query.Id] = w
	return w, nil
}

func (s *stream) forget(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[w.query.Id] == w {
		delete(s.waiting, w.query.Id)
	}
	s.idle = time.Now()
}

// read does the reading for everybody until the caller's own answer has come
// or its context has ended. It returns nil, nil if the caller's channel has
// news.
func (s *stream) read(ctx context.Context, w *waiter) (*dns.Msg, error) {
	// The deadline only ever falls between messages or ends the connection:
	// half a message read is a stream lost.
	s.conn.SetReadDeadline(time.Time{})
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		s.conn.SetReadDeadline(time.Unix(1, 0))
		close(fired)
	})
	defer func() {
		if !stop() {
			<-fired // not after the next reader has set its own
		}
	}()
	for {
		if len(w.done) > 0 {
			return nil, nil
		}
		wire, clean, err := readFrame(s.conn)
		if err != nil && clean && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			s.fail(err)
			return nil, err
		}
		if m := s.deliver(wire, w); m != nil {
			return m, nil
		}
	}
}

// readFrame reads one message with its length in front (RFC 1035 section
// 4.2.2). clean says that nothing of a message had been read at the error.
func readFrame(r io.Reader) (wire []byte, clean bool, err error) {
	var size [2]byte
	if n, err := io.ReadFull(r, size[:]); err != nil {
		return nil, n == 0, err
	}
	wire = make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err = io.ReadFull(r, wire)
	return wire, false, err
}

// deliver hands an answer to whom it belongs, and returns it if that is w.
func (s *stream) deliver(wire []byte, w *waiter) *dns.Msg {
	if len(wire) < 12 {
		return nil
	}
	id := binary.BigEndian.Uint16(wire)
	s.mu.Lock()
	to := s.waiting[id]
	s.mu.Unlock()
	if to == nil {
		return nil // late, or nobody's
	}
	m := matching(to.query, wire)
	if m == nil || to == w {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == to { // else its done is closed, or nobody waits
		delete(s.waiting, id)
		to.done <- m
	}
	return nil
}
