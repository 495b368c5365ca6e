package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	rt "github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/iotsafe"
)

// slot is where the card with the IoT SAFE applet is, a rt.Source that lasts
// longer than a card's stay: after the card was taken out, or the modem went away,
// it is opened again.
type slot struct {
	registry string
	every    time.Duration // how often the card is asked whether its profile is another
	options  iotsafe.Options
	open     func(ctx context.Context) (iotsafe.Transport, io.Closer, error)
	pause    func(ctx context.Context, d time.Duration) error
	news     chan struct{} // the card has another profile; nil where nobody says so

	mu     sync.Mutex // also while the card is opened
	applet *rt.Applet
	closer io.Closer
}

// poke has Wait look at the card at once.
func (s *slot) poke() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// get returns the applet, opened if it is not.
func (s *slot) get(ctx context.Context) (*rt.Applet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applet != nil {
		return s.applet, nil
	}
	card, closer, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	client, err := iotsafe.Open(ctx, card, s.options)
	if err != nil {
		return nil, errors.Join(err, closer.Close())
	}
	s.applet, s.closer = rt.FromApplet(client, s.registry), closer
	s.applet.Every = s.every
	return s.applet, nil
}

// drop closes an applet that does not answer any more, so that the next call opens
// it again.
func (s *slot) drop(a *rt.Applet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applet == a {
		_ = s.closer.Close() // it is broken
		s.applet, s.closer = nil, nil
	}
}

// Close gives the channel and the port back.
func (s *slot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applet == nil {
		return nil
	}
	err := errors.Join(s.applet.Client.Close(), s.closer.Close())
	s.applet, s.closer = nil, nil
	return err
}

// lost reports whether an error is about the way to the card, and not about what
// is on it.
func lost(ctx context.Context, err error) bool {
	var refused *iotsafe.StatusError
	return err != nil && ctx.Err() == nil && !errors.Is(err, rt.ErrNoProfile) && !errors.Is(err, iotsafe.ErrUntrusted) &&
		!errors.Is(err, iotsafe.ErrChanged) && !errors.As(err, &refused)
}

// Load implements rt.Source.
func (s *slot) Load(ctx context.Context) (*rt.Credentials, error) {
	a, err := s.get(ctx)
	if err != nil {
		return nil, err
	}
	c, err := a.Load(ctx)
	if lost(ctx, err) {
		s.drop(a)
	}
	return c, err
}

// Wait implements rt.Source.
func (s *slot) Wait(ctx context.Context, c *rt.Credentials) error {
	for ctx.Err() == nil {
		a, err := s.get(ctx)
		if err != nil {
			_ = s.pause(ctx, s.every) // the card may come back
			continue
		}
		if s.turn(ctx, a, c) == nil {
			return nil
		}
		if _, err := a.Load(ctx); lost(ctx, err) { // the next turn begins with what it finds
			s.drop(a)
		}
	}
	return context.Cause(ctx)
}

// turn waits for a while, or until somebody has news.
func (s *slot) turn(ctx context.Context, a *rt.Applet, c *rt.Credentials) error {
	ctx, cancel := context.WithTimeout(ctx, s.every)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-s.news:
			cancel()
		case <-ctx.Done():
		}
	})
	return a.Wait(ctx, c)
}
