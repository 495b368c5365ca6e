package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/eim/eimsql"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdpsql"
)

// service is the SM-DP+ and the eIM. It serves nobody yet.
type service struct {
	flags  *flags
	log    *slog.Logger
	folder folder
	made   bool // the private PKI, by this start

	orderStore *smdpsql.Store
	eimStore   *eimsql.Store // nil without an eIM
	engine     *smdp.Engine
	server     *smdp.Server
	eim        *eim.EIM      // nil for none
	orders     []provisioned // of -orders
	close      func() error  // the stores; not nil
}

// open reads the certificates, or makes them, and the orders.
func (f *flags) open(ctx context.Context, log *slog.Logger) (_ *service, err error) {
	s := &service{flags: f, log: log, folder: folder(f.certs), close: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if _, err := (es9.ActivationCode{Address: f.fqdn}).Text(); err != nil {
		return nil, usagef("-fqdn: %w", err)
	}
	if _, err := (es9.ActivationCode{Address: f.eimFQDN}).Text(); err != nil && f.esipa != "" {
		return nil, usagef("-eim-fqdn: %w", err)
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return nil, err
	}
	if s.made, err = ensurePKI(f.certs, f.hosts(), time.Now()); err != nil {
		return nil, err
	}
	for _, open := range []func(context.Context) error{s.openStores, s.openEIM, s.openEngine, s.openServer} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	if f.orders == "" {
		return s, nil
	}
	list, err := readOrders(f.orders)
	if err != nil {
		return nil, usageError{err}
	}
	s.orders, err = provision(ctx, s.engine, f.fqdn, list)
	return s, err
}

func (s *service) openEngine(ctx context.Context) error {
	notify, err := s.news(ctx)
	if err != nil {
		return err
	}
	cfg := smdp.Config{Address: s.flags.fqdn, Store: s.orderStore, Notify: notify, NotifyDownloads: true}
	if s.eim != nil {
		cfg.Released = s.trigger
	}
	s.engine, err = smdp.New(cfg)
	return err
}

func (s *service) openServer(ctx context.Context) error {
	cis, err := s.folder.cis(s.flags.testCI)
	if err != nil {
		return err
	}
	if s.flags.testCI && refuseTestCI(cis) != nil {
		s.log.Warn("the public test CI is trusted: anybody can make eUICCs that are served")
	}
	auth, err := s.folder.credential(ctx, "dpauth")
	if err != nil {
		return err
	}
	binding, err := s.folder.credential(ctx, "dppb")
	if err != nil {
		return err
	}
	s.server, err = smdp.NewServer(s.engine, smdp.ServerConfig{Auth: auth, Binding: binding, CIs: cis, Log: s.log})
	return err
}

// cis reads the CIs, of which the test CI is none unless it is allowed.
func (d folder) cis(testCI bool) ([][]byte, error) {
	cis, err := d.chain("ci")
	if err != nil || testCI {
		return cis, err
	}
	return cis, refuseTestCI(cis)
}

// news makes what takes news of orders: it logs them, and tells the registry.
func (s *service) news(ctx context.Context) (func(context.Context, string, mno.Progress) error, error) {
	registry, err := s.registry(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, requester string, p mno.Progress) error {
		attrs := []any{"iccid", p.ICCID, "device", p.Device.String(), "point", int(p.Point), "requester", requester}
		if p.Failure != nil {
			attrs = append(attrs, "failure", p.Failure.Error())
		}
		s.log.InfoContext(ctx, "news of an order", attrs...)
		if p.Point == mno.PointInstall && p.Failure == nil {
			if err := s.arrived(ctx, p.ICCID); err != nil {
				return err
			}
		}
		if registry == nil || requester == ordersRequester {
			return nil
		}
		err := registry.HandleDownloadProgressInfo(ctx, p)
		if err != nil {
			s.log.WarnContext(ctx, "the registry did not take the news", "iccid", p.ICCID, "error", err)
		}
		return err
	}, nil
}

// registry is the client of -progress, nil for none.
func (s *service) registry(ctx context.Context) (*es2.Client, error) {
	if s.flags.progress == "" {
		return nil, nil
	}
	own, err := s.folder.tls(ctx, "progress-client")
	if err != nil {
		return nil, fmt.Errorf("-progress: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
	if s.flags.progressCA != "" {
		if cfg.RootCAs, err = pool(s.flags.progressCA); err != nil {
			return nil, fmt.Errorf("-progress-ca: %w", err)
		}
	}
	return &es2.Client{BaseURL: s.flags.progress, Requester: s.flags.fqdn, HTTP: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second},
	}}, nil
}
