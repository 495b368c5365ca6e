package device

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
)

// Pace says how fast Run does things. Zero values stand for the defaults.
type Pace struct {
	Min time.Duration // before the second attempt to connect, doubled each time; default a second
	Max time.Duration // the longest wait, also between looks at a withdrawn profile; default 5 minutes

	// Grace is how long a connection may outlive its confirmation by the DNS where
	// the DNS gives no answer; a proof that the profile was withdrawn ends it at
	// once. Default an hour.
	Grace time.Duration

	// Recheck bounds how often the DNS is asked while connected, however short the
	// records live; default a minute.
	Recheck time.Duration
}

func (p *Pace) complete() Pace {
	c := *p
	for _, d := range []struct {
		value   *time.Duration
		initial time.Duration
	}{{&c.Min, time.Second}, {&c.Max, 5 * time.Minute}, {&c.Grace, time.Hour}, {&c.Recheck, time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.initial
		}
	}
	return c
}

// Kind says what has happened to a device.
type Kind string

// What happens to a device.
const (
	NoProfile   Kind = "no profile"  // the card has none yet, or none that can be read
	Unconfirmed Kind = "unconfirmed" // the DNS gives no answer, or contradicts the profile
	Withdrawn   Kind = "withdrawn"   // the DNS proves that the profile is not in force any more
	Unreachable Kind = "unreachable" // the provider is not there, or is not the provider
	Connected   Kind = "connected"
	Ended       Kind = "ended"   // the connection; Err is why
	Changed     Kind = "changed" // another profile is in use
)

// Event is what Observe hears. It holds no secrets.
type Event struct {
	Kind      Kind
	ProfileID uint64 // 0: of no profile
	Err       error
	Wait      time.Duration // until the next attempt
}

// Why a session's context ends, besides the end of Run's own: see context.Cause.
var (
	ErrChanged   = errors.New("device: another profile is in use")
	ErrWithdrawn = errors.New("device: the profile was withdrawn")
	ErrStale     = errors.New("device: the DNS could not confirm the profile again in time")
)

// Session is one connection to the provider.
type Session struct {
	Conn     *tls.Conn // closed when the session's context ends
	Identity *Identity
}

// Run keeps the device connected to the provider that its profile names until ctx
// ends, whose error it returns: it verifies the profile in use, connects, and
// gives the connection to serve, whose context ends when the connection has to:
// because another profile is in use, because the DNS proves that this one was
// withdrawn, or because it could not be confirmed again for too long. Then, or
// when serve returns, it begins again, at a pace that spares a provider with many
// devices. Where nothing is known, nothing is connected.
func (d *Device) Run(ctx context.Context, serve func(ctx context.Context, s *Session) error) error {
	r := runner{Device: d, pace: d.Pace.complete(), serve: serve}
	r.wait = r.pace.Min
	for ctx.Err() == nil {
		r.round(ctx)
	}
	return context.Cause(ctx)
}

// runner is the state of one Run.
type runner struct {
	*Device
	pace  Pace
	wait  time.Duration // before the next attempt
	serve func(context.Context, *Session) error
}

// round is everything from a look at the card to the end of a connection, and the
// wait after it.
func (r *runner) round(ctx context.Context) {
	c, err := r.Source.Load(ctx)
	if errors.Is(err, ErrNoProfile) {
		r.observe(Event{Kind: NoProfile, Err: err})
		_ = r.Source.Wait(ctx, nil)
		return
	}
	if err != nil {
		r.pause(ctx, nil, Event{Kind: NoProfile, Err: err})
		return
	}
	id, err := r.confirm(ctx, c)
	switch {
	case errors.Is(err, dane.ErrAbsent):
		r.wait = r.pace.Max
		r.pause(ctx, c, Event{Kind: Withdrawn, ProfileID: c.ProfileID, Err: err})
		return
	case err != nil:
		r.pause(ctx, c, Event{Kind: Unconfirmed, ProfileID: c.ProfileID, Err: err})
		return
	}
	conn, err := r.connect(ctx, c)
	if err != nil {
		r.pause(ctx, c, Event{Kind: Unreachable, ProfileID: c.ProfileID, Err: err})
		return
	}
	r.observe(Event{Kind: Connected, ProfileID: c.ProfileID})
	begin := r.now()
	err = r.session(ctx, &Session{conn, id})
	if errors.Is(err, ErrChanged) {
		r.wait = r.pace.Min
		r.observe(Event{Kind: Changed, ProfileID: c.ProfileID})
		return
	}
	if r.now().Sub(begin) > r.wait { // it was of use
		r.wait = r.pace.Min
	}
	r.pause(ctx, c, Event{Kind: Ended, ProfileID: c.ProfileID, Err: err})
}

// pause tells what happened and waits, the longer the more often in a row, but not
// longer than until another profile is in use.
func (r *runner) pause(ctx context.Context, c *Credentials, e Event) {
	if ctx.Err() != nil {
		return
	}
	e.Wait = r.jitter(r.wait)
	r.wait = min(2*r.wait, r.pace.Max)
	r.observe(e)
	r.either(ctx,
		func(ctx context.Context) { _ = r.sleep(ctx, e.Wait) },
		func(ctx context.Context) {
			if c == nil || r.Source.Wait(ctx, c) != nil {
				<-ctx.Done() // nothing to tell: the other one decides
			} else {
				r.wait = r.pace.Min
			}
		})
}

// either runs both until one returns.
func (r *runner) either(ctx context.Context, a, b func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, f := range []func(context.Context){a, b} {
		wg.Go(func() { defer cancel(); f(ctx) })
	}
	wg.Wait()
}

// session serves one connection and says why it ended.
func (r *runner) session(ctx context.Context, s *Session) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer s.Conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Conn.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		if r.Source.Wait(ctx, s.Identity.Credentials) == nil {
			cancel(ErrChanged)
		}
	})
	wg.Go(func() { cancel(r.watch(ctx, s.Identity)) })
	err := r.serve(ctx, s)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(err)
	wg.Wait()
	return err
}

// watch confirms the profile again and again, and returns why that must end the
// connection, or the error of ctx.
func (r *runner) watch(ctx context.Context, id *Identity) error {
	good := id.Expires()
	for {
		pause := max(good.Sub(r.now()), r.pace.Recheck)
		if err := r.sleep(ctx, pause); err != nil {
			return err
		}
		again, err := r.confirm(ctx, id.Credentials)
		switch {
		case err == nil:
			good = again.Expires()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, dane.ErrAbsent):
			return fmt.Errorf("%w: %w", ErrWithdrawn, err)
		case r.now().Sub(good) > r.pace.Grace:
			return fmt.Errorf("%w: %w", ErrStale, err)
		}
	}
}

func (d *Device) observe(e Event) {
	if d.Observe != nil {
		d.Observe(e)
	}
}

func (d *Device) now() time.Time {
	if d.Verifier.Now != nil {
		return d.Verifier.Now()
	}
	return time.Now()
}

func (d *Device) sleep(ctx context.Context, w time.Duration) error {
	if d.Sleep != nil {
		return d.Sleep(ctx, w)
	}
	t := time.NewTimer(w)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter returns half of w up to w, so that devices that lost one provider do not
// come back in step.
func (d *Device) jitter(w time.Duration) time.Duration {
	source := d.Rand
	if source == nil {
		source = rand.Reader
	}
	var b [8]byte
	if _, err := io.ReadFull(source, b[:]); err != nil {
		return w
	}
	half := uint64(w) / 2
	return time.Duration(half + binary.BigEndian.Uint64(b[:])%(half+1))
}
