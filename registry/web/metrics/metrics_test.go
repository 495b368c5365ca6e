package metrics_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"flag"

	"github.com/iotregistry/sdk/registry/web/metrics"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata anew")

// everything is a set with one metric of each kind and the hard cases of the
// format.
func everything(t testing.TB) *metrics.Set {
	var s metrics.Set
	c, err := s.Counter("calls_total", "Calls, by \\ and\nnew line.", "who", "what")
	require.NoError(t, err)
	c.Add(1, "a", "b")
	c.Add(2.5, `quo"te`, "back\\slash\nand line")
	c.Add(1, "b\xff", "")
	g, err := s.Gauge("temperature", "A gauge without labels.")
	require.NoError(t, err)
	g.Set(math.Inf(-1))
	h, err := s.Histogram("wait_seconds", "A histogram.", []float64{0.1, 1, 10}, "step")
	require.NoError(t, err)
	for _, v := range []float64{0.05, 0.1, 0.5, 10, 11, math.NaN()} {
		h.Observe(v, "build")
	}
	_, err = s.Counter("unused_total", "Without labels, so zero before its first use.")
	require.NoError(t, err)
	_, err = s.Counter("unknown_total", "With labels, so not there before its first use.", "a")
	require.NoError(t, err)
	return &s
}

func TestTextFormat(t *testing.T) {
	const golden = "testdata/all.txt"
	got := text(t, everything(t))
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)

	_, kinds, err := parse(got)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"calls_total": "counter", "temperature": "gauge", "wait_seconds": "histogram", "unused_total": "counter"}, kinds)
	v := values(t, everything(t))
	require.EqualValues(t, 2.5, v["calls_total{what=back\\slash\nand line,who=quo\"te}"])
	require.EqualValues(t, 1, v["calls_total{what=,who=b\uFFFD}"])
	require.EqualValues(t, 2, v["wait_seconds_bucket{le=0.1,step=build}"], "a bound belongs to its bucket")
	require.EqualValues(t, 5, v["wait_seconds_bucket{le=+Inf,step=build}"])
	require.EqualValues(t, 5, v["wait_seconds_count{step=build}"])
	require.InDelta(t, 21.65, v["wait_seconds_sum{step=build}"], 1e-9)
}

func TestPromtoolAgrees(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	s := everything(t)
	e, err := s.Registry()
	require.NoError(t, err)
	e.Trace("build", 3, 1)
	file := filepath.Join(t.TempDir(), "metrics.txt")
	require.NoError(t, os.WriteFile(file, []byte(text(t, s)), 0o600))
	in, err := os.Open(file)
	require.NoError(t, err)
	defer in.Close()
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	long := make([]string, 17)
	for i := range long {
		long[i] = fmt.Sprint("l", i)
	}
	for _, c := range []struct {
		rule, name, help string
		histogram        bool
		bounds           []float64
		labels           []string
		ok               bool
	}{
		{"a counter", "x_total", "h", false, nil, []string{"a", "b"}, true},
		{"a counter's name says total", "x", "h", false, nil, nil, false},
		{"no name", "", "h", false, nil, nil, false},
		{"a name with a blank", "x y_total", "h", false, nil, nil, false},
		{"a name with a new line", "x_total\n", "h", false, nil, nil, false},
		{"a name that starts with a digit", "1_total", "h", false, nil, nil, false},
		{"no help", "x_total", "", false, nil, nil, false},
		{"help that is no UTF-8", "x_total", "\xff", false, nil, nil, false},
		{"a label twice", "x_total", "h", false, nil, []string{"a", "a"}, false},
		{"a label with a colon", "x_total", "h", false, nil, []string{"a:b"}, false},
		{"a label that Prometheus keeps for itself", "x_total", "h", false, nil, []string{"__a"}, false},
		{"the histogram's label", "x_total", "h", false, nil, []string{"le"}, false},
		{"too many labels", "x_total", "h", false, nil, long, false},
		{"a histogram", "x_seconds", "h", true, []float64{1, 2}, nil, true},
		{"a histogram without bounds", "x_seconds", "h", true, nil, nil, true},
		{"a histogram named as its own parts", "x_count", "h", true, []float64{1}, nil, false},
		{"bounds that do not ascend", "x_seconds", "h", true, []float64{1, 1}, nil, false},
		{"the infinite bound is there anyway", "x_seconds", "h", true, []float64{1, math.Inf(1)}, nil, false},
		{"a bound that is no number", "x_seconds", "h", true, []float64{math.NaN()}, nil, false},
		{"too many bounds", "x_seconds", "h", true, make([]float64, 65), nil, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			var s metrics.Set
			declare := func(help string) error {
				if c.histogram {
					h, err := s.Histogram(c.name, help, c.bounds, c.labels...)
					h.Observe(1) // also after an error
					return err
				}
				m, err := s.Counter(c.name, help, c.labels...)
				m.Add(1)
				return err
			}
			err := declare(c.help)
			if !c.ok {
				require.ErrorIs(t, err, metrics.ErrInvalid)
				require.Empty(t, text(t, &s))
				return
			}
			require.NoError(t, err)
			require.NoError(t, declare(c.help), "the same again is the same metric")
			require.ErrorIs(t, declare("other words"), metrics.ErrInvalid)
		})
	}
}

