package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
