package device

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
)

// Pace says how fast Run does things. Zero values stand for the defaults.
type Pace struct {
	Min time.Duration // before the second attempt to connect, doubled each time; default a second
	Max time.Duration // the longest wait, also between looks at a withdrawn profile; default 5 minutes

	// Attempt is how long one attempt may take, from the first question to the DNS
	// to the end of the handshake; and one later confirmation by the DNS. Default a
	// minute.
	Attempt time.Duration

	// Grace is how long a connection may outlive its confirmation by the DNS where
	// the DNS gives no answer; one that proves that the profile is not in force ends
	// it at once. Default an hour.
	Grace time.Duration

	// Recheck bounds how often the DNS is asked while connected, however short the
	// records live; default a minute, and never more than Grace.
	Recheck time.Duration
}

func (p *Pace) complete() Pace {
	c := *p
	for _, d := range []struct {
		value   *time.Duration
		initial time.Duration
	}{
		{&c.Min, time.Second}, {&c.Max, 5 * time.Minute}, {&c.Attempt, time.Minute},
		{&c.Grace, time.Hour}, {&c.Recheck, time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.initial
		}
	}
	c.Max = min(c.Max, math.MaxInt64/2) // so that it can be doubled
	c.Min = min(c.Min, c.Max)
	c.Recheck = min(c.Recheck, c.Grace)
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
	ErrWithdrawn = errors.New("device: the profile was withdrawn") // or another certificate published in its place
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
// devices. Where nothing is known, nothing is connected. Serve has to return soon
// after its context ends, when its connection is closed: Run waits for it.
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
	empty bool          // the card had no profile when it was last looked at
	serve func(context.Context, *Session) error
}

// round is everything from a look at the card to the end of a connection, and the
// wait after it.
func (r *runner) round(ctx context.Context) {
	c, err := r.Source.Load(ctx)
	if errors.Is(err, ErrNoProfile) {
		r.await(ctx, err)
		return
	}
	r.empty = false
	if err != nil {
		r.pause(ctx, nil, Event{Kind: NoProfile, Err: err})
		return
	}
	mine, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if r.other(mine, c) == nil {
			cancel(ErrChanged)
		}
	})
	e := r.attempt(mine, c)
	e.ProfileID = c.ProfileID
	changed := errors.Is(context.Cause(mine), ErrChanged)
	cancel(nil)
	wg.Wait()
	if changed {
		r.wait = r.pace.Min
		r.observe(Event{Kind: Changed, ProfileID: c.ProfileID})
		return
	}
	r.pause(ctx, c, e)
}

// await waits for a first profile, and for a while before it asks a source again
// that had promised one.
func (r *runner) await(ctx context.Context, why error) {
	if r.empty {
		_ = r.sleep(ctx, r.backoff())
	} else {
		r.observe(Event{Kind: NoProfile, Err: why})
	}
	r.empty = true
	_ = r.Source.Wait(ctx, nil)
}

// attempt connects with one profile and stays so as long as it may. It returns what
// has ended it.
func (r *runner) attempt(ctx context.Context, c *Credentials) Event {
	limited, cancel := context.WithTimeout(ctx, r.pace.Attempt)
	defer cancel()
	id, err := r.confirm(limited, c)
	switch {
	case errors.Is(err, dane.ErrAbsent):
		r.wait = r.pace.Max
		return Event{Kind: Withdrawn, Err: err}
	case err != nil:
		return Event{Kind: Unconfirmed, Err: err}
	}
	conn, err := r.connect(limited, c)
	if err != nil {
		return Event{Kind: Unreachable, Err: err}
	}
	cancel()
	r.observe(Event{Kind: Connected, ProfileID: c.ProfileID})
	begin := r.now()
	err = r.session(ctx, &Session{conn, id})
	r.wait = max(r.wait-max(r.now().Sub(begin), 0), r.pace.Min) // it was of use, the longer the more
	return Event{Kind: Ended, Err: err}
}

// other returns nil once another profile than c is in use, or the error of ctx. A
// source that speaks without need is asked again, after a while.
func (r *runner) other(ctx context.Context, c *Credentials) error {
	for ctx.Err() == nil {
		if r.Source.Wait(ctx, c) == nil {
			now, err := r.Source.Load(ctx)
			if err == nil && !now.same(c) || err != nil && c != nil && ctx.Err() == nil {
				return nil
			}
		}
		if ctx.Err() == nil {
			_ = r.sleep(ctx, r.pace.Min)
		}
	}
	return context.Cause(ctx)
}

// backoff returns the next wait, the longer the more often in a row.
func (r *runner) backoff() time.Duration {
	w := r.jitter(r.wait)
	r.wait = min(2*r.wait, r.pace.Max)
	return w
}

// pause tells what happened and waits, but not longer than until another profile
// is in use.
func (r *runner) pause(ctx context.Context, c *Credentials, e Event) {
	if ctx.Err() != nil {
		return
	}
	e.Wait = r.backoff()
	r.observe(e)
	r.either(ctx,
		func(ctx context.Context) { _ = r.sleep(ctx, e.Wait) },
		func(ctx context.Context) {
			if r.other(ctx, c) == nil {
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
// connection, or the error of ctx. It goes by the clock and by the time that it has
// waited, whichever is later, so that a clock that is set back prolongs nothing.
func (r *runner) watch(ctx context.Context, id *Identity) error {
	good := id.Expires()
	left := id.left(r.now())
	pause := max(left, r.pace.Recheck)
	for {
		if err := r.sleep(ctx, pause); err != nil {
			return err
		}
		again, err := r.reconfirm(ctx, id.Credentials)
		left = min(left-pause, good.Sub(r.now()))
		switch {
		case err == nil:
			good, left = again.Expires(), again.left(r.now())
			pause = max(left, r.pace.Recheck)
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case contradicted(err):
			return fmt.Errorf("%w: %w", ErrWithdrawn, err)
		case left+r.pace.Grace <= 0:
			return fmt.Errorf("%w: %w", ErrStale, err)
		}
		pause = min(r.pace.Recheck, left+r.pace.Grace)
	}
}

func (r *runner) reconfirm(ctx context.Context, c *Credentials) (*Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, r.pace.Attempt)
	defer cancel()
	return r.confirm(ctx, c)
}

// left is how long the confirmation holds, however wrong the clock: the resolver
// may have another idea of the time.
func (i *Identity) left(now time.Time) time.Duration {
	left := i.Expires().Sub(now)
	for _, m := range []*dane.Match{i.Device, i.Registry} {
		for _, rr := range m.Answer.RRs {
			left = min(left, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	return left
}

// contradicted reports whether the DNS has answered, and securely, that it is
// otherwise: unlike no answer, that does not pass.
func contradicted(err error) bool {
	for _, proof := range []error{dane.ErrAbsent, dane.ErrNoMatch, dane.ErrUnusable, dane.ErrExpired, dane.ErrWrongName} {
		if errors.Is(err, proof) {
			return true
		}
	}
	return false
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
