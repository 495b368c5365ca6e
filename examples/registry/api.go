package main

import (
	"net"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/registry/web/limit"
	"github.com/iotregistry/sdk/registry/web/rdap"
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
