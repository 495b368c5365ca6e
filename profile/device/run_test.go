package device_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile/device"
)

// running is a device that runs in a world whose time goes on only when the device
// waits: each wait moves the clock, and is let through by the test.
type running struct {
	*meter
	t      *testing.T
	w      *world
	events chan device.Event
	waits  chan time.Duration // what the device waits for, as it begins
	pass   chan struct{}      // lets one wait end
	ended  chan error
	stop   context.CancelFunc
}

// run starts a device that stays connected as long as it may.
func run(t *testing.T, w *world, d *meter) *running {
	r := &running{meter: d, t: t, w: w, events: make(chan device.Event, 100), waits: make(chan time.Duration, 100), pass: make(chan struct{}), ended: make(chan error, 1)}
	d.Observe = func(e device.Event) { r.events <- e }
	d.Rand = zeros{}
	d.Sleep = func(ctx context.Context, pause time.Duration) error {
		r.waits <- pause
		select {
		case <-r.pass:
			w.Advance(pause)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.ended <- d.Run(ctx, stay) }()
	t.Cleanup(func() {
		stop()
		require.ErrorIs(t, <-r.ended, context.Canceled)
	})
	return r
}

// stay reads until the connection ends.
func stay(_ context.Context, s *device.Session) error {
	_, err := io.Copy(io.Discard, s.Conn)
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// next returns what happens next, which has to be of this kind.
func (r *running) next(kind device.Kind) device.Event {
	r.t.Helper()
	select {
	case e := <-r.events:
		require.Equal(r.t, kind, e.Kind, "%v", e.Err)
		return e
	case <-time.After(20 * time.Second):
		require.Fail(r.t, "nothing happens", "%s awaited", kind)
		panic("not reached")
	}
}

// elapse lets the device's next wait pass.
func (r *running) elapse() time.Duration {
	pause := <-r.waits
	r.pass <- struct{}{}
	return pause
}

// hold keeps a connection until the device ends it.
func hold(conn *tls.Conn) {
	defer conn.Close()
	_, _ = io.Copy(io.Discard, conn)
}

// holding does so and tells of each device that it has let in.
func holding(admitted chan<- struct{}) func(*tls.Conn) {
	return func(conn *tls.Conn) {
		if conn.Handshake() == nil {
			admitted <- struct{}{}
		}
		hold(conn)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.serving(t, "parkoserv.ca", nil, hold)
	d := w.device(t, address)
	r := run(t, w, d)
	require.ErrorIs(t, r.next(device.NoProfile).Err, device.ErrNoProfile)
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	require.Equal(t, uint64(11), r.next(device.Connected).ProfileID)

	// The transfer: another profile, another provider, and nobody touches the device.
	d.DialContext = nil // not looked at before the next round
	other, _ := w.serving(t, "carparkserv.ca", nil, hold)
	d.DialContext = to(other)
	_, err = d.Install(t.Context(), w.order(t, d, 16, "carparkserv.ca"))
	require.NoError(t, err)
	require.Equal(t, uint64(11), r.next(device.Changed).ProfileID)
	require.Equal(t, uint64(16), r.next(device.Connected).ProfileID)
}

func TestRunWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admitted := make(chan struct{}, 10)
	address, _ := w.serving(t, "parkoserv.ca", nil, holding(admitted))
	d := w.device(t, address)
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	r := run(t, w, d)
	r.next(device.Connected)
	<-admitted
	w.Withdraw("11.1000000000000001.iotregistry.ca.")
	require.LessOrEqual(t, r.elapse(), time.Hour, "it is confirmed again when its records run out")
	e := r.next(device.Ended)
	require.ErrorIs(t, e.Err, device.ErrWithdrawn)
	require.ErrorIs(t, e.Err, dane.ErrAbsent)
	r.elapse()
	e = r.next(device.Withdrawn)
	require.Equal(t, 5*time.Minute/2, e.Wait, "it looks again now and then, and is not in a hurry")
	<-r.waits
	_, err = d.Install(t.Context(), w.order(t, d, 12, "parkoserv.ca"))
	require.NoError(t, err)
	require.Equal(t, uint64(12), r.next(device.Connected).ProfileID, "but a new profile counts at once")
}

// A DNS that says nothing is no reason to end a connection, for a while.
func TestRunWithoutDNS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admitted := make(chan struct{}, 10)
	address, _ := w.serving(t, "parkoserv.ca", nil, holding(admitted))
	d := w.device(t, address)
	d.Pace.Grace = 10 * time.Minute
	upstream := &silenced{Exchanger: w}
	d.Verifier.Resolver.Exchanger = upstream
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	r := run(t, w, d)
	r.next(device.Connected)
	<-admitted
	upstream.silent.Store(true)
	for range 20 {
		r.elapse()
		select {
		case e := <-r.events:
			require.Equal(t, device.Ended, e.Kind)
			require.ErrorIs(t, e.Err, device.ErrStale)
			require.NotErrorIs(t, e.Err, dane.ErrAbsent)
			r.elapse()
			for want := time.Second; want < 2*time.Minute; want *= 2 { // and nothing is connected
				e := r.next(device.Unconfirmed)
				require.Equal(t, want, e.Wait)
				r.elapse()
			}
			return
		default:
		}
	}
	require.Fail(t, "the connection outlives its grace")
}

func TestRunUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(t, "parkoserv.ca", nil)
	d := w.device(t, "")
	d.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	r := run(t, w, d)
	for _, want := range []time.Duration{time.Second / 2, time.Second, 2 * time.Second, 4 * time.Second} {
		e := r.next(device.Unreachable)
		require.ErrorIs(t, e.Err, io.ErrClosedPipe)
		require.Equal(t, want, e.Wait)
		r.elapse()
	}
}

// A source that fails is asked again; Run ends with its context, whatever it waits
// for.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("the reader is gone")
	for name, source := range map[string]device.Source{"broken": failing{broken}, "empty": failing{device.ErrNoProfile}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.device(t, "")
			d.Source = source
			r := run(t, w, d)
			r.next(device.NoProfile)
			r.stop()
		})
	}
	var once sync.Once
	w := newWorld(t)
	address, _ := w.serving(t, "parkoserv.ca", nil, hold)
	d := w.device(t, address)
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	err = d.Run(ctx, func(ctx context.Context, s *device.Session) error {
		once.Do(stop)
		_, err := io.Copy(io.Discard, s.Conn)
		require.Error(t, err, "the connection is closed with its context")
		require.Error(t, ctx.Err())
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}

// silenced is a DNS that stops to answer.
type silenced struct {
	dnssec.Exchanger
	silent atomic.Bool
}

func (s *silenced) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if s.silent.Load() {
		return nil, io.ErrNoProgress
	}
	return s.Exchanger.Exchange(ctx, q)
}

type failing struct{ err error }

func (f failing) Load(context.Context) (*device.Credentials, error) { return nil, f.err }

func (f failing) Wait(ctx context.Context, _ *device.Credentials) error {
	<-ctx.Done()
	return ctx.Err()
}

// What is observed can be logged.
func TestEventsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.device(t, "")
	p := w.profile(t, w.authority, 11, "parkoserv.ca")
	sealed, err := w.authority.Seal(d.Card.PublicKey(), p)
	require.NoError(t, err)
	_, err = d.Install(t.Context(), sealed)
	require.NoError(t, err)
	r := run(t, w, d)
	e := r.next(device.Withdrawn)
	require.False(t, bytes.Contains([]byte(e.Err.Error()), p.PrivateKey.Reveal()))
}
