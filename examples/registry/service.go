package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/examples/internal/keys"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/registry/web/metrics"
	"github.com/iotregistry/sdk/transfer"
)

// service is the registry and what it stands on. It serves nobody yet.
type service struct {
	cfg     *config
	log     *slog.Logger
	closers []func() error

	root    registry.Actor // the registry's operator
	reg     *registry.Registry
	moves   *transfer.Service
	zone    *publish.Zone
	numbers *metrics.Set
	counts  *metrics.Engine
	api     *web.Server
	sims    []*simulation
}

// open makes or opens everything in the data folder.
func open(ctx context.Context, cfg *config, log *slog.Logger) (_ *service, err error) {
	s := &service{cfg: cfg, log: log, root: registry.Actor{Account: cfg.Operator, Role: registry.RoleOperator}, numbers: &metrics.Set{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.makeFolder(); err != nil {
		return nil, err
	}
	if s.counts, err = s.numbers.Registry(); err != nil {
		return nil, err
	}
	if err := s.openZone(ctx); err != nil {
		return nil, err
	}
	if err := s.openRegistry(ctx); err != nil {
		return nil, err
	}
	return s, s.openAPI()
}

func (s *service) close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

// makeFolder makes the data folder, or looks whether others can get into it: the
// database and what is beside it have no better protection.
func (s *service) makeFolder() error {
	if err := os.MkdirAll(s.path("keys"), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(s.cfg.Data)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others can read what is in it: chmod 700 it", s.cfg.Data, info.Mode().Perm())
	}
	return nil
}

func (s *service) path(name string) string { return filepath.Join(s.cfg.Data, name) }

// key opens the key that the configuration names, or makes one in the data
// folder.
func (s *service) key(ctx context.Context, uri, name string) (crypto.Signer, error) {
	if uri == "" {
		uri = s.path(filepath.Join("keys", name+".pem"))
	}
	signer, err := keys.OpenOrCreate(ctx, uri, keys.P256)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	return signer, nil
}

func (s *service) openRegistry(ctx context.Context) error {
	authority, err := s.authority(ctx)
	if err != nil {
		return err
	}
	if err := s.publishAuthority(ctx, authority.Root()); err != nil {
		return err
	}
	trail, err := s.key(ctx, s.cfg.Keys.Audit, "audit")
	if err != nil {
		return err
	}
	if err := s.writePublicKey("audit-key.pem", trail.Public()); err != nil {
		return err
	}
	operators, err := s.operators()
	if err != nil {
		return err
	}
	store, err := s.store(ctx)
	if err != nil {
		return err
	}
	p := s.cfg.Policy
	s.reg, err = registry.New(registry.Config{
		Zone: s.cfg.Zone, Store: store, Authority: authority, Publisher: s.zone, Operators: operators, AuditKey: trail,
		FirstProfileID: p.FirstProfile, Overlap: p.Overlap.std(), CodeTTL: p.CodeTTL.std(), Validity: p.Validity.std(),
		CertTTL: s.cfg.DNS.TTL, EnrollEvery: p.EnrollEvery.std(), Redemption: p.Redemption.std(), PurgeAfter: p.PurgeAfter.std(), AllowUnclaimed: p.AllowUnclaimed,
		Logger: s.log, Trace: s.counts.Trace,
		OnJob: func(j registry.Job) {
			s.counts.OnJob(j)
			s.api.JobChanged(j) // no job is worked on before there is an API
		},
	})
	if err != nil {
		return usageError{err}
	}
	s.moves = transfer.New(s.reg, transfer.Policy{Wait: p.Wait.std(), Undo: undo(p), Lock: p.Lock})
	return nil
}

// undo translates "not at all".
func undo(p policyCfg) time.Duration {
	if p.Undo == 0 {
		return -1
	}
	return p.Undo.std()
}
