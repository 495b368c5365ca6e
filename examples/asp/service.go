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
		s.sessions.OnAdmit = s.confirmer.Add
	}
	return s, nil
}

func (s *service) now() time.Time {
	if s.cfg.now != nil {
		return s.cfg.now()
	}
	return time.Now()
}

// listen opens all ports, so that none is missed later.
func (s *service) listen() (at *where, serving []func() error, err error) {
	at = &where{Host: s.cfg.host, Zones: s.cfg.zoneList, Data: s.cfg.data}
	cfg := s.verifier.ServerConfig(&tls.Config{GetCertificate: s.identity.certificate}, s.cfg.zoneList...)
	limitTo := s.cfg.max + s.cfg.max/10 + 16 // some are shaking hands
	var ports []net.Listener
	defer func() {
		if err != nil {
			for _, ln := range ports {
				ln.Close()
			}
		}
	}()
	port := func(name, addr string) (net.Listener, error) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		ports = append(ports, ln)
		return ln, nil
	}
	if s.cfg.https != "" {
		ln, err := port("-https", s.cfg.https)
		if err != nil {
			return nil, nil, err
		}
		s.front = newFront(ln, cfg, limitTo, s)
		at.HTTPS = ln.Addr().String()
		serving = append(serving, s.front.run)
	}
	if s.cfg.status != "" {
		ln, err := port("-status", s.cfg.status)
		if err != nil {
			return nil, nil, err
		}
		s.status = &http.Server{Handler: s.statusHandler(), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10}
		at.Status = "http://" + ln.Addr().String() + "/"
		serving = append(serving, func() error { return s.status.Serve(ln) })
	}
	if s.cfg.mqtt != "" { // last, because the library begins to serve at once
		ln, err := port("-mqtt", s.cfg.mqtt)
		if err != nil {
			return nil, nil, err
		}
		at.MQTT = ln.Addr().String()
		if err := s.records(at); err != nil {
			return nil, nil, err
		}
		s.broker, err = newBroker(ln, cfg, limitTo, s)
		return at, serving, err
	}
	return at, serving, s.records(at)
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
