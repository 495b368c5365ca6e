package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

// drainTime is how long calls under way may take when the program is told to end.
const drainTime = 10 * time.Second

// serve runs the SM-DP+ and the eIM until ctx ends.
func (s *service) serve(ctx context.Context, stdout io.Writer) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	servers, err := s.listen(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	failed := make(chan error, len(servers))
	for _, srv := range servers {
		running.Go(func() {
			if err := srv.ServeTLS(srv.ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	err = s.where(servers).print(stdout, s.flags.json)
	if err == nil {
		select {
		case <-ctx.Done():
			s.log.Info("ending: calls under way may finish", "within", drainTime)
		case err = <-failed:
		}
	}
	s.drain(servers)
	running.Wait()
	return err
}

// server is an HTTP server and the listener it is for.
type server struct {
	*http.Server
	ln net.Listener
}

// listen opens the ports: ES2+, ES9+ and, where there is an eIM, ESipa.
func (s *service) listen(ctx context.Context) ([]*server, error) {
	own, err := s.folder.tls(ctx, "server")
	if err != nil {
		return nil, err
	}
	clients, err := pool(cmp.Or(s.flags.clientCA, s.folder.path("tls-ca.pem")))
	if err != nil {
		return nil, fmt.Errorf("ES2+ clients: %w", err)
	}
	operators := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own},
		// Who comes without one is told so by HTTP, not by a broken handshake.
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients,
	}
	devices := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
	ends := []end{
		{"-es2", s.flags.es2, es2.NewHandler(s.orderBook(), &es2.Options{Log: s.log}), operators},
		{"-es9", s.flags.es9, es9.NewHandler(s.server, &es9.Options{Log: s.log}), devices},
	}
	if s.eim != nil {
		if err := own.Leaf.VerifyHostname(hostOf(s.flags.eimFQDN)); err != nil {
			s.log.Warn("devices will not believe that this is the eIM: server.pem needs its name", "error", err)
		}
		ends = append(ends, end{"-esipa", s.flags.esipa, esipa.NewHandler(s.eim, &esipa.Options{Relay: s.relay(), Log: s.log}), devices.Clone()})
	}
	return s.bind(ends)
}

// end is what is served at an address.
type end struct {
	flag, addr string
	handler    http.Handler
	tls        *tls.Config
}

// bind opens all ports or none.
func (s *service) bind(ends []end) ([]*server, error) {
	var servers []*server
	for _, e := range ends {
		ln, err := net.Listen("tcp", e.addr)
		if err != nil {
			for _, srv := range servers {
				err = errors.Join(err, srv.ln.Close())
			}
			return nil, fmt.Errorf("%s: %w", e.flag, err)
		}
		servers = append(servers, s.httpServer(ln, e.handler, e.tls))
	}
	return servers, nil
}

func (s *service) httpServer(ln net.Listener, h http.Handler, cfg *tls.Config) *server {
	return &server{ln: ln, Server: &http.Server{
		Handler: h, TLSConfig: cfg, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // handshakes of strangers
	}}
}

// drain lets calls under way finish for a while. Who is cut off may repeat its
// call.
func (s *service) drain(servers []*server) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var all sync.WaitGroup
	for _, srv := range servers {
		all.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				s.log.Warn("calls under way were cut off", "err", err)
				_ = srv.Close()
			}
		})
	}
	all.Wait()
}

// where says where everything is: the line that a start prints.
type where struct {
	FQDN   string        `json:"fqdn"`
	ES2    string        `json:"es2"`
	ES9    string        `json:"es9"`
	EIM    string        `json:"eim,omitempty"` // its name, and where it is; empty for none
	ESipa  string        `json:"esipa,omitempty"`
	Certs  string        `json:"certs"`
	Made   bool          `json:"made_certs,omitempty"`
	Orders []provisioned `json:"orders,omitempty"`
}

func (s *service) where(servers []*server) *where {
	at := func(n int) string { return "https://" + servers[n].ln.Addr().String() }
	w := &where{
		FQDN: s.flags.fqdn, ES2: at(0), ES9: at(1), Certs: s.flags.certs, Made: s.made, Orders: s.orders,
	}
	if s.eim != nil {
		w.EIM, w.ESipa = s.flags.eimFQDN, at(2)
	}
	return w
}

func (w *where) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(w)
	}
	text := fmt.Sprintf("SM-DP+ %s: ES2+ %s, ES9+ %s; ", w.FQDN, w.ES2, w.ES9)
	if w.EIM != "" {
		text += fmt.Sprintf("eIM %s: ESipa %s; ", w.EIM, w.ESipa)
	}
	text += "certificates in " + w.Certs
	if w.Made {
		text += ", a private PKI made now"
	}
	for _, o := range w.Orders {
		text += fmt.Sprintf("\norder %s: %s", o.ICCID, o.Code)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
