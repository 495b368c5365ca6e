package aspd_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/examples/internal/aspd"
)

func TestFirstLookUpTellsTheTTL(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	dev := device(1, 11)
	x := d.admit(dev)
	require.Equal(t, aspd.Admitted, d.List()[0].Verdict)
	d.Check(t.Context())
	require.Equal(t, 1, d.world.asks(dev))
	state := d.List()[0]
	require.Equal(t, aspd.Verified, state.Verdict)
	require.Equal(t, epoch.Add(time.Minute), state.Until)
	d.world.advance(59 * time.Second)
	d.Check(t.Context())
	require.Equal(t, 1, d.world.asks(dev), "the answer still counts")
	d.world.advance(time.Second)
	d.Check(t.Context())
	require.Equal(t, 2, d.world.asks(dev))
	require.False(t, over(x))
}

func TestAnswersCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule         string
		ttl, recheck time.Duration
		want         time.Duration
	}{
		{"until the records expire", time.Minute, time.Hour, time.Minute},
		{"at most for Recheck", 24 * time.Hour, time.Hour, time.Hour},
		{"for an hour where nobody says", 24 * time.Hour, 0, time.Hour},
		{"a few seconds at least", 0, time.Hour, 5 * time.Second},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(s *aspd.Sessions) { s.Recheck = c.recheck })
			d.world.ttl = c.ttl
			d.admit(device(1, 11))
			d.Check(t.Context())
			require.Equal(t, epoch.Add(c.want), d.List()[0].Until)
		})
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		err  error
		why  string // "": stays for the time of grace
	}{
		{"a validated denial is a withdrawal", dane.ErrAbsent, "withdrawn"},
		{"validated records of another certificate", dane.ErrNoMatch, "refused"},
		{"validated records of no use", dane.ErrUnusable, "refused"},
		{"a certificate that is over", dane.ErrExpired, "refused"},
		{"a certificate for another name", dane.ErrWrongName, "refused"},
		{"SERVFAIL and time-outs", dane.ErrIndeterminate, ""},
		{"a bogus answer", dane.ErrBogus, ""},
		{"an insecure answer", dane.ErrInsecure, ""},
		{"any other error", errors.New("boom"), ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			dev := device(1, 11)
			x := d.admit(dev)
			d.Check(t.Context())
			d.world.say(dev, fmt.Errorf("wrapped: %w", c.err))
			d.world.advance(time.Minute)
			d.Check(t.Context())
			if c.why != "" {
				require.True(t, over(x))
				require.Equal(t, dev.ID.String()+"/11 "+c.why, <-d.drops)
				require.Empty(t, d.List())
				return
			}
			require.False(t, over(x))
			require.Equal(t, aspd.Unverified, d.List()[0].Verdict)
			d.world.advance(10*time.Minute - time.Nanosecond)
			d.Check(t.Context())
			require.False(t, over(x), "grace is not over")
			d.world.advance(time.Nanosecond)
			d.Check(t.Context())
			require.Equal(t, dev.ID.String()+"/11 unknown", <-d.drops)
		})
	}
}

// TestRecovery: an answer within the time of grace ends it.
func TestRecovery(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	dev := device(1, 11)
	x := d.admit(dev)
	d.Check(t.Context())
	d.world.say(dev, dane.ErrIndeterminate)
	d.world.advance(time.Minute)
	d.Check(t.Context())
	d.world.say(dev, nil)
	d.world.advance(time.Second)
	d.Check(t.Context())
	require.Equal(t, 2, d.world.asks(dev), "the second try waits two seconds")
	d.world.advance(time.Second)
	d.Check(t.Context())
	require.Equal(t, aspd.Verified, d.List()[0].Verdict)
	require.Equal(t, d.world.Now().Add(time.Minute), d.List()[0].Until)
	d.world.advance(20 * time.Minute)
	d.world.say(dev, dane.ErrAbsent)
	d.Check(t.Context())
	require.True(t, over(x))
}

// TestRetriesSlowDown: an outage is not answered by a storm of queries.
func TestRetriesSlowDown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(s *aspd.Sessions) { s.Grace = time.Hour })
	dev := device(1, 11)
	d.world.say(dev, dane.ErrIndeterminate)
	x := d.admit(dev)
	for range 3600 {
		d.Check(t.Context())
		d.world.advance(time.Second)
	}
	require.False(t, over(x))
	require.Less(t, d.world.asks(dev), 70)
	require.Greater(t, d.world.asks(dev), 55)
	d.Check(t.Context())
	require.True(t, over(x))
}

// TestNoGrace: without it the first failed look-up ends the connection.
func TestNoGrace(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(s *aspd.Sessions) { s.Grace = 0 })
	dev := device(1, 11)
	x := d.admit(dev)
	d.world.say(dev, dane.ErrIndeterminate)
	d.Check(t.Context())
	require.True(t, over(x))
}

