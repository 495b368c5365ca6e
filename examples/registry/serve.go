package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/registry/web/limit"
	"github.com/iotregistry/sdk/registry/web/rdap"
	"github.com/iotregistry/sdk/registry/web/webhook"
)

// openAPI makes the HTTP handler of everything that the world calls.
func (s *service) openAPI() error {
	var limiter web.Limiter
	if s.cfg.Rate.PerSecond > 0 {
		limiter = limit.New(s.cfg.Rate.PerSecond, s.cfg.Rate.Burst)
	}
	lookup, err := rdap.New(rdap.Config{
		Engine: s.reg, Actor: s.whoAsks, Public: s.cfg.RDAP.Public, Base: s.cfg.RDAP.Base, Logger: s.log,
		Limit: func(r *http.Request, who registry.Actor) (bool, time.Duration) {
			if limiter == nil {
				return true, 0
			}
			return limiter.Allow(counted(who.Account, r.RemoteAddr))
		},
	})
	if err != nil {
		return usageError{err}
	}
	s.api, err = web.New(web.Config{
		Registry: s.reg, Transfers: s.moves, Logger: s.log, Limiter: limiter, Observe: s.counts.Observe,
		Extra: map[string]http.Handler{"/rdap/": lookup, "POST " + es2.PathHandleDownloadProgressInfo: s.progress()},
	})
	return err
}

// counted names whose calls are counted: an account, or for those who have
// none the address they come from.
func counted(account, remote string) string {
	if account != "" {
		return account
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	return "address " + host
}

// whoAsks is who makes a look-up.
func (s *service) whoAsks(r *http.Request) (registry.Actor, bool) {
	actor, err := s.api.Authenticate(r)
	return actor, err == nil
}

// where says where everything is: the line that a start prints.
type where struct {
	Zone      string `json:"zone"`
	API       string `json:"api"`
	DNS       string `json:"dns"`
	Metrics   string `json:"metrics,omitempty"`
	Data      string `json:"data"`
	CA        string `json:"ca,omitempty"`
	CASHA256  string `json:"ca_sha256,omitempty"`
	TokenFile string `json:"token_file"`
	Anchor    string `json:"anchor"`
	AuditKey  string `json:"audit_key"`
}

func (w *where) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(w)
	}
	text := fmt.Sprintf("registry of %s: API %s, DNS %s (UDP, TCP)", w.Zone, w.API, w.DNS)
	if w.Metrics != "" {
		text += ", metrics " + w.Metrics
	}
	if w.CA != "" {
		text += fmt.Sprintf("; CA %s (SHA-256 %s)", w.CA, w.CASHA256)
	}
	_, err := fmt.Fprintf(out, "%s; token %s\n", text, w.TokenFile)
	return err
}

// serve runs the registry until ctx ends.
func (s *service) serve(ctx context.Context, stdout io.Writer, asJSON bool) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.prepare(ctx); err != nil {
		return interrupted(ctx, err)
	}
	at, servers, err := s.listen(ctx)
	if err != nil {
		return err
	}
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var running sync.WaitGroup
	s.work(work, &running)
	failed := make(chan error, len(servers))
	for _, srv := range servers {
		running.Go(func() { failed <- srv.run() })
	}
	err = at.print(stdout, asJSON)
	if err == nil {
		select {
		case <-ctx.Done():
			s.log.Info("ending: calls under way may finish", "within", s.cfg.Drain.std())
		case err = <-failed:
		}
	}
	s.drain(servers)
	stopWork()
	running.Wait()
	return err
}

// interrupted is nil where the program was told to end before it served.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// prepare makes the registry ready. The zone is whole before anybody can ask it:
// a record that is not there yet would be a proof that the profile was withdrawn.
func (s *service) prepare(ctx context.Context) error {
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	begin := time.Now()
	n, err := s.reg.Republish(ctx, s.root)
	if err != nil {
		return err
	}
	s.log.Info("zone is whole", "profiles", n, "took", time.Since(begin))
	n, err = s.reg.Resume(ctx, s.root)
	if err != nil {
		s.log.Warn("not all that is owed could be done; it is tried again", "err", err)
	}
	s.log.Info("resumed", "finished", n)
	return nil
}

// work starts what goes on in the background until ctx ends.
func (s *service) work(ctx context.Context, running *sync.WaitGroup) {
	for _, sim := range s.sims {
		running.Go(func() { sim.run(ctx) })
	}
	running.Go(func() {
		if err := s.reg.Run(ctx, s.root, s.cfg.Work.std()); err != nil {
			s.log.Error("the registry's work has ended", "err", err)
		}
	})
	if !s.cfg.Webhooks.Enabled {
		return
	}
	n, err := webhook.New(webhook.Config{Engine: s.reg, AllowPrivate: s.cfg.Webhooks.Private, Logger: s.log})
	if err != nil {
		s.log.Error("webhooks are not called", "err", err)
		return
	}
	running.Go(func() { _ = n.Run(ctx) }) // it ends when ctx does
}

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
	api, err := s.port("listen", s.cfg.Listen)
	if err != nil {
		return nil, nil, err
	}
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return nil, nil, err
	}
	certs, fingerprint, err := s.serverTLS(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	zone, err := publish.Listen(s.cfg.DNS.Listen, s.zone)
	if err != nil {
		return nil, nil, fmt.Errorf("dns.listen %s: %w", s.cfg.DNS.Listen, err)
	}
	s.closers = append(s.closers, zone.Close)
	at := &where{
		Zone: s.cfg.Zone, API: "https://" + api.Addr().String(), DNS: zone.Addr(), Data: s.cfg.Data, CA: s.caFile(), CASHA256: fingerprint,
		TokenFile: s.tokenFile(), Anchor: s.path("anchor.ds"), AuditKey: s.path("audit-key.pem"),
	}
	front := s.httpServer(s.api)
	front.TLSConfig = s.api.TLSConfig(certs)
	servers := []*server{{Server: front, ln: api, tls: true}}
	if s.cfg.Metrics != "" {
		ln, err := s.port("metrics", s.cfg.Metrics)
		if err != nil {
			return nil, nil, err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.numbers.Handler())
		at.Metrics = "http://" + ln.Addr().String() + "/metrics"
		servers = append(servers, &server{Server: s.httpServer(mux), ln: ln})
	}
	for _, srv := range servers {
		var base context.Context
		base, srv.cancel = context.WithCancel(context.WithoutCancel(ctx))
		srv.BaseContext = func(net.Listener) context.Context { return base }
	}
	return at, servers, nil
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

func (s *service) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: web.DefaultTimeout + 15*time.Second,
		WriteTimeout: web.DefaultTimeout + 30*time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // handshakes of strangers
	}
}

// drain lets calls under way finish, for as long as the configuration says. What
// is cut off then may be repeated: the registry resumes it.
func (s *service) drain(servers []*server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain.std())
	defer cancel()
	var all sync.WaitGroup
	for _, srv := range servers {
		all.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				s.log.Warn("calls under way were cut off", "err", err)
			}
			srv.cancel()
			_ = srv.Close()
		})
	}
	all.Wait()
}
