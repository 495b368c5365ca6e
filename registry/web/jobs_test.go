package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

func TestAJobFromAList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.claim(1, 5)
	list := "Device ID,Model,Version\n"
	for _, r := range rows {
		list += r.ID.String() + ",Meter,1.0\n"
	}
	list += "77,Meter,1.0\n" // nobody vouches for it
	j, err := b.as(parko).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpImport, Owner: city.Account, MNO: telco.Account}, strings.NewReader(list))
	require.NoError(t, err)
	require.Equal(t, registry.JobRunning, j.State)
	require.Equal(t, 6, j.Total)
	require.Equal(t, city.Account, j.Owner)

	for range b.as(parko).JobResults(t.Context(), j.ID, 0) {
		t.Fatal("nothing is done yet")
	}
	b.work()
	var lines []int
	for res, err := range b.as(parko).JobResults(t.Context(), j.ID, 2) {
		require.NoError(t, err)
		if lines = append(lines, res.Line); res.Line == 7 {
			require.ErrorIs(t, res.Err, registry.ErrNoKey)
			continue
		}
		require.NoError(t, res.Err)
	}
	require.Equal(t, []int{4, 5, 6, 7}, lines)
	_, text := b.raw(parko, http.MethodGet, "/v1/jobs/"+j.ID+"/results?from=1&limit=2", "")
	require.Contains(t, text, `"next":3`)

	_, err = b.as(carPark).Job(t.Context(), j.ID)
	require.ErrorIs(t, err, registry.ErrNoJob)
}

func TestJobsOfTheOtherOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(3)
	codes, err := b.as(city).IssueCodes(t.Context(), ids...)
	require.NoError(t, err)
	list := "Device ID,Authorization Code\n"
	for _, c := range codes {
		list += c.Device.String() + "," + c.Code.Reveal() + "\n"
	}
	moved, err := b.as(carPark).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpTransfer, Atomic: true}, strings.NewReader(list))
	require.NoError(t, err)
	require.True(t, moved.Atomic)
	b.work()
	for res, err := range b.as(carPark).JobResults(t.Context(), moved.ID, 0) {
		require.NoError(t, err)
		require.NoError(t, res.Err)
	}
	rows := []registry.Row{{Line: 2, ID: ids[0]}, {Line: 3, ID: ids[1]}}
	dry, err := b.as(carPark).Submit(t.Context(), registry.Batch{Op: registry.OpReset, DryRun: true}, rowsOf(rows...))
	require.NoError(t, err)
	b.work()
	dry, err = b.as(carPark).Job(t.Context(), dry.ID)
	require.NoError(t, err)
	require.Equal(t, registry.JobDone, dry.State)
	require.True(t, dry.DryRun)
}

func TestOneWrongRowRefusesTheList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.active(1)
	_, err := b.as(parko).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpReset}, strings.NewReader("Device ID\n1000000000000001\nx\n1E+15\n"))
	require.ErrorIs(t, err, registry.ErrInvalid)
	var p *web.Problem
	require.ErrorAs(t, err, &p)
	require.Len(t, p.Rows, 2)
	require.Equal(t, 3, p.Rows[0].Line)
	require.Equal(t, "Device ID", p.Rows[0].Column)
	require.Contains(t, p.Rows[1].Detail, "spreadsheet")
	require.Contains(t, err.Error(), "line 3")
	for range b.as(parko).Jobs(t.Context()) {
		t.Fatal("nothing was submitted")
	}

	_, err = b.as(carPark).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpTransfer},
		strings.NewReader("Device ID,Authorization Code\n"+strings.Repeat("1,SECRETSECRET\n", 1500)))
	require.ErrorAs(t, err, &p)
	require.Len(t, p.Rows, 1000, "bounded")
	require.NotContains(t, err.Error(), "SECRET")
}

func TestALongItemIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := `{"op":"activate","items":[{"device":"1","model":"` + strings.Repeat("x", 1<<20) + `"}]}`
	res, text := b.raw(parko, http.MethodPost, "/v1/jobs", body)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, problem(t, text).Detail, "too long")
	many := `{"op":"activate","items":[` + strings.Repeat(`{"device":"1","model":"`+strings.Repeat("x", 10<<10)+`"},`, 100) + `{"device":"1"}]}`
	res, text = b.raw(parko, http.MethodPost, "/v1/jobs", many)
	require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	require.Regexp(t, "^/v1/jobs/", res.Header.Get("Location"))
}

