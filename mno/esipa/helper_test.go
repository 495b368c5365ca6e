package esipa_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

const address = "smdp.example"

func ptr[T any](v T) *T { return &v }

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func encode(t testing.TB, m rsp.Message) []byte {
	t.Helper()
	b, err := rsp.Encode(m)
	require.NoError(t, err)
	return b
}

// find returns an object within b.
func find(t testing.TB, b []byte, tags ...bertlv.Tag) []byte {
	t.Helper()
	x, err := bertlv.Parse(b)
	require.NoError(t, err)
	x, err = x.Find(tags...)
	require.NoError(t, err)
	return x.Raw
}

// serve serves h with TLS.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func fast() es9.Retry { return es9.Retry{Min: time.Microsecond, Max: time.Millisecond} }

// dialHandler serves h and returns a client for it that retries fast.
func dialHandler(t testing.TB, h http.Handler) *esipa.Client {
	s := serve(t, h)
	return &esipa.Client{BaseURL: s.URL + "/", HTTP: s.Client(), Retry: fast()}
}

func dialES9(t testing.TB, h http.Handler) *es9.Client {
	s := serve(t, h)
	return &es9.Client{BaseURL: s.URL, HTTP: s.Client(), Retry: fast()}
}
