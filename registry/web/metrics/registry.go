package metrics

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iotregistry/sdk/registry"
)

// Engine are the metrics of a registry and the HTTP front before it:
//
//	iotreg_http_requests_total{route,method,code}
//	iotreg_http_request_duration_seconds{route,method}
//	iotreg_http_requests_in_flight
//	iotreg_step_duration_seconds{step}         of registry.Config.Trace
//	iotreg_step_devices_total{step}
//	iotreg_jobs_total{op,state}                that ended, by how
//	iotreg_job_devices_total{op,result}        of those: "done" or "failed"
//	iotreg_job_duration_seconds{op}            from submission to end
type Engine struct {
	requests   *Counter
	durations  *Histogram
	inFlight   *Gauge
	steps      *Histogram
	devices    *Counter
	jobs       *Counter
	jobDevices *Counter
	jobTimes   *Histogram

	mu    sync.Mutex
	ended []string // jobs that ended last, oldest first
}

// Bounds of the histograms, in seconds.
func requestBounds() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
}

func jobBounds() []float64 { return []float64{0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600} }

// Registry declares the metrics of a registry. Two registries in one process have
// a Set each.
func (s *Set) Registry() (*Engine, error) {
	var e Engine
	var errs [8]error
	e.requests, errs[0] = s.Counter("iotreg_http_requests_total", "HTTP requests by route, method and status code.", "route", "method", "code")
	e.durations, errs[1] = s.Histogram("iotreg_http_request_duration_seconds", "Time until an HTTP request was answered.", requestBounds(), "route", "method")
	e.inFlight, errs[2] = s.Gauge("iotreg_http_requests_in_flight", "HTTP requests that are being answered.")
	e.steps, errs[3] = s.Histogram("iotreg_step_duration_seconds", "Time of the engine's inner steps.", requestBounds(), "step")
	e.devices, errs[4] = s.Counter("iotreg_step_devices_total", "Devices that went through the engine's inner steps.", "step")
	e.jobs, errs[5] = s.Counter("iotreg_jobs_total", "Jobs that ended.", "op", "state")
	e.jobDevices, errs[6] = s.Counter("iotreg_job_devices_total", "Devices of jobs that ended.", "op", "result")
	e.jobTimes, errs[7] = s.Histogram("iotreg_job_duration_seconds", "Time from a job's submission to its end.", jobBounds(), "op")
	return &e, errors.Join(errs[:]...)
}

// Trace is for [registry.Config.Trace].
func (e *Engine) Trace(step string, devices int, took time.Duration) {
	e.steps.Observe(took.Seconds(), step)
	e.devices.Add(float64(devices), step)
}

// OnJob is for [registry.Config.OnJob]. It counts a job once, when it has ended,
// although that may be told again.
func (e *Engine) OnJob(j registry.Job) {
	if j.State != registry.JobDone && j.State != registry.JobCancelled || !e.firstTime(j.ID) {
		return
	}
	op := string(j.Op)
	e.jobs.Add(1, op, string(j.State))
	e.jobDevices.Add(float64(j.Done-j.Failed), op, "done")
	e.jobDevices.Add(float64(j.Failed), op, "failed")
	if !j.Finished.IsZero() {
		e.jobTimes.Observe(max(0, j.Finished.Sub(j.Created).Seconds()), op)
	}
}

const rememberedJobs = 1024

func (e *Engine) firstTime(job string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.ended, job) {
		return false
	}
	if len(e.ended) >= rememberedJobs {
		e.ended = slices.Delete(e.ended, 0, 1)
	}
	e.ended = append(e.ended, job)
	return true
}

// Observe counts one request that was answered, by the pattern of http.ServeMux
// that it had, "" for none: for fronts that tell it, as web.Config.Observe does.
// What is counted so is not to be counted by Requests too.
func (e *Engine) Observe(pattern, httpMethod string, status int, took time.Duration) {
	route, method := route(pattern), method(httpMethod)
	e.requests.Add(1, route, method, code(status))
	e.durations.Observe(took.Seconds(), route, method)
}

// Requests counts what next answers. The route is the pattern by which an
// [http.ServeMux] in next has found its handler, such as "/v1/devices/{id}", which
// it leaves in the request; where there is none, it counts as "other". What stands
// between the two must hand on the same request: r.WithContext makes another one.
//
// Handlers that need more than a plain [http.ResponseWriter] reach it through
// [http.ResponseController].
func (e *Engine) Requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, answer := time.Now(), &answer{ResponseWriter: w}
		e.inFlight.Add(1)
		finished := false
		defer func() {
			e.inFlight.Add(-1)
			if !finished {
				answer.code = http.StatusInternalServerError // it panicked, net/http hangs up
			}
			e.Observe(r.Pattern, r.Method, answer.code, time.Since(begin))
		}()
		next.ServeHTTP(answer, r)
		finished = true
	})
}

// route is a pattern without its method.
func route(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = strings.TrimLeft(path, " \t")
	}
	if pattern == "" {
		return Other
	}
	return pattern
}

// method keeps clients from making up series.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return Other
}

func code(c int) string {
	if c == 0 {
		c = http.StatusOK
	}
	return strconv.Itoa(c)
}

// answer remembers the status code.
type answer struct {
	http.ResponseWriter
	code int
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader keeps the first code that is final; those below 200 only precede it.
func (a *answer) WriteHeader(c int) {
	if a.code == 0 && (c >= 200 || c == http.StatusSwitchingProtocols) {
		a.code = c
	}
	a.ResponseWriter.WriteHeader(c)
}

// Write is what sends the code 200 where no other was.
func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}
