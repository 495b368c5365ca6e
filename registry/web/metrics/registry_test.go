package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web/metrics"
	"github.com/stretchr/testify/require"
)

func TestEngineHooks(t *testing.T) {
	t.Parallel()
	var s metrics.Set
	e, err := s.Registry()
	require.NoError(t, err)
	cfg := registry.Config{Trace: e.Trace, OnJob: e.OnJob} // they fit
	cfg.Trace("publish", 500, 20*time.Millisecond)
	cfg.Trace("publish", 100, 2*time.Second)
	begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	job := registry.Job{ID: "1", Batch: registry.Batch{Op: registry.OpActivate}, State: registry.JobRunning, Total: 10, Done: 4, Created: begin}
	cfg.OnJob(job)
	job.State, job.Done, job.Failed, job.Finished = registry.JobDone, 10, 2, begin.Add(30*time.Second)
	cfg.OnJob(job)
	cfg.OnJob(job) // told again
	job.ID, job.State = "2", registry.JobCancelled
	cfg.OnJob(job)

	v := values(t, &s)
	require.EqualValues(t, 600, v["iotreg_step_devices_total{step=publish}"])
	require.EqualValues(t, 1, v["iotreg_step_duration_seconds_bucket{le=0.025,step=publish}"])
	require.EqualValues(t, 2, v["iotreg_step_duration_seconds_count{step=publish}"])
	require.EqualValues(t, 1, v["iotreg_jobs_total{op=activate,state=done}"])
	require.EqualValues(t, 1, v["iotreg_jobs_total{op=activate,state=cancelled}"])
	require.EqualValues(t, 16, v["iotreg_job_devices_total{op=activate,result=done}"])
	require.EqualValues(t, 4, v["iotreg_job_devices_total{op=activate,result=failed}"])
	require.EqualValues(t, 60, v["iotreg_job_duration_seconds_sum{op=activate}"])

	_, err = s.Registry()
	require.NoError(t, err, "twice is the same metrics")
}

func TestOnJobForgetsOldJobs(t *testing.T) {
	t.Parallel()
	var s metrics.Set
	e, err := s.Registry()
	require.NoError(t, err)
	for i := range 3000 {
		job := registry.Job{ID: fmt.Sprint(i), State: registry.JobDone}
		e.OnJob(job)
		e.OnJob(job)
	}
	require.EqualValues(t, 3000, values(t, &s)["iotreg_jobs_total{op=,state=done}"])
}

func TestRequests(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/devices/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/late/", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		require.NoError(t, http.NewResponseController(w).Flush(), "the rest of the writer can be reached")
	})
	mux.HandleFunc("GET /silent", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /hangup", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, c := range []struct {
		rule, method, path, want string
	}{
		{"the pattern, not the path", "GET", "/v1/devices/1", "code=200,method=GET,route=/v1/devices/{id}"},
		{"HEAD is a method of its own", "HEAD", "/v1/devices/1", "code=200,method=HEAD,route=/v1/devices/{id}"},
		{"the final code", "POST", "/late/x", "code=418,method=POST,route=/late/"},
		{"nothing written is 200", "GET", "/silent", "code=200,method=GET,route=/silent"},
		{"a panic is 500", "GET", "/hangup", "code=500,method=GET,route=/hangup"},
		{"no route", "GET", "/wp-admin.php", "code=404,method=GET,route=other"},
		{"a method that somebody made up", "BREW", "/late/x", "code=418,method=other,route=/late/"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			var s metrics.Set
			e, err := s.Registry()
			require.NoError(t, err)
			call := func() { e.Requests(mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(c.method, c.path, nil)) }
			if strings.Contains(c.want, "500") {
				require.PanicsWithValue(t, http.ErrAbortHandler, call)
			} else {
				call()
			}
			v := values(t, &s)
			require.EqualValues(t, 1, v["iotreg_http_requests_total{"+c.want+"}"], "%v", v)
			require.EqualValues(t, 1, v["iotreg_http_request_duration_seconds_count{"+strings.SplitN(c.want, ",", 2)[1]+"}"])
			require.Zero(t, v["iotreg_http_requests_in_flight"])
		})
	}
}

func ExampleEngine() {
	var set metrics.Set
	engine, err := set.Registry()
	if err != nil {
		fmt.Println(err)
		return
	}
	// registry.New(registry.Config{Trace: engine.Trace, OnJob: engine.OnJob, ...})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/devices/{id}", func(http.ResponseWriter, *http.Request) {})
	front := engine.Requests(mux)
	front.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/devices/1000000000000001", nil))

	var text strings.Builder
	_, _ = set.WriteTo(&text)
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "iotreg_http_requests_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// iotreg_http_requests_total{route="/v1/devices/{id}",method="GET",code="200"} 1
}

// TestObserve: what a front tells counts like what Requests sees.
func TestObserve(t *testing.T) {
	t.Parallel()
	var s metrics.Set
	e, err := s.Registry()
	require.NoError(t, err)
	e.Observe("GET /v1/devices/{id}", "GET", 200, 20*time.Millisecond)
	e.Observe("", "FROB", 404, 0)
	v := values(t, &s)
	require.EqualValues(t, 1, v["iotreg_http_requests_total{code=200,method=GET,route=/v1/devices/{id}}"])
	require.EqualValues(t, 1, v["iotreg_http_requests_total{code=404,method=other,route=other}"])
	require.EqualValues(t, 1, v["iotreg_http_request_duration_seconds_bucket{le=0.025,method=GET,route=/v1/devices/{id}}"])
}
