package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/registry/web"
)

// server is an HTTP server and the listener it is for.
type server struct {
	*http.Server
	ln     net.Listener
	tls    bool
	cancel context.CancelFunc // ends what its handlers wait for
}

func (s *server) run() (err error) {
	if s.tls {
		err = s.ServeTLS(s.ln, "", "")
	} else {
		err = s.Serve(s.ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// listen opens all ports, so that none is missed later, and starts the zone's
// server.
func (s *service) listen(ctx context.Context) (*where, []*server, error) {
	front, fingerprint, err := s.listenAPI(ctx)
	if err != nil {
		return nil, nil, err
	}
	zone, err := publish.Listen(s.cfg.DNS.Listen, s.zone)
	if err != nil {
		return nil, nil, fmt.Errorf("dns.listen %s: %w", s.cfg.DNS.Listen, err)
	}
	s.closers = append(s.closers, zone.Close)
	at := &where{
		Zone: s.cfg.Zone, API: "https://" + front.ln.Addr().String(), DNS: zone.Addr(), Data: s.cfg.Data, CA: s.caFile(), CASHA256: fingerprint,
		TokenFile: s.tokenFile(), Anchor: s.path("anchor.ds"), AuditKey: s.path("audit-key.pem"),
	}
	servers := []*server{front}
	if s.cfg.Metrics != "" {
		ln, err := s.port("metrics", s.cfg.Metrics)
		if err != nil {
			return nil, nil, err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.numbers.Handler())
		at.Metrics = "http://" + ln.Addr().String() + "/metrics"
		servers = append(servers, s.server(ln, mux))
	}
	return at, servers, nil
}

func (s *service) listenAPI(ctx context.Context) (*server, string, error) {
	ln, err := s.port("listen", s.cfg.Listen)
	if err != nil {
		return nil, "", err
	}
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return nil, "", err
	}
	certs, fingerprint, err := s.serverTLS(ctx, host)
	if err != nil {
		return nil, "", err
	}
	ending, end := context.WithCancel(context.Background())
	front := s.server(ln, streamsUntil(ending, s.api))
	front.RegisterOnShutdown(end)
	front.TLSConfig, front.tls = s.api.TLSConfig(certs), true
	return front, fingerprint, nil
}

// streamsUntil ends event streams with ctx: they would keep a server that is to
// end for as long as their jobs last, and their clients come again by themselves.
func streamsUntil(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/events") {
			next.ServeHTTP(w, r)
			return
		}
		both, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		next.ServeHTTP(w, r.WithContext(both))
	})
}

// port opens a port, which is closed with the service where no server does that.
func (s *service) port(name, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.closers = append(s.closers, func() error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return ln, nil
}

func (s *service) server(ln net.Listener, h http.Handler) *server {
	base, cancel := context.WithCancel(context.Background())
	return &server{ln: ln, cancel: cancel, Server: &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: web.DefaultTimeout + 15*time.Second,
		WriteTimeout: web.DefaultTimeout + 30*time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // handshakes of strangers
		BaseContext: func(net.Listener) context.Context { return base },
	}}
}
