package limit_test

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/web/limit"
	"github.com/stretchr/testify/require"
)

// clock is a time that only the test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }

func (c *clock) option() limit.Option { return limit.WithClock(c.now) }

// allowed calls until it is refused, at most n times.
func allowed(l *limit.Limiter, account string, n int) int {
	for i := range n {
		if ok, _ := l.Allow(account); !ok {
			return i
		}
	}
	return n
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule   string
		rate   float64
		burst  int
		wait   time.Duration // after the burst was used
		before int
		after  int
	}{
		{"a burst, then nothing", 10, 5, 0, 5, 0},
		{"one token an interval", 10, 5, 100 * time.Millisecond, 5, 1},
		{"nothing just before it", 10, 5, 99 * time.Millisecond, 5, 0},
		{"no more than the burst, however long", 10, 5, time.Hour, 5, 5},
		{"less than one a second", 0.5, 1, 2 * time.Second, 1, 1},
		{"a rate that does not divide a second", 3, 3, time.Second + time.Millisecond, 3, 3},
		{"a rate of once in ages does not overflow", 1e-300, math.MaxInt32, time.Hour, 7, 7},
		{"an infinite rate fills at once", math.Inf(1), 5, 5, 5, 5},
		{"a rate of zero lets nobody through", 0, 5, time.Hour, 0, 0},
		{"nor does a negative one", -1, 5, time.Hour, 0, 0},
		{"nor one that is no number", math.NaN(), 5, time.Hour, 0, 0},
		{"nor a burst of zero", 10, 0, time.Hour, 0, 0},
		{"nor a negative one", 10, -1, time.Hour, 0, 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			var clk clock
			l := limit.New(c.rate, c.burst, clk.option())
			require.Equal(t, c.before, allowed(l, "a", 7))
			clk.forward(c.wait)
			require.Equal(t, c.after, allowed(l, "a", 7))
		})
	}
}

func TestRetryAfterIsWhenItIsAllowed(t *testing.T) {
	t.Parallel()
	var clk clock
	l := limit.New(7, 3, clk.option())
	for range 50 {
		allowed(l, "a", 4)
		ok, after := l.Allow("a")
		require.False(t, ok)
		require.Positive(t, after)
		clk.forward(after - 1)
		ok, _ = l.Allow("a")
		require.False(t, ok, "a nanosecond early")
		clk.forward(1)
		ok, after = l.Allow("a")
		require.True(t, ok)
		require.Zero(t, after)
	}
}

func TestOneAccountNeverSlowsAnother(t *testing.T) {
	t.Parallel()
	var clk clock
	l := limit.New(1, 2, clk.option())
	require.Equal(t, 2, allowed(l, "flood", 1000))
	for i := range 100 {
		require.Equal(t, 2, allowed(l, fmt.Sprint("calm", i), 2))
	}
}

func TestTheRateHoldsAgainstManyCallers(t *testing.T) {
	t.Parallel()
	var clk clock
	l := limit.New(1, 100, clk.option())
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			passed.Add(int64(allowed(l, "a", 1000)))
			l.Remaining("a")
		})
	}
	wg.Wait()
	require.EqualValues(t, 100, passed.Load())
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var clk clock
	l := limit.New(1, 1, clk.option(), limit.WithAccounts(320))
	for i := range 5000 {
		ok, _ := l.Allow(fmt.Sprint(i))
		require.True(t, ok, "a newcomer is not refused because of others")
	}
	require.LessOrEqual(t, limit.Size(l), 320)

	// What is full again is forgotten as others come.
	clk.forward(time.Hour)
	for i := range 200 {
		l.Allow(fmt.Sprint("new", i))
	}
	require.LessOrEqual(t, limit.Size(l), 260)
}

func TestWhatIsInUseIsNotForgotten(t *testing.T) {
	t.Parallel()
	var clk clock
	l := limit.New(0.001, 1, clk.option(), limit.WithAccounts(64))
	require.Equal(t, 1, allowed(l, "busy", 1))
	for i := range 1000 {
		l.Allow(fmt.Sprint(i))
		require.Zero(t, allowed(l, "busy", 1), "flooding with names does not empty what is used")
	}
}

func TestClockThatIsSetBackLocksNobodyOut(t *testing.T) {
	t.Parallel()
	var clk clock
	l := limit.New(1, 2, clk.option())
	clk.forward(24 * time.Hour)
	require.Equal(t, 2, allowed(l, "a", 3))
	clk.forward(-12 * time.Hour)
	ok, after := l.Allow("a")
	require.False(t, ok)
	require.LessOrEqual(t, after, time.Second)
	clk.forward(2 * time.Second)
	require.Equal(t, 2, allowed(l, "a", 3))
}

func TestHeader(t *testing.T) {
	t.Parallel()
	var clk clock
	for _, c := range []struct {
		rule   string
		l      *limit.Limiter
		calls  int
		policy string
		left   string
	}{
		{"untouched", limit.New(50, 200, clk.option()), 0, `"account";q=200;w=4`, `"account";r=200;t=0`},
		{"partly used, times rounded up", limit.New(50, 200, clk.option()), 60, `"account";q=200;w=4`, `"account";r=140;t=2`},
		{"used up", limit.New(50, 200, clk.option()), 201, `"account";q=200;w=4`, `"account";r=0;t=4`},
		{"an infinite rate", limit.New(math.Inf(1), 5, clk.option()), 3, `"account";q=5;w=1`, `"account";r=2;t=1`},
		{"closed", limit.New(0, 0, clk.option()), 1, `"account";q=0;w=3153600000`, `"account";r=0;t=3153600000`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			allowed(c.l, "a", c.calls)
			h := http.Header{}
			c.l.Header(h, "a")
			require.Equal(t, c.policy, h.Get("RateLimit-Policy"))
			require.Equal(t, c.left, h.Get("RateLimit"))
		})
	}
}

func TestSecondsRoundUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0", 0: "0", 1: "1", time.Second: "1", time.Second + 1: "2", math.MaxInt64: "9223372037",
	} {
		require.Equal(t, want, limit.Seconds(d), d)
	}
}

func Example() {
	var clk clock
	limiter := limit.New(1, 2, clk.option())
	for range 3 {
		ok, after := limiter.Allow("parkoserv")
		fmt.Println(ok, after)
	}
	header := http.Header{}
	limiter.Header(header, "parkoserv")
	fmt.Println(header.Get("RateLimit-Policy"), header.Get("RateLimit"))
	// Output:
	// true 0s
	// true 0s
	// false 1s
	// "account";q=2;w=2 "account";r=0;t=2
}

func BenchmarkAllow(b *testing.B) {
	for _, accounts := range []int{1, 1000, 200_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			l := limit.New(1e6, 1000)
			names := make([]string, accounts)
			for i := range names {
				names[i] = fmt.Sprint("account", i)
			}
			var start atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := int(start.Add(7919)); pb.Next(); i++ {
					l.Allow(names[i%accounts])
				}
			})
		})
	}
}
