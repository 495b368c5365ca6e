package web_test

import (
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

// Two bytes of a request must not become a kilobyte of answers two million times.
func TestOneCallTakesSoManyItems(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, body := range map[string]string{
		"/v1/activate": `{"devices":[` + strings.Repeat(`"1",`, 100_000) + `"1"]}`,
		"/v1/import":   `{"owner":"ottawa","rows":[` + strings.Repeat(`{},`, 100_000) + `{}]}`,
	} {
		res, text := b.raw(parko, http.MethodPost, name, body)
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode, "%s: %.200s", name, text)
		require.Equal(t, "too-large", problem(t, text).Kind)
	}
	res, text := b.raw(parko, http.MethodPost, "/v1/activate", `{"devices":[`+strings.Repeat(`"1",`, 999)+`"1"]}`)
	require.Equal(t, http.StatusOK, res.StatusCode, "%.200s", text)
}

// A device that is none takes five bytes of a list and a record of the store.
func TestEachItemOfAJobNamesADevice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, item := range []string{"{}", `{"device":""}`, `{"device":null}`} {
		res, text := b.raw(parko, http.MethodPost, "/v1/jobs", `{"op":"reset","items":[{"device":"1"},`+item+`]}`)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, text)
		require.Contains(t, problem(t, text).Detail, "item 2")
	}
}

// Who cannot submit a job must not keep others from doing so, and one that can must
// leave room for the others.
func TestListsAreForThoseWhoMayAndForEachInTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.MaxLists = 2 })
	for _, actor := range []registry.Actor{city, telco, maker, auditor} {
		res, text := b.raw(actor, http.MethodPost, "/v1/jobs?op=reset", "no list", "Content-Type", "text/csv")
		require.Equal(t, http.StatusForbidden, res.StatusCode, "before the list is read: %s", text)
	}
	end := b.uploading(parko)
	_, err := b.as(parko).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpReset}, strings.NewReader("Device ID\n1\n"))
	require.ErrorIs(t, err, web.ErrRate, "it has its share")
	_, err = b.as(carPark).SubmitCSV(t.Context(), registry.Batch{Op: registry.OpReset}, strings.NewReader("Device ID\n1\n"))
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, end())
}

func TestStreamsAreForEachInTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.MaxStreams = 2 })
	watch := func(actor registry.Actor) (first error) {
		j, err := b.as(actor).Submit(t.Context(), registry.Batch{Op: registry.OpReset}, rowsOf(registry.Row{ID: eid.MustParse("1")}))
		require.NoError(t, err)
		next, stop := iter.Pull2(b.as(actor).WatchJob(t.Context(), j.ID))
		t.Cleanup(stop)
		_, first, _ = next()
		return first
	}
	require.NoError(t, watch(parko))
	require.ErrorIs(t, watch(parko), web.ErrRate, "it has its share")
	require.NoError(t, watch(carPark))
}
