package term_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/iotregistry/sdk/examples/internal/term"
	"github.com/stretchr/testify/require"
)

// clock is a time that moves only when told.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time                      { return c.now }
func (c *clock) advance(d time.Duration)             { c.now = c.now.Add(d) }
func newClock() *clock                               { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }
func columns(n int) func() int                       { return func() int { return n } }
func frames(out *bytes.Buffer) []string              { return strings.Split(out.String(), "\r\x1b[K")[1:] }
func plain(w *bytes.Buffer, c *clock) *term.Reporter { return &term.Reporter{W: w, Now: c.Now} }

func TestPlainLinesAreThrottled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	step := plain(&out, c).Step("seal", 1000)
	for range 1000 {
		step.Add(1)
		c.advance(5 * time.Millisecond)
	}
	require.Equal(t, 1000, step.Count())
	require.Equal(t, 5*time.Second, step.Done())
	require.Equal(t, "seal: 401/1000\nseal: 801/1000\nseal: 1000/1000 in 5s\n", out.String())
}

func TestBarIsThrottledAndEndsInALine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := &term.Reporter{W: &out, Now: c.Now, Width: columns(60), ASCII: true}
	step := r.Step("publish", 1000)
	for range 1000 {
		step.Add(1)
		c.advance(time.Millisecond)
	}
	step.Done()
	got := frames(&out)
	require.Len(t, got, 11, "the start, 100 to 900 ms, the line at the end")
	require.Equal(t, "publish ["+strings.Repeat(".", 39)+"] 0/1000 0s", got[0])
	require.Equal(t, "publish ["+strings.Repeat("#", 17)+strings.Repeat(".", 17)+"] 501/1000 500ms", got[5])
	require.Equal(t, "publish: 1000/1000 in 1s\n", got[len(got)-1])
}

func TestBarNeverWraps(t *testing.T) {
	t.Parallel()
	for width := 1; width < 100; width++ {
		var out bytes.Buffer
		c := newClock()
		r := &term.Reporter{W: &out, Now: c.Now, Width: columns(width), ASCII: width%2 == 0}
		step := r.Step("règlement of the transfer", 7)
		step.Add(99) // more than announced
		c.advance(time.Hour)
		step.Add(-200)
		for _, frame := range frames(&out) {
			require.LessOrEqual(t, utf8.RuneCountInString(frame), max(width-1, 1), "width %d: %q", width, frame)
		}
	}
}

func TestPrintfKeepsTheBarBelow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := &term.Reporter{W: &out, Now: c.Now, Width: columns(40), ASCII: true}
	step := r.Step("connect", 2)
	r.Printf("CERT match ✓ %s", "meter\x1b[2J1")
	step.Add(2)
	step.Done()
	r.Printf("done\n")
	require.Equal(t, []string{
		"connect [......................] 0/2 0s",
		"CERT match ✓ meter?[2J1\n",
		"connect [......................] 0/2 0s",
		"connect: 2/2 in 0s\ndone\n",
	}, frames(&out))
}

func TestOverlappingSteps(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := &term.Reporter{W: &out, Now: c.Now, Width: columns(40), ASCII: true}
	outer, inner := r.Step("outer", 2), r.Step("inner\n", 0)
	c.advance(time.Second)
	outer.Add(1) // counted, not drawn: inner is on the line
	inner.Add(3)
	inner.Done()
	require.Equal(t, []string{
		"outer [........................] 0/2 0s",
		"inner? 0 0s",
		"inner? 3 1s",
		"inner?: 3 in 1s\n",
		"outer [############............] 1/2 1s",
	}, frames(&out))
}

func TestAfterDoneNothingIsWritten(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	step := plain(&out, c).Step("issue", 3)
	c.advance(1234567 * time.Microsecond)
	took := step.Done()
	written := out.String()
	require.Equal(t, "issue: 0/3 in 1.23s\n", written)
	c.advance(time.Hour)
	step.Add(1)
	require.Equal(t, took, step.Done())
	require.Equal(t, 0, step.Count())
	require.Equal(t, written, out.String())
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer // guarded by the reporter: a race is found by -race
	r := &term.Reporter{W: &out, Width: columns(50), Interval: time.Nanosecond}
	step := r.Step("all", 8000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				step.Add(1)
			}
			r.Printf("one worker ready")
		})
	}
	wg.Wait()
	step.Done()
	require.Equal(t, 8, strings.Count(out.String(), "one worker ready\n"))
	require.Contains(t, out.String(), "all: 8000/8000 in ")
}
