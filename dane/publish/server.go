package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

const (
	maxConns    = 512              // TCP connections at a time
	idleTimeout = 10 * time.Second // for the next query on a connection
	ioTimeout   = 5 * time.Second  // for the rest of a query, and for an answer
	maxQuery    = 4096             // octets of a query
	bindTries   = 16
)

// Server is an [Authority] with sockets: UDP and TCP on one port.
type Server struct {
	*Authority
	udp   *net.UDPConn
	tcp   net.Listener
	slots chan struct{}
	group sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// Listen serves zones on addr, "host:port", over UDP and TCP until Close. With
// port 0 it takes a port that is free for both. Zones may be added, replaced
// and changed while it runs.
func Listen(addr string, zones ...*Zone) (*Server, error) {
	udp, tcp, err := bind(addr)
	if err != nil {
		return nil, fmt.Errorf("publish: listening on %s: %w", addr, err)
	}
	s := &Server{
		Authority: NewAuthority(zones...),
		udp:       udp, tcp: tcp,
		slots: make(chan struct{}, maxConns),
		conns: map[net.Conn]struct{}{},
	}
	for range runtime.GOMAXPROCS(0) {
		s.group.Go(s.serveUDP)
	}
	s.group.Go(s.serveTCP)
	return s, nil
}

// bind opens both sockets on one port.
func bind(addr string) (*net.UDPConn, net.Listener, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		udp, err := net.ListenUDP("udp", at)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if at.Port != 0 || try == bindTries {
			return nil, nil, err
		}
	}
}

// Addr returns the "host:port" the server listens on.
func (s *Server) Addr() string { return s.udp.LocalAddr().String() }

// Close stops the server and waits until all of it has ended. The zones stay
// usable.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.group.Wait()
		return nil
	}
	s.closed = true
	err := errors.Join(s.udp.Close(), s.tcp.Close())
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.group.Wait()
	return err
}

func (s *Server) serveUDP() {
	in, out := make([]byte, maxQuery), make([]byte, 0, maxUDP)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !from.IsValid() {
			continue
		}
		s.replyUDP(in[:n], out, from)
	}
}

func (s *Server) replyUDP(in, out []byte, to netip.AddrPort) {
	if answer := s.Respond(out, in, true); answer != nil {
		// A client that cannot be reached asks again, or does not.
		_, _ = s.udp.WriteToUDPAddrPort(answer, to)
	}
}

func (s *Server) serveTCP() {
	for {
		s.slots <- struct{}{}
		conn, err := s.tcp.Accept()
		if err != nil {
			<-s.slots
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of file descriptors
			continue
		}
		if !s.track(conn) {
			<-s.slots
			conn.Close()
			return
		}
		s.group.Go(func() {
			defer func() { <-s.slots }()
			defer s.untrack(conn)
			s.serveConn(conn)
		})
	}
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

func (s *Server) untrack(c net.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.Close()
}

// serveConn answers the queries of one connection in turn (RFC 7766).
func (s *Server) serveConn(c net.Conn) {
	in, out := make([]byte, maxQuery), []byte(nil)
	for {
		n, err := readFrame(c, in)
		if err != nil {
			return
		}
		answer := s.Respond(out, in[:n], false)
		if answer == nil {
			return
		}
		out = answer
		if err := writeFrame(c, answer); err != nil {
			return
		}
	}
}

func readFrame(c net.Conn, buf []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	if n > len(buf) {
		return 0, fmt.Errorf("publish: query of %d octets", n)
	}
	if err := c.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
		return 0, err
	}
	return io.ReadFull(c, buf[:n])
}

func writeFrame(c net.Conn, msg []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	var head [2]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(msg)))
	frame := net.Buffers{head[:], msg}
	_, err := frame.WriteTo(c)
	return err
}