// TestNobodyOutstays: look-ups that hang or queue keep nobody connected.
func TestNobodyOutstays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.blocked = make(chan struct{})
		s := &aspd.Sessions{Verify: w.verify, Concurrent: 1, Grace: time.Minute}
		var all []*aspd.Session
		for n := range 100 {
			x, err := s.Admit(device(n, 1), aspd.Link{})
			require.NoError(t, err)
			all = append(all, x)
		}
		var running sync.WaitGroup
		running.Go(func() { s.Run(t.Context()) })
		time.Sleep(time.Minute - time.Second) // synctest's time
		require.Len(t, s.List(), 100)
		time.Sleep(aspd.DefaultPatience + 2*time.Second)
		require.Empty(t, s.List())
		for _, x := range all {
			require.True(t, over(x))
		}
		s.Close()
	})
}

// TestRun: look-ups happen when they are due, and end with the context.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := &aspd.Sessions{Verify: w.verify, Recheck: 30 * time.Second}
		w.ttl = 1000 * time.Hour
		dev := device(1, 11)
		x, err := s.Admit(dev, aspd.Link{})
		require.NoError(t, err)
		var running sync.WaitGroup
		running.Go(func() { s.Run(t.Context()) })
		time.Sleep(5*time.Minute - time.Second)
		require.InDelta(t, 10, w.asks(dev), 1)
		w.say(dev, dane.ErrAbsent)
		time.Sleep(32 * time.Second)
		require.True(t, over(x))
		s.Close()
	})
}

// TestReplaced: a device that connects again ends its former connection.
func TestReplaced(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	first := d.admit(device(1, 11))
	second := d.admit(device(1, 12))
	require.True(t, over(first))
	require.False(t, over(second))
	require.Equal(t, device(1, 11).ID.String()+"/11 replaced", <-d.drops)
	first.Leave() // what its connection does when it ends
	require.Len(t, d.List(), 1)
	require.Len(t, d.Of(device(1, 11).ID), 1)

	third, err := d.Admit(device(1, 12), aspd.Link{Kind: "other"})
	require.NoError(t, err)
	require.False(t, over(second), "of another kind")
	third.Leave()
	third.Leave()
	second.Leave()
	require.Empty(t, d.List())
	require.Empty(t, d.Of(device(1, 11).ID))
	require.Empty(t, d.drops)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(s *aspd.Sessions) { s.Max = 2 })
	a, err := d.Admit(device(1, 11), d.link(device(1, 11), 2))
	require.NoError(t, err)
	b, err := d.Admit(device(1, 11), d.link(device(1, 11), 2))
	require.NoError(t, err)
	require.False(t, over(a), "a kind may allow more than one")
	_, err = d.Admit(device(2, 12), d.link(device(2, 12), 1))
	require.ErrorIs(t, err, aspd.ErrFull)
	c, err := d.Admit(device(1, 11), d.link(device(1, 11), 2))
	require.NoError(t, err, "who replaces takes no place")
	require.True(t, over(a))
	elsewhere := device(1, 11)
	elsewhere.Zone, elsewhere.Name = "example.net", "11."+elsewhere.ID.String()+".example.net"
	_, err = d.Admit(elsewhere, d.link(elsewhere, 1))
	require.ErrorIs(t, err, aspd.ErrTaken, "another registry cannot take a connected device over")
	b.Leave()
	c.Leave()
	_, err = d.Admit(elsewhere, d.link(elsewhere, 1))
	require.NoError(t, err)
}

func TestClose(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	x := d.admit(device(1, 11))
	d.Close()
	require.True(t, over(x))
	require.Contains(t, <-d.drops, "ending")
	_, err := d.Admit(device(2, 11), aspd.Link{})
	require.ErrorIs(t, err, aspd.ErrClosed)
}

func TestTouch(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	x := d.admit(device(1, 11))
	d.world.advance(time.Second)
	x.Touch("a\x1b[31m<b>\u202e" + strings.Repeat("é", 1000))
	state := d.List()[0]
	require.Equal(t, epoch.Add(time.Second), state.LastMessage)
	require.True(t, strings.HasPrefix(state.Message, "a?[31m<b>??"), state.Message)
	require.LessOrEqual(t, len(state.Message), 64)
	x.Leave()
	x.Touch("after the end") // of no effect, and no harm
	require.Empty(t, d.List())
}

// TestConcurrency is for the race detector.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 50 {
				x, err := d.Admit(device(i%5, 11), aspd.Link{Drop: func(aspd.Reason) {}})
				if err != nil {
					continue
				}
				x.Touch("x")
				switch (n + i) % 3 {
				case 0:
					x.Leave()
				case 1:
					d.world.advance(time.Minute)
					d.Check(t.Context())
				default:
					_ = d.List()
				}
			}
		})
	}
	wg.Wait()
	d.Close()
	require.Empty(t, d.List())
}
