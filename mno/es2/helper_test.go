package es2_test

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

const iccid = "8944476500001224158"

func id(t testing.TB, s string) eid.ID { return mnotest.ID(t, s) }

// script is a back end that answers what it is told to and remembers the calls.
type script struct {
	mu      sync.Mutex
	err     error
	receipt mno.Receipt
	calls   []es2.Call
	got     []any
}

func (s *script) note(call es2.Call, v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.got = append(s.calls, call), append(s.got, v)
	return s.err
}

func (s *script) DownloadOrder(_ context.Context, call es2.Call, o mno.Order) (string, error) {
	return cmp.Or(o.ICCID, iccid), s.note(call, o)
}

func (s *script) ConfirmOrder(_ context.Context, call es2.Call, c es2.ConfirmOrder) (mno.Receipt, error) {
	r := s.receipt
	if r.Device.IsZero() {
		r.Device = c.Device
	}
	if r.MatchingID == "" && c.MatchingID != nil {
		r.MatchingID = *c.MatchingID
	}
	return r, s.note(call, c)
}

func (s *script) CancelOrder(_ context.Context, call es2.Call, c es2.CancelOrder) error {
	return s.note(call, c)
}

func (s *script) ReleaseProfile(_ context.Context, call es2.Call, iccid string) error {
	return s.note(call, iccid)
}

// dial serves h with mutual TLS and returns a client for it that retries fast.
func dial(t testing.TB, h http.Handler) *es2.Client {
	x := mnotest.NewTLS(t)
	return &es2.Client{BaseURL: x.Serve(t, h), HTTP: x.HTTP(t), Requester: "1.3.6.1.4.1.99999.1",
		Retry: es2.Retry{Min: time.Microsecond, Max: time.Millisecond}}
}

func engine(t testing.TB) *smdp.Engine {
	e, err := smdp.New(smdp.Config{Address: "smdp.example"})
	require.NoError(t, err)
	return e
}

// post sends a body as another implementation would and returns the response
// with its body.
func post(t testing.TB, c *es2.Client, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.BaseURL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json;charset=UTF-8")
	r.Header.Set("X-Admin-Protocol", "gsma/rsp/v2.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.HTTP.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	var b strings.Builder
	_, err = readAll(&b, res.Body)
	require.NoError(t, err)
	return res, b.String()
}