func TestACounterOnlyGrows(t *testing.T) {
	t.Parallel()
	var s metrics.Set
	c, err := s.Counter("x_total", "h")
	require.NoError(t, err)
	for _, v := range []float64{2, -1, math.NaN(), 0} {
		c.Add(v)
	}
	g, err := s.Gauge("y", "h")
	require.NoError(t, err)
	g.Set(5)
	g.Add(-7)
	require.Equal(t, map[string]float64{"x_total": 2, "y": -2}, values(t, &s))
}

func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	s := metrics.Set{MaxSeries: 10}
	c, err := s.Counter("x_total", "h", "a", "b")
	require.NoError(t, err)
	for i := range 1000 {
		c.Add(1, fmt.Sprint(i), "b")
	}
	c.Add(1, "3", "b") // which was there in time
	v := values(t, &s)
	require.Len(t, v, 10)
	require.EqualValues(t, 2, v["x_total{a=3,b=b}"])
	require.EqualValues(t, 1000-9, v["x_total{a=other,b=other}"])
}

func TestLabelValuesAreCut(t *testing.T) {
	t.Parallel()
	var s metrics.Set
	c, err := s.Counter("x_total", "h", "a")
	require.NoError(t, err)
	c.Add(1, strings.Repeat("é", 1000))
	c.Add(1, "x"+strings.Repeat("é", 1000))
	c.Add(1, "one", "two")
	c.Add(1)
	v := values(t, &s)
	require.Len(t, v, 4)
	require.Contains(t, v, "x_total{a="+strings.Repeat("é", 64)+"}")
	require.Contains(t, v, "x_total{a=x"+strings.Repeat("é", 63)+"}", "not within a character")
	require.Contains(t, v, "x_total{a=one}")
	require.Contains(t, v, "x_total{a=}")
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	s := metrics.Set{MaxSeries: 20}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c, err := s.Counter("x_total", "h", "a")
			if err != nil {
				return // seen below as a missing count
			}
			h, _ := s.Histogram("y_seconds", "h", []float64{1}, "a")
			for i := range 500 {
				c.Add(1, fmt.Sprint(i%50))
				h.Observe(float64(i), fmt.Sprint(i%3))
			}
		})
		wg.Go(func() {
			for range 20 {
				_, _ = s.WriteTo(new(strings.Builder))
			}
		})
	}
	wg.Wait()
	var sum float64
	for k, v := range values(t, &s) {
		if strings.HasPrefix(k, "x_total") {
			sum += v
		}
	}
	require.EqualValues(t, 2000, sum)
}

func TestHandler(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(everything(t).Handler())
	defer server.Close()
	for method, code := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405} {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		require.NoError(t, err)
		resp, err := server.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, code, resp.StatusCode, method)
		if code == 200 {
			require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", resp.Header.Get("Content-Type"))
		}
	}
}

// Whatever a label's value is, the line stays one line and the value comes back.
func FuzzLabels(f *testing.F) {
	for _, seed := range []string{"", "a", `"`, `\`, "\n", `\n`, "a\",b=\"", "\xff", "\x00", "é", "} 1", strings.Repeat("é", 100)} {
		f.Add(seed, "b")
		f.Add("a", seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var s metrics.Set
		c, err := s.Counter("x_total", "h", "a", "b")
		require.NoError(t, err)
		c.Add(3, a, b)
		samples, _, err := parse(text(t, &s))
		require.NoError(t, err)
		require.Len(t, samples, 1)
		require.EqualValues(t, 3, samples[0].value)
		for name, in := range map[string]string{"a": a, "b": b} {
			out := samples[0].labels[name]
			require.True(t, utf8.ValidString(out))
			if len(in) <= 128 {
				require.Equal(t, strings.ToValidUTF8(in, "\uFFFD"), out)
			}
		}
	})
}

func ExampleSet() {
	var set metrics.Set
	sent, err := set.Counter("letters_sent_total", "Letters sent, by town.", "town")
	if err != nil {
		fmt.Println(err)
		return
	}
	sent.Add(2, "Ottawa")
	sent.Add(1, "Hull")
	answer := httptest.NewRecorder()
	set.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	fmt.Print(answer.Body)
	// Output:
	// # HELP letters_sent_total Letters sent, by town.
	// # TYPE letters_sent_total counter
	// letters_sent_total{town="Hull"} 1
	// letters_sent_total{town="Ottawa"} 2
}

func BenchmarkAdd(b *testing.B) {
	var s metrics.Set
	c, err := s.Counter("x_total", "h", "route", "method")
	require.NoError(b, err)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Add(1, "/v1/devices/{id}", "GET")
		}
	})
}
