// Package metrics counts what a registry does and shows it in the text format
// that Prometheus and what speaks its language scrape (exposition format 0.0.4).
//
//	var set metrics.Set
//	engine, err := set.Registry()
//	reg, err := registry.New(registry.Config{Trace: engine.Trace, OnJob: engine.OnJob, ...})
//	mux.Handle("GET /metrics", set.Handler())
//	http.Serve(listener, engine.Requests(mux))
//
// It uses the standard library only: the format is a few dozen lines of code, the
// usual client library is twenty modules, and what a registry's operator must
// review and update counts. Programs that have that library anyway can feed it
// from the same hooks of [registry.Config].
//
// # Bounds
//
// Every combination of label values is a series that the process and whoever
// scrapes it keep for ever. So each metric has at most [Set.MaxSeries] of them;
// what comes later counts under the value "other". Label values are cut to 128
// bytes. Device IDs, accounts and paths with either in them are no label values.
//
// # What this does not protect from
//
// What is shown says how much the registry does, and for what: serve it on an
// address that only the operator reaches.
package metrics

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// DefaultMaxSeries is how many combinations of label values a metric has unless
// [Set.MaxSeries] says otherwise.
const DefaultMaxSeries = 500

// Other is the label value under which everything counts that came when a metric
// had all the series it may have.
const Other = "other"

const (
	maxValue   = 128 // bytes of a label value
	maxLabels  = 16
	maxBuckets = 64
	separator  = "\xff" // no valid UTF-8, so in no label value
)

// ErrInvalid says that a metric was declared wrongly: the text says how.
var ErrInvalid = errors.New("no such metric can be")

// Set is a set of metrics with different names. The zero value is an empty one
// ready for use. It is safe for concurrent use.
type Set struct {
	// MaxSeries bounds the combinations of label values of each metric; less than
	// 1 means DefaultMaxSeries. It counts when a metric is declared.
	MaxSeries int

	mu       sync.Mutex
	families map[string]*family
}

// Counter is a number that only grows.
type Counter struct{ f *family }

// Gauge is a number that grows and shrinks.
type Gauge struct{ f *family }

// Histogram counts values by the buckets into which they fall.
type Histogram struct{ f *family }

// Counter declares a counter. Its name ends in "_total", as Prometheus asks, and
// labels are the names of its labels.
func (s *Set) Counter(name, help string, labels ...string) (*Counter, error) {
	f, err := s.declare(&family{name: name, help: help, kind: "counter", labels: labels})
	return &Counter{f}, err
}

// Gauge declares a gauge.
func (s *Set) Gauge(name, help string, labels ...string) (*Gauge, error) {
	f, err := s.declare(&family{name: name, help: help, kind: "gauge", labels: labels})
	return &Gauge{f}, err
}

// Histogram declares a histogram with the given upper bounds of its buckets, in
// ascending order, at most 64. The bucket that takes everything is added.
func (s *Set) Histogram(name, help string, bounds []float64, labels ...string) (*Histogram, error) {
	f, err := s.declare(&family{name: name, help: help, kind: "histogram", labels: labels, bounds: slices.Clone(bounds)})
	return &Histogram{f}, err
}

// Add adds v to the series with these label values, in the order of the labels.
// Values that are missing count as empty, those too many are left out. A v below
// zero or NaN is ignored: a counter only grows.
func (c *Counter) Add(v float64, values ...string) {
	if v >= 0 {
		c.f.update(values, func(s *series) { s.value += v })
	}
}

// Add adds v, which may be negative, to the series with these label values.
func (g *Gauge) Add(v float64, values ...string) {
	g.f.update(values, func(s *series) { s.value += v })
}

// Set sets the series with these label values to v.
func (g *Gauge) Set(v float64, values ...string) {
	g.f.update(values, func(s *series) { s.value = v })
}

// Observe counts v in the series with these label values. NaN is ignored.
func (h *Histogram) Observe(v float64, values ...string) {
	if math.IsNaN(v) {
		return
	}
	h.f.update(values, func(s *series) {
		i, _ := slices.BinarySearch(h.f.bounds, v) // the first bound that is not below v
		s.counts[i]++
		s.value += v
	})
}

