package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// hold keeps everything running until ctx ends and says how to look at it from
// outside.
func (s *story) hold(ctx context.Context) error {
	anchor := filepath.Join(s.dir, "anchor.ds")
	if err := os.WriteFile(anchor, []byte(s.world.anchorText), 0o600); err != nil {
		return err
	}
	spoilt, stop, err := serveSpoilt(flip{&dnssec.Client{Addr: s.world.server.Addr()}})
	if err != nil {
		return err
	}
	defer stop()
	name := registryZone
	if len(s.meters) > 0 {
		if p, ok := s.meters[0].card.Current(); ok {
			name = p.Name
		}
	}
	const tool = "       go run ./examples/iotreg"
	s.out.Printf("The story's DNS answers until you press Ctrl-C. In another terminal:")
	s.out.Printf("%s trace -server %s -anchor %s %s CERT", tool, s.world.server.Addr(), anchor, name)
	s.out.Printf("%s lint -server %s -anchor %s %s", tool, s.world.server.Addr(), anchor, name)
	s.out.Printf("%s verify -server %s -anchor %s %s:%d", tool, s.world.server.Addr(), anchor, carParkHost, s.carPark.port())
	s.out.Printf("The same with one bit flipped in every signature over a CERT record:")
	s.out.Printf("%s trace -server %s -anchor %s %s CERT", tool, spoilt, anchor, name)
	<-ctx.Done()
	return nil
}

// bothOnOne listens on one port over TCP and UDP. A port that is free for one may
// be taken for the other.
func bothOnOne() (ln net.Listener, pc net.PacketConn, err error) {
	for range 16 {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if pc, err = net.ListenPacket("udp", ln.Addr().String()); err == nil {
			return ln, pc, nil
		}
		err = errors.Join(err, ln.Close())
	}
	return nil, nil, err
}

// serveSpoilt serves what upstream answers over UDP and TCP on one port.
func serveSpoilt(upstream dnssec.Exchanger) (addr string, stop func(), err error) {
	ln, pc, err := bothOnOne()
	if err != nil {
		return "", nil, err
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m, err := upstream.Exchange(context.Background(), q)
		if err != nil {
			m = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		}
		m.Id = q.Id
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		_ = w.WriteMsg(m)
	})
	servers := []*dns.Server{{Listener: ln, Handler: handler}, {PacketConn: pc, Handler: handler}}
	done := make(chan struct{}, len(servers))
	started := make(chan struct{}, len(servers))
	for _, srv := range servers {
		srv.NotifyStartedFunc = func() { started <- struct{}{} }
		go func() {
			_ = srv.ActivateAndServe()
			done <- struct{}{}
		}()
	}
	for range servers {
		<-started
	}
	return ln.Addr().String(), func() {
		for _, srv := range servers {
			_ = srv.Shutdown()
			<-done
		}
	}, nil
}
