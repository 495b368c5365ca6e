package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary stand in for the program when the bench starts
// itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == childCommand || os.Args[1] == mortalCommand) {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

var small = []string{"dane", "-rtt", "30ms", "-rounds", "1", "-trials", "1", "-names", "3", "-zones", "4", "-processes", "1"}

// TestDane runs everything small and checks what was counted. Times are left
// to the real run. It is not parallel: memory is counted for the process.
func TestDane(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(t.Context(), append(small, "-json"), &stdout, &stderr), stderr.String())
	require.Empty(t, stderr.String())
	var r report
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &r))
	require.Equal(t, "dane", r.Bench)
	require.NotEmpty(t, r.Go)
	figures := map[string]measure{}
	for _, m := range r.Measures {
		require.NotContains(t, figures, m.Name)
		require.NotEmpty(t, m.Unit)
		require.Equal(t, m.Goal == nil, m.Met == nil)
		figures[m.Name] = m
	}
	for name, want := range map[string]float64{
		"offline_verifications": 6, "cold_verifications": 6, "serial_queries": 6,
		"warm_rounds": 1, "warm_queries": 1, "warm_verifications": 1,
	} {
		require.Equal(t, want, figures[name].Value, name)
	}
	for name, most := range map[string]float64{
		"cold_rounds": 2, "cold_queries": 12, "keytrap_verifications": 32, "keytrap_few_keys_verifications": 32,
	} {
		require.Positive(t, figures[name].Value, name)
		require.LessOrEqual(t, figures[name].Value, most, name)
	}
	for _, name := range []string{"keytrap_octets", "keytrap_few_keys_octets"} {
		require.InDelta(t, 64<<10, figures[name].Value, 3<<10, name)
		require.Contains(t, figures[name].Note, "bogus, stopped by: ")
	}
	for name, goal := range map[string]float64{"offline_ratio": 1.3, "cold_round_trips": 2.2, "keytrap_cpu": 20, "keytrap_few_keys_cpu": 20, "cache_growth": 1.2} {
		require.Equal(t, goal, *figures[name].Goal, name)
	}
	for _, name := range []string{"cold_bytes", "warm_bytes", "cold_allocations", "warm_allocations", "sdk_wall", "sdk_queries", "sdk_in_process_wall"} {
		require.Positive(t, figures[name].Value, name)
	}
	require.Less(t, figures["warm_allocations"].Value, figures["cold_allocations"].Value)
}

func TestText(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(t.Context(), append(small, "-processes", "0"), &stdout, &stderr), stderr.String())
	for _, s := range []string{"\nOffline validation", "\nCold look-up", "\nZones known", "\nKeyTrap", "\nMemory", "(goal <= 2.2: ", "(goal <= 20: "} {
		require.Contains(t, stdout.String(), s)
	}
	require.NotContains(t, stdout.String(), "process")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "frob", "dane extra", "dane -frob", "dane -rtt soon", "dane -rtt 0s", "dane -names 0", childCommand, mortalCommand, "registry -fleet 0", "registry -kills -1"} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 2, run(t.Context(), strings.Fields(args), &stdout, &stderr), args)
		require.NotEmpty(t, stderr.String(), args)
		require.Empty(t, stdout.String(), args)
	}
	for _, args := range []string{"-h", "dane -h", "registry -h"} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), strings.Fields(args), &stdout, &stderr), args)
		require.Contains(t, stdout.String(), "Usage: bench")
	}
	var stderr bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{childCommand, "127.0.0.1:1", "none", "x."}, &bytes.Buffer{}, &stderr))
	require.Contains(t, stderr.String(), "none")
}

// TestFailure: what fails inside a world is an error, and other panics are not
// swallowed.
func TestFailure(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { (&stage{}).Errorf("broken") })
	b := &daneRun{rtt: 1, rounds: 1, trials: 1, names: 1, zones: 1}
	cause := errors.New("broken")
	require.ErrorIs(t, b.parts(t.Context(), nil, func(context.Context, *report) error { panic(failure{cause}) }), cause)
	require.Panics(t, func() { _ = b.parts(t.Context(), nil, func(context.Context, *report) error { panic("bug") }) })
}

type echo struct{}

func (echo) Exchange(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
	return new(dns.Msg).SetReply(q), nil
}

// TestPath: rounds are answers waited for one after the other, however many
// questions go out at once.
func TestPath(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &path{next: echo{}, rtt: time.Second}
		begin := time.Now()
		for range 2 {
			done := make(chan error)
			for range 5 {
				go func() {
					_, err := p.Exchange(t.Context(), query("x.", dns.TypeA))
					done <- err
				}()
			}
			for range 5 {
				require.NoError(t, <-done)
			}
		}
		require.Equal(t, 2*time.Second, time.Since(begin))
		queries, rounds := p.counts()
		require.Equal(t, []int{10, 2}, []int{queries, rounds})
		queries, rounds = p.counts()
		require.Equal(t, []int{0, 0}, []int{queries, rounds})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.Exchange(ctx, query("x.", dns.TypeA))
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestSerial: an unsigned answer ends the walk.
func TestSerial(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, serial(t.Context(), echo{}, "x.", dns.TypeA), "not signed")
}

func TestDuel(t *testing.T) {
	t.Parallel()
	_, _, _, err := duel(1, 1, func() bool { return true }, func() bool { return false })
	require.Error(t, err)
	calls := 0
	_, _, _, err = duel(3, 5, func() bool { calls++; return true }, func() bool { return true })
	require.NoError(t, err)
	require.Equal(t, 15, calls)
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]float64{"1.11": 1.1123, "6": 6, "66092": 66092, "14475": 14475.3, "0.0123": 0.01234} {
		require.Equal(t, want, number(f))
	}
	require.Equal(t, 2.0, median([]float64{9, 1, 2}))
}