// family is a metric with all its series.
type family struct {
	name, help, kind string
	labels           []string
	bounds           []float64
	max              int

	mu     sync.RWMutex
	series map[string]*series
}

// series is a metric with one combination of label values.
type series struct {
	mu     sync.Mutex
	values []string
	value  float64  // of a histogram the sum
	counts []uint64 // of a histogram by bucket; the last takes the rest
}

var (
	nameOK   = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelOK  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	reserved = []string{"_total", "_bucket", "_sum", "_count"}
)

// declare adds f, or returns the family that was declared with the same words
// before. Also after an error it returns one that can be used and is shown nowhere,
// so that who ignores the error loses numbers and not the process.
func (s *Set) declare(f *family) (*family, error) {
	f.series, f.max, f.labels = map[string]*series{}, s.MaxSeries, slices.Clone(f.labels)
	if f.max < 1 {
		f.max = DefaultMaxSeries
	}
	if err := f.check(); err != nil {
		return f, fmt.Errorf("metrics: %w: %s", ErrInvalid, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.families[f.name]; old != nil {
		if old.kind == f.kind && old.help == f.help && slices.Equal(old.labels, f.labels) && slices.Equal(old.bounds, f.bounds) {
			return old, nil
		}
		return f, fmt.Errorf("metrics: %w: %q is declared already, in other words", ErrInvalid, f.name)
	}
	if s.families == nil {
		s.families = map[string]*family{}
	}
	s.families[f.name] = f
	return f, nil
}

func (f *family) check() error {
	suffix := slices.ContainsFunc(reserved, func(r string) bool { return strings.HasSuffix(f.name, r) })
	switch {
	case !nameOK.MatchString(f.name):
		return fmt.Errorf("%q is no name: letters, digits, '_' and ':'", f.name)
	case f.kind == "counter" && !strings.HasSuffix(f.name, "_total"):
		return fmt.Errorf("%q: a counter's name ends in _total", f.name)
	case f.kind != "counter" && suffix:
		return fmt.Errorf("%q: a %s's name ends in none of %q", f.name, f.kind, reserved)
	case f.help == "" || !utf8.ValidString(f.help):
		return fmt.Errorf("%q has no help text in UTF-8", f.name)
	case len(f.labels) > maxLabels || len(f.bounds) > maxBuckets:
		return fmt.Errorf("%q has more than %d labels or %d buckets", f.name, maxLabels, maxBuckets)
	}
	for i, l := range f.labels {
		if !labelOK.MatchString(l) || strings.HasPrefix(l, "__") || l == "le" || slices.Contains(f.labels[:i], l) {
			return fmt.Errorf("%q: %q cannot be a label, or is one twice", f.name, l)
		}
	}
	for i, b := range f.bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= f.bounds[i-1] {
			return fmt.Errorf("%q: bounds are finite and ascend", f.name)
		}
	}
	return nil
}

func (f *family) update(values []string, change func(*series)) {
	s := f.get(values)
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// get returns the series with these label values, or the one of all others.
func (f *family) get(values []string) *series {
	values = f.fit(values)
	key := strings.Join(values, separator)
	f.mu.RLock()
	s := f.series[key]
	f.mu.RUnlock()
	if s != nil {
		return s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.series[key]; s != nil {
		return s
	}
	if len(f.series) >= f.max-1 && len(f.labels) > 0 { // one place is for the others
		values = slices.Repeat([]string{Other}, len(f.labels))
		key = strings.Join(values, separator)
		if s := f.series[key]; s != nil {
			return s
		}
	}
	s = &series{values: values}
	if f.kind == "histogram" {
		s.counts = make([]uint64, len(f.bounds)+1)
	}
	f.series[key] = s
	return s
}

// fit makes as many valid values as there are labels.
func (f *family) fit(values []string) []string {
	out := make([]string, len(f.labels))
	for i := range min(len(values), len(out)) {
		v := values[i]
		if len(v) > maxValue {
			v = v[:maxValue]
			for len(v) > maxValue-utf8.UTFMax && !utf8.ValidString(v) { // not within a character
				v = v[:len(v)-1]
			}
		}
		out[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	return out
}
