package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry/web/limit"
)

// What one device may send, over both protocols together.
const (
	perSecond = 20
	burst     = 100
)

// drainTime is how long calls under way may take when the program ends, and how
// long the last confirmations may.
const drainTime = 5 * time.Second

// service is the program's parts. It serves nobody before serve.
type service struct {
	cfg       *settings
	log       *slog.Logger
	identity  identity
	verifier  *dane.Verifier
	sessions  *aspd.Sessions
	confirmer *aspd.Confirmer // nil for none
	rate      *limit.Limiter
	boxes     *mailboxes

	broker *broker // nil for none
	front  *front  // nil for none
	status *http.Server
}

func open(ctx context.Context, cfg *settings, log *slog.Logger) (*service, error) {
	s := &service{cfg: cfg, log: log, rate: limit.New(perSecond, burst, limit.WithAccounts(2*cfg.max))}
	var err error
	if s.identity, err = openIdentity(ctx, cfg); err != nil {
		return nil, err
	}
	cfg.resolver.Now = cfg.now
	s.verifier = &dane.Verifier{Resolver: cfg.resolver, Now: cfg.now, Naming: dane.Deck2020}
	s.boxes = &mailboxes{now: s.now}
	s.sessions = &aspd.Sessions{
		Verify: s.verifier.DeviceChain, Now: cfg.now, Recheck: cfg.recheck, Grace: cfg.grace, Max: cfg.max, Log: log,
	}
	if cfg.registry != nil {
		s.confirmer = &aspd.Confirmer{Call: confirming(cfg.registry), Log: log}
		s.sessions.OnAdmit = s.confirm
	}
	return s, nil
}

// confirm has a device confirmed that is of the zone of -registry: the same device
// may be in another registry too, whose profiles have numbers of their own.
func (s *service) confirm(d aspd.Device) {
	if d.Zone == s.cfg.zoneList[0] {
		s.confirmer.Add(d)
	}
}

func (s *service) now() time.Time {
	if s.cfg.now != nil {
		return s.cfg.now()
	}
	return time.Now()
}

// maxChain bounds the certificates that a device presents, in bytes: they are kept
// for as long as it is connected.
const maxChain = 16 << 10

func (s *service) tlsConfig() *tls.Config {
	base := &tls.Config{GetCertificate: s.identity.certificate, VerifyConnection: func(cs tls.ConnectionState) error {
		size := 0
		for _, c := range cs.PeerCertificates {
			size += len(c.Raw)
		}
		if size > maxChain {
			return errors.New("the device's certificates are larger than 16 KiB")
		}
		return nil
	}}
	return s.verifier.ServerConfig(base, s.cfg.zoneList...)
}

// ports are the listeners of the service; nil where a flag is empty.
type ports struct{ https, mqtt, status net.Listener }

// openPorts opens all ports, so that none is missed later.
func (s *service) openPorts() (p ports, err error) {
	for _, o := range []struct {
		flag, addr string
		to         *net.Listener
	}{{"-https", s.cfg.https, &p.https}, {"-mqtt", s.cfg.mqtt, &p.mqtt}, {"-status", s.cfg.status, &p.status}} {
		if o.addr == "" {
			continue
		}
		if *o.to, err = net.Listen("tcp", o.addr); err != nil {
			p.close()
			return ports{}, fmt.Errorf("%s: %w", o.flag, err)
		}
	}
	return p, nil
}

func (p ports) close() {
	for _, ln := range []net.Listener{p.https, p.mqtt, p.status} {
		if ln != nil {
			ln.Close()
		}
	}
}

// address returns where a listener listens; empty for none.
func address(ln net.Listener) string {
	if ln == nil {
		return ""
	}
	return ln.Addr().String()
}

// listen opens the ports and returns what is to be run to serve on them. MQTT is
// served at once.
func (s *service) listen() (*where, []func() error, error) {
	p, err := s.openPorts()
	if err != nil {
		return nil, nil, err
	}
	at := &where{Host: s.cfg.host, Zones: s.cfg.zoneList, Data: s.cfg.data, HTTPS: address(p.https), MQTT: address(p.mqtt)}
	if err := s.records(at); err != nil {
		p.close()
		return nil, nil, err
	}
	cfg, limitTo := s.tlsConfig(), s.cfg.max+s.cfg.max/10+16 // some are shaking hands
	var serving []func() error
	if p.https != nil {
		s.front = newFront(p.https, cfg, limitTo, s)
		serving = append(serving, s.front.run)
	}
	if p.status != nil {
		at.Status = "http://" + address(p.status) + "/"
		s.status = &http.Server{Handler: s.statusHandler(), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10}
		serving = append(serving, func() error { return s.status.Serve(p.status) })
	}
	if p.mqtt != nil {
		if s.broker, err = newBroker(p.mqtt, cfg, limitTo, s); err != nil {
			p.close()
			return nil, nil, err
		}
	}
	return at, serving, nil
}

// records enters the TLSA records that devices need.
func (s *service) records(at *where) error {
	ports := []uint16{uint16(s.cfg.port)}
	if s.cfg.port == 0 {
		ports = nil
		for _, addr := range []string{at.HTTPS, at.MQTT} {
			if a, err := net.ResolveTCPAddr("tcp", addr); addr != "" && err == nil {
				ports = append(ports, uint16(a.Port))
			}
		}
	}
	for _, port := range ports {
		rr, err := tlsa(s.identity, s.cfg.host, port)
		if err != nil {
			return err
		}
		at.TLSA = append(at.TLSA, rr)
	}
	return nil
}

// serve runs the service until ctx ends.
func (s *service) serve(ctx context.Context, stdout io.Writer) error {
	at, serving, err := s.listen()
	if err != nil {
		return errors.Join(err, s.close())
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { s.sessions.Run(work) })
	if s.confirmer != nil {
		running.Go(func() { s.confirmer.Run(work) })
	}
	failed := make(chan error, len(serving))
	for _, run := range serving {
		running.Go(func() { failed <- run() })
	}
	if err = at.print(stdout, s.cfg.json); err == nil {
		select {
		case <-ctx.Done():
			s.log.Info("ending")
		case err = <-failed:
		}
	}
	s.drain()
	stop()
	running.Wait()
	s.confirmRest()
	return errors.Join(err, s.close())
}

// drain lets calls under way finish, and tells devices that the service ends.
func (s *service) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if s.front != nil {
		if err := s.front.http.Shutdown(ctx); err != nil {
			s.log.Warn("calls under way were cut off", "err", err)
			_ = s.front.http.Close()
		}
	}
	s.sessions.Close()
	if s.broker != nil {
		s.broker.close()
	}
	if s.status != nil {
		_ = s.status.Close()
	}
}

// confirmRest makes a last try: who is not confirmed now is when it comes again.
func (s *service) confirmRest() {
	if s.confirmer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for {
		left, err := s.confirmer.Flush(ctx)
		if err != nil {
			s.log.Warn("devices are left that are not confirmed at the registry", "pending", left, "err", err)
		}
		if err != nil || left == 0 {
			return
		}
	}
}

func (s *service) close() error {
	var err error
	for _, c := range s.cfg.upstream {
		err = errors.Join(err, c.Close())
	}
	return err
}
