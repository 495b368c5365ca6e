package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/iotregistry/sdk/registry/web/webhook"
)

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
