package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

// crowd is a listener that has at most max connections open: who comes then is
// hung up on at once, and keeps nobody waiting who was there before.
type crowd struct {
	net.Listener
	max int

	mu    sync.Mutex
	conns map[*member]struct{}
}

func newCrowd(ln net.Listener, limit int) *crowd {
	return &crowd{Listener: ln, max: limit, conns: map[*member]struct{}{}}
}

// Accept waits for the next connection that there is room for.
func (c *crowd) Accept() (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; {
		conn, err := c.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil { // no file descriptors, and the like: it passes
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		m := &member{Conn: conn, crowd: c}
		c.mu.Lock()
		full := len(c.conns) >= c.max
		if !full {
			c.conns[m] = struct{}{}
		}
		c.mu.Unlock()
		if !full {
			return m, nil
		}
		conn.Close()
	}
}

// scatter closes all connections.
func (c *crowd) scatter() {
	c.mu.Lock()
	var all []*member
	for m := range c.conns {
		all = append(all, m)
	}
	c.mu.Unlock()
	for _, m := range all {
		m.Close()
	}
}

// member is one connection of a crowd.
type member struct {
	net.Conn
	crowd *crowd

	mu     sync.Mutex
	closed bool
	after  []func()
}

// Close closes the connection, and runs what is to be done then.
func (m *member) Close() error {
	err := m.Conn.Close()
	m.mu.Lock()
	after := m.after
	m.closed, m.after = true, nil
	m.mu.Unlock()
	m.crowd.mu.Lock()
	delete(m.crowd.conns, m)
	m.crowd.mu.Unlock()
	for _, f := range after {
		f()
	}
	return err
}

// afterwards runs f when the connection is closed, now if it is.
func (m *member) afterwards(f func()) {
	m.mu.Lock()
	closed := m.closed
	if !closed {
		m.after = append(m.after, f)
	}
	m.mu.Unlock()
	if closed {
		f()
	}
}