// uploading has an account begin to submit a list that is being read until the
// result is called, which returns the status.
func (b *bench) uploading(a registry.Actor) (end func() int) {
	list, more := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, b.front.URL+"/v1/jobs?op=reset", list)
	require.NoError(b.t, err)
	r.Header.Set("Authorization", "Bearer "+string(b.tokens[a.Account]))
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Expect", "100-continue") // the list is sent once it is being read
	tr := b.front.Client().Transport.(*http.Transport).Clone()
	tr.ExpectContinueTimeout = time.Minute
	b.t.Cleanup(tr.CloseIdleConnections)
	done := make(chan int, 1)
	go func() {
		res, err := (&http.Client{Transport: tr}).Do(r)
		if err != nil {
			_ = list.CloseWithError(err)
			done <- 0
			return
		}
		res.Body.Close()
		done <- res.StatusCode
	}()
	_, err = more.Write([]byte("Device ID\n"))
	require.NoError(b.t, err)
	return func() int {
		_, err := more.Write([]byte("1\n"))
		require.NoError(b.t, err)
		require.NoError(b.t, more.Close())
		return <-done
	}
}

func TestListsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.MaxLists = 1 })
	end := b.uploading(parko)
	_, err := b.as(parko).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpReset}, strings.NewReader("Device ID\n1\n"))
	require.ErrorIs(t, err, web.ErrRate)
	require.Equal(t, http.StatusAccepted, end())
}

func TestWatchingAJob(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bench, *web.Config){
		"by polling":                         func(_ *bench, c *web.Config) { c.Poll = time.Millisecond },
		"over connections that end early":    func(_ *bench, c *web.Config) { c.Poll, c.Watch = time.Millisecond, 2*time.Millisecond },
		"with heartbeats":                    func(_ *bench, c *web.Config) { c.Poll, c.Heartbeat = 5*time.Millisecond, time.Millisecond },
		"by being woken, with no time to do": func(_ *bench, c *web.Config) { c.Poll = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, change)
			ids := b.active(4)
			j, err := b.as(parko).Submit(t.Context(), registry.Batch{Op: registry.OpReset}, rowsOf(registry.Row{ID: ids[0]}, registry.Row{ID: ids[1]}, registry.Row{ID: ids[2]}))
			require.NoError(t, err)
			b.reg.OnJob = b.srv.JobChanged
			var states []string
			for j, err := range b.as(parko).WatchJob(t.Context(), j.ID) {
				require.NoError(t, err)
				if states = append(states, fmt.Sprint(j.State, " ", j.Done)); len(states) == 1 {
					b.work()
				}
			}
			require.Equal(t, "running 0", states[0])
			require.Equal(t, "done 3", states[len(states)-1])
		})
	}
}

func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.MaxStreams, c.Heartbeat = 1, time.Millisecond })
	ids := b.active(1)
	j, err := b.as(parko).Submit(t.Context(), registry.Batch{Op: registry.OpReset}, rowsOf(registry.Row{ID: ids[0]}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.front.URL+"/v1/jobs/"+j.ID+"/events", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+string(b.tokens[parko.Account]))
	res, err := b.front.Client().Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	lines := bufio.NewScanner(res.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "event: job", lines.Text())
	for beat := false; !beat; beat = strings.HasPrefix(lines.Text(), ":") {
		require.True(t, lines.Scan())
	}
	for _, err := range b.as(parko).WatchJob(t.Context(), j.ID) {
		require.ErrorIs(t, err, web.ErrRate, "no stream is left")
	}
	cancelled, err := b.as(parko).CancelJob(t.Context(), j.ID)
	require.NoError(t, err)
	require.Equal(t, registry.JobCancelled, cancelled.State)
	for lines.Scan() { // and the stream ends
	}
	require.NoError(t, lines.Err())
	for j, err := range b.as(parko).WatchJob(t.Context(), j.ID) {
		require.NoError(t, err)
		require.Equal(t, registry.JobCancelled, j.State)
	}
}

func TestLeavingAWatchedJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(1)
	j, err := b.as(parko).Submit(t.Context(), registry.Batch{Op: registry.OpReset}, rowsOf(registry.Row{ID: ids[0]}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range b.as(parko).WatchJob(ctx, j.ID) {
		last = err
		cancel()
	}
	require.ErrorIs(t, last, context.Canceled)
	for range b.as(parko).WatchJob(t.Context(), j.ID) {
		break
	}
	for _, err := range b.as(parko).WatchJob(t.Context(), "odd") {
		require.ErrorIs(t, err, registry.ErrNoJob)
	}
}
