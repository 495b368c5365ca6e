package device_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile/device"
)

// What the script may do to the DNS or to the provider.
const (
	working = iota
	failingAtOnce
	hanging
	states
)

// script is a world that changes by a seed, and what a device in it has to be doing
// by simple rules about how long things have been as they are.
type script struct {
	t     *testing.T
	w     *world
	d     *meter
	start time.Time
	tls   *tls.Config

	mu        sync.Mutex
	dns, asp  int // states
	dnsSince  time.Time
	good      time.Time // since when a connection is possible; zero: it is not
	withdrawn time.Time // since when the profile in use is; zero: it is not
	current   uint64
	active    uint64 // of the connection; 0: there is none
	conns     []net.Conn
	wrong     []string
}

// Exchange is the DNS of the device.
func (s *script) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	s.mu.Lock()
	state := s.dns
	s.mu.Unlock()
	switch state {
	case failingAtOnce:
		return nil, io.ErrNoProgress
	case hanging:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.w.Exchange(ctx, q)
}

// dial is the way to the provider.
func (s *script) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asp == failingAtOnce {
		return nil, io.ErrClosedPipe
	}
	own, other := net.Pipe()
	s.conns = append(s.conns, other)
	if s.asp == working {
		go hold(tls.Server(other, s.tls))
	}
	return own, nil
}

func (s *script) serve(_ context.Context, session *device.Session) error {
	s.mu.Lock()
	s.active = session.Identity.Credentials.ProfileID
	s.mu.Unlock()
	_, err := io.Copy(io.Discard, session.Conn)
	s.mu.Lock()
	s.active = 0
	s.mu.Unlock()
	return err
}

// observe holds what the device says against what is so.
func (s *script) observe(e device.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Kind == device.Withdrawn || errors.Is(e.Err, device.ErrWithdrawn):
		if s.withdrawn.IsZero() {
			s.wrong = append(s.wrong, fmt.Sprintf("%s of profile %d, which was not", e.Kind, e.ProfileID))
		}
	case errors.Is(e.Err, device.ErrStale):
		if s.dns == working && time.Since(s.dnsSince) > time.Second || time.Since(s.dnsSince) < 5*time.Minute {
			s.wrong = append(s.wrong, "stale although the DNS has not been away for long")
		}
	}
}

func (s *script) step(r *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := r.IntN(10); {
	case n < 2:
		if was := s.dns; true {
			s.dns = r.IntN(states)
			if (was == working) != (s.dns == working) {
				s.dnsSince = time.Now()
			}
		}
	case n < 4:
		s.asp = r.IntN(states)
	case n < 5:
		for _, c := range s.conns {
			c.Close()
		}
		s.conns = nil
	case n < 6 && s.current > 0 && s.withdrawn.IsZero():
		s.w.Withdraw(fmt.Sprintf("%d.%s.%s.", s.current, id, zone))
		s.withdrawn = time.Now()
	case n < 8:
		if n == 6 { // a profile arrives by the DNS only, and so not while that is away
			s.dns, s.dnsSince = working, time.Now()
		}
		s.install()
	}
	if possible := s.dns == working && s.asp == working && s.current > 0 && s.withdrawn.IsZero(); !possible {
		s.good = time.Time{}
	} else if s.good.IsZero() {
		s.good = time.Now()
	}
}

// install gives the card its next profile. Its signer is known already.
func (s *script) install() {
	sealed := s.w.order(s.t, s.d, s.current+1, "parkoserv.ca")
	_, err := s.d.Card.Install(sealed, func([]*x509.Certificate) error { return nil })
	require.NoError(s.t, err)
	s.current++
	s.withdrawn, s.good = time.Time{}, time.Time{}
}

// The longest that things may take: records live for 5 minutes, a pause is 2
// minutes at most, and an attempt half a minute; the rest is for goodbyes.
const (
	modelTTL, modelMax, modelGrace        = 5 * time.Minute, 2 * time.Minute, 10 * time.Minute
	modelAttempt, modelRecheck, modelRest = 30 * time.Second, time.Minute, 15 * time.Second
)

func (s *script) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := func(t time.Time, limit time.Duration) bool { return !t.IsZero() && time.Since(t) > limit+modelRest }
	require.Empty(s.t, s.wrong)
	require.Contains(s.t, []uint64{0, s.current}, s.active, "a connection of a profile that is not in use any more")
	if since(s.good, modelMax+2*modelAttempt) {
		require.Equal(s.t, s.current, s.active, "nothing is in the way of a connection since %v", time.Since(s.good))
	}
	if s.dns == working && since(s.dnsSince, modelTTL+modelRecheck+modelAttempt) && since(s.withdrawn, modelTTL+modelRecheck+modelAttempt) {
		require.Zero(s.t, s.active, "a withdrawn profile's connection")
	}
	if s.dns != working && since(s.dnsSince, modelTTL+modelGrace+2*modelAttempt) {
		require.Zero(s.t, s.active, "a connection that is not confirmed any more")
	}
}

func newScript(t *testing.T) *script {
	s := &script{t: t, w: newWorld(t), start: time.Now(), dnsSince: time.Now()}
	s.d = s.w.device(t, "")
	began := s.w.Now()
	now := func() time.Time { return began.Add(time.Since(s.start)) }
	s.d.Verifier = &dane.Verifier{
		Resolver: &dnssec.Resolver{Exchanger: s, Anchors: s.w.anchors, Now: now}, Now: now, Naming: dane.Deck2020,
	}
	provider := s.w.verifier()
	provider.Now, provider.Resolver.Now = now, now
	key := newKey(t)
	der := selfSigned(t, s.w, "parkoserv.ca", key)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	rr, err := dane.NewTLSA("_443._tcp.parkoserv.ca.", 300, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, cert)
	require.NoError(t, err)
	s.w.AddRR(rr)
	s.tls = provider.ServerConfig(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, zone)
	s.d.DialContext, s.d.Observe = s.dial, s.observe
	s.d.Pace = device.Pace{Max: modelMax, Grace: modelGrace, Attempt: modelAttempt, Recheck: modelRecheck}
	return s
}

// Whatever happens, a device is connected by the profile in use if it can be, and
// not if it must not be.
func TestRunModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.d.Run(ctx, s.serve) }()
				r := rand.New(rand.NewPCG(seed, 1))
				for range 60 {
					s.step(r)
					for left := 1 + r.IntN(8); left > 0; left-- {
						time.Sleep(20*time.Second + time.Duration(r.IntN(int(2*time.Minute))))
						synctest.Wait()
						s.check()
					}
				}
				stop()
				require.ErrorIs(t, <-done, context.Canceled)
				for _, c := range s.conns {
					c.Close()
				}
			})
		})
	}
}
