package aspd

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
)

const (
	// beat is how often sessions are gone through. TTLs are whole seconds.
	beat = time.Second
	// minAnswer is how long an answer counts at least: a TTL of zero must not make
	// a look-up each beat of each device.
	minAnswer = 5 * time.Second
	// The first try after a look-up without an answer, doubled up to the longest.
	minRetry, maxRetry = 2 * time.Second, time.Minute
)

// Run looks devices up when they are due, until ctx ends.
func (s *Sessions) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		s.round(ctx, &running)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Check looks up all devices that are due now, and returns when their sessions are
// judged.
func (s *Sessions) Check(ctx context.Context) {
	var running sync.WaitGroup
	s.round(ctx, &running)
	running.Wait()
}

// round starts the look-ups that are due, and drops what has outstayed its grace
// without waiting for one: when the DNS is down, look-ups may queue for longer
// than any device may stay.
func (s *Sessions) round(ctx context.Context, running *sync.WaitGroup) {
	s.once.Do(func() { s.slots = make(chan struct{}, or(s.Concurrent, DefaultConcurrent)) })
	late, due := s.gather(s.now())
	for _, x := range late {
		s.drop(x, Unknown)
	}
	for _, x := range due {
		running.Go(func() {
			select {
			case s.slots <- struct{}{}:
				s.check(ctx, x)
				<-s.slots
			case <-x.done:
			case <-ctx.Done():
			}
		})
	}
}

func (s *Sessions) gather(now time.Time) (late, due []*Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.all {
		switch {
		case !now.Before(s.lastMoment(x)):
			late = append(late, x)
		case !x.checking && !now.Before(x.due):
			x.checking = true
			due = append(due, x)
		}
	}
	return late, due
}

// lastMoment is when a session ends in any case, unless there is an answer.
func (s *Sessions) lastMoment(x *Session) time.Time {
	return x.until.Add(s.Grace + or(s.Patience, DefaultPatience))
}

// check looks one device up.
func (s *Sessions) check(ctx context.Context, x *Session) {
	select {
	case <-x.done:
		return
	default:
	}
	wait, cancel := context.WithTimeout(ctx, or(s.Patience, DefaultPatience))
	defer cancel()
	match, err := s.Verify(wait, x.Device.Name, x.Device.Chain)
	if err != nil && ctx.Err() != nil {
		return // the program ends; that says nothing about the device
	}
	if why := s.judge(x, match, err); why != "" {
		s.drop(x, why)
	}
}

// judge enters the outcome of a look-up and returns why the session must end;
// empty if it may stay.
func (s *Sessions) judge(x *Session, match *dane.Match, err error) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.checking = false
	now := s.now()
	switch {
	case err == nil:
		x.verdict, x.failures = Verified, 0
		x.until = s.counts(x, match, now)
		x.due = x.until
		return ""
	case errors.Is(err, dane.ErrAbsent):
		return Withdrawn
	case disproved(err):
		return Refused
	}
	deadline := x.until.Add(s.Grace)
	if !now.Before(deadline) {
		return Unknown
	}
	x.verdict = Unverified
	x.due = now.Add(min(minRetry<<min(x.failures, 10), maxRetry))
	if x.due.After(deadline) {
		x.due = deadline
	}
	level := slog.LevelWarn
	if x.failures > 0 { // once is enough
		level = slog.LevelDebug
	}
	x.failures++
	s.log().Log(context.Background(), level, "device could not be looked up; it stays for now", "device", x.Device.ID, "until", deadline, "err", err)
	return ""
}

// counts returns how long an answer may be relied on.
func (s *Sessions) counts(x *Session, match *dane.Match, now time.Time) time.Time {
	until := now.Add(or(s.Recheck, DefaultRecheck))
	if match != nil && !match.Expires.IsZero() && match.Expires.Before(until) {
		until = match.Expires
	}
	if chain := x.Device.Chain; len(chain) > 0 && chain[0].NotAfter.After(now) && chain[0].NotAfter.Before(until) {
		until = chain[0].NotAfter
	}
	if floor := now.Add(minAnswer); until.Before(floor) {
		until = floor
	}
	return until
}

// disproved reports whether an error is knowledge: validated records that do not
// vouch for this certificate, or a certificate that is over. Bogus, insecure and
// missing answers are none.
func disproved(err error) bool {
	return errors.Is(err, dane.ErrNoMatch) || errors.Is(err, dane.ErrUnusable) ||
		errors.Is(err, dane.ErrExpired) || errors.Is(err, dane.ErrWrongName)
}
