package dnssec

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// system asks the resolvers that a resolv.conf names. It reads the file again
// when that has changed: devices move between networks.
type system struct {
	path string

	mu      sync.Mutex
	changed time.Time
	list    Failover
}

func newSystem() *system { return &system{path: "/etc/resolv.conf"} }

// String names the resolvers in use.
func (s *system) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list.String()
}

// Exchange asks the resolvers of now, in order.
func (s *system) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	list, err := s.current()
	if err != nil {
		return nil, fmt.Errorf("dnssec: %w: the system's resolvers are not known: %w; set Resolver.Exchanger", ErrUpstream, err)
	}
	return list.Exchange(ctx, q)
}

func (s *system) current() (Failover, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list != nil && info.ModTime().Equal(s.changed) {
		return s.list, nil
	}
	conf, err := dns.ClientConfigFromFile(s.path)
	if err != nil {
		return nil, err
	}
	s.changed, s.list = info.ModTime(), Failover{} // old connections end by themselves, unused
	for _, server := range conf.Servers {
		s.list = append(s.list, &Client{Addr: server})
	}
	return s.list, nil
}
