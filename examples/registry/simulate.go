package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// simulation is an operator in this process whose devices fetch and install what
// was ordered soon after. It forgets its orders when the process ends.
type simulation struct {
	mno.Operator
	engine *smdp.Engine
	log    *slog.Logger

	mu      sync.Mutex
	waiting []eid.ID // devices with something to fetch
}

// pace is how long the devices of a simulation take.
const pace = 100 * time.Millisecond

func (s *service) simulate(account string) (*simulation, error) {
	actor := registry.Actor{Account: account, Role: registry.RoleMNO}
	engine, err := smdp.New(smdp.Config{
		Address: "smdp." + account + ".example",
		Notify:  func(ctx context.Context, _ string, p mno.Progress) error { return s.reg.Progress(ctx, actor, p) },
	})
	if err != nil {
		return nil, err
	}
	return &simulation{Operator: engine.Operator(s.cfg.Zone), engine: engine, log: s.log}, nil
}

// Order takes the order and lets the device know.
func (s *simulation) Order(ctx context.Context, o mno.Order) (mno.Receipt, error) {
	receipt, err := s.Operator.Order(ctx, o)
	if err == nil {
		s.mu.Lock()
		s.waiting = append(s.waiting, o.Device)
		s.mu.Unlock()
	}
	return receipt, err
}

// run lets the devices fetch until ctx ends.
func (s *simulation) run(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.fetch(ctx)
		}
	}
}

// fetch plays every device that has something to fetch; one whose report the
// registry does not take tries again.
func (s *simulation) fetch(ctx context.Context) {
	s.mu.Lock()
	devices := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, id := range devices {
		if err := s.install(ctx, id); err != nil {
			s.log.Debug("a simulated device tries again", "device", id, "err", err)
			s.mu.Lock()
			s.waiting = append(s.waiting, id)
			s.mu.Unlock()
		}
	}
}

func (s *simulation) install(ctx context.Context, id eid.ID) error {
	p, err := s.engine.Deliver(ctx, id, 0)
	if errors.Is(err, smdp.ErrNotFound) {
		return nil // the order was taken back
	}
	if err != nil {
		return err
	}
	return s.engine.Finish(ctx, id, p.ProfileID, nil)
}
