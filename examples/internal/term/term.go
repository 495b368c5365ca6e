// Package term shows the progress of the example programs: a bar on a
// terminal, plain lines in a pipe or a log.
//
// Two calls are what most programs need:
//
//	step := reporter.Step("publish", 1000)
//	defer step.Done() // and step.Add(1) from any goroutine
//
// It writes only when called: no goroutine, no timer. A bar is redrawn at most
// ten times a second and a plain line is printed at most every two seconds,
// however often Add is called. Names and lines are cleaned of control
// characters, but nothing here hides secrets: do not pass any.
package term

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Shortest times between two updates of a step, unless [Reporter] says another.
const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 2 * time.Second
)

// Reporter prints the steps of one program. The zero value writes to standard
// error. Fields must not change after the first call. Safe for concurrent use.
// Errors of W are ignored: progress is not worth stopping for.
type Reporter struct {
	W        io.Writer        // where to write; nil: os.Stderr
	Now      func() time.Time // the clock that throttles and times; nil: time.Now
	Width    func() int       // columns of the terminal, 0: W is no terminal; nil: asked of W
	Interval time.Duration    // shortest time between two updates; zero: 100 ms for bars, 2 s for lines
	ASCII    bool             // draw with # and . also where the locale is UTF-8

	once  sync.Once
	out   io.Writer
	now   func() time.Time
	width func() int // nil: plain lines
	every time.Duration
	ascii bool

	mu    sync.Mutex
	steps []*Step // the running ones; the last is drawn
	drawn bool    // a bar stands on the current line
}

// Step is one running step of a [Reporter]. Safe for concurrent use.
type Step struct {
	r           *Reporter
	name        string
	count       int
	total       int
	start, last time.Time
	done        bool
	took        time.Duration
}

// setup fills in what the caller left nil.
func (r *Reporter) setup() {
	r.out, r.now, r.width, r.ascii = r.W, r.Now, r.Width, r.ASCII || !utf8Locale(os.Getenv)
	if r.out == nil {
		r.out = os.Stderr
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.width == nil {
		r.width = terminalWidth(r.out, os.Getenv)
	} else if r.width() <= 0 {
		r.width = nil
	}
	r.every = r.Interval
	if r.every <= 0 && r.width != nil {
		r.every = barInterval
	} else if r.every <= 0 {
		r.every = lineInterval
	}
}

// Step starts a step of total parts; total zero means that the number is not
// known. Steps may overlap: the bar shows the one begun last.
func (r *Reporter) Step(name string, total int) *Step {
	r.once.Do(r.setup)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	s := &Step{r: r, name: clean(name), total: max(total, 0), start: now, last: now}
	r.steps = append(r.steps, s)
	r.redraw(now)
	return s
}

// Add counts n more parts as done. After [Step.Done] it does nothing.
func (s *Step) Add(n int) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.done {
		return
	}
	s.count += n
	now := r.now()
	if now.Sub(s.last) < r.every {
		return
	}
	s.last = now
	if r.width == nil {
		fmt.Fprintf(r.out, "%s: %s\n", s.name, s.counts())
	} else if s == r.steps[len(r.steps)-1] {
		r.redraw(now)
	}
}

// Count returns how many parts were counted so far.
func (s *Step) Count() int {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.count
}

// Done ends the step, leaves one line with its count and time, and returns the
// time it took. A second call changes nothing and returns the same.
func (s *Step) Done() time.Duration {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.done {
		return s.took
	}
	now := r.now()
	s.done, s.took = true, now.Sub(s.start)
	r.steps = slices.DeleteFunc(r.steps, func(other *Step) bool { return other == s })
	r.erase()
	fmt.Fprintf(r.out, "%s: %s in %s\n", s.name, s.counts(), round(s.took))
	r.redraw(now)
	return s.took
}

// Printf prints lines between the progress: a standing bar is taken away first
// and drawn again below. A missing newline at the end is added.
func (r *Reporter) Printf(format string, args ...any) {
	r.once.Do(r.setup)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.erase()
	io.WriteString(r.out, cleanLines(fmt.Sprintf(format, args...)))
	r.redraw(r.now())
}

func (s *Step) counts() string {
	if s.total == 0 {
		return fmt.Sprint(s.count)
	}
	return fmt.Sprintf("%d/%d", s.count, s.total)
}

// round keeps three digits or so: 1.23s, 45.6ms, 789µs.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Microsecond; unit /= 1000 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
