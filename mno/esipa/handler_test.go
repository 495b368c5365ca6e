package esipa_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/esipa"
)

// call is one function as a client makes it.
type call struct {
	name string
	do   func(ctx context.Context, c *esipa.Client, m *messages) (any, error)
	sent func(m *messages) any // what the back end is to get
	want func(m *messages) any // what is to come of it
}

var calls = []call{
	{
		"get", func(ctx context.Context, c *esipa.Client, _ *messages) (any, error) {
			return c.GetEIMPackage(ctx, aPoll())
		},
		func(*messages) any { return aPoll() }, func(m *messages) any { return m.pkg },
	},
	{
		"provide", func(ctx context.Context, c *esipa.Client, m *messages) (any, error) {
			return c.ProvideEIMPackageResult(ctx, m.result)
		},
		func(m *messages) any { return m.result }, func(m *messages) any { return m.numbers },
	},
	{
		"initiate", func(ctx context.Context, c *esipa.Client, m *messages) (any, error) {
			return c.InitiateAuthentication(ctx, m.initiate)
		},
		func(m *messages) any { return m.initiate }, func(m *messages) any { return m.authentication },
	},
	{
		"authenticate", func(ctx context.Context, c *esipa.Client, m *messages) (any, error) {
			return c.AuthenticateClient(ctx, m.authenticate)
		},
		func(m *messages) any { return m.authenticate }, func(m *messages) any { return m.offer },
	},
	{
		"package", func(ctx context.Context, c *esipa.Client, m *messages) (any, error) {
			return c.GetBoundProfilePackage(ctx, m.get)
		},
		func(m *messages) any { return m.get }, func(m *messages) any { return m.bound },
	},
	{
		"cancel", func(ctx context.Context, c *esipa.Client, m *messages) (any, error) {
			return nil, c.CancelSession(ctx, m.cancel)
		},
		func(m *messages) any { return m.cancel }, func(*messages) any { return nil },
	},
	{
		"notify", func(ctx context.Context, c *esipa.Client, m *messages) (any, error) {
			return nil, c.HandleNotification(ctx, m.installed)
		},
		func(m *messages) any { return m.installed }, func(*messages) any { return nil },
	},
}

func aPoll() esipa.Poll { return esipa.Poll{EID: rsptest.EID, StateChanged: true, Cause: ptr(4)} }

// plain turns named byte slices into plain ones, for comparison.
func plain(v any) any {
	switch v := v.(type) {
	case rsp.TransactionID:
		return []byte(v)
	default:
		return v
	}
}

func handler(b *backend) http.Handler { return esipa.NewHandler(b, &esipa.Options{Relay: b}) }

// Everything arrives as it was sent, over TLS.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, x := range calls {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			b := &backend{m: newMessages(t)}
			got, err := x.do(t.Context(), dialHandler(t, handler(b)), b.m)
			require.NoError(t, err)
			require.Equal(t, []string{x.name}, b.calls)
			require.EqualValues(t, plain(x.sent(b.m)), plain(b.got[0]))
			require.EqualValues(t, plain(x.want(b.m)), plain(got))
		})
	}
}

func TestNothingToAcknowledge(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	b.m.numbers = nil
	c := dialHandler(t, handler(b))
	numbers, err := c.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: b.m.result.Object})
	require.NoError(t, err)
	require.Empty(t, numbers)
	require.Empty(t, b.got[0].(esipa.Result).EID, "the device need not tell")
	require.NoError(t, c.HandleNotification(t.Context(), b.m.deleted))
	require.Equal(t, b.m.deleted, b.got[1])
}

// The codes that refusals have on the wire, and what becomes of them at the other
// end.
func TestRefusals(t *testing.T) {
	t.Parallel()
	inside := errors.New("inside secret")
	status := func(subject, reason string) error {
		return &mno.StatusError{Subject: subject, Reason: reason, Message: "inside secret"}
	}
	undefined := status("8", "4.2")
	for _, c := range []struct {
		call      string
		err, want error
		wire      string
	}{
		{"get", esipa.ErrNoPackage, esipa.ErrNoPackage, "bf4f03020101"},
		{"get", esipa.ErrUnknownEID, esipa.ErrUnknownEID, "bf4f03020102"},
		{"get", esipa.ErrInvalidEID, esipa.ErrInvalidEID, "bf4f03020103"},
		{"get", inside, undefined, "bf4f0302017f"},
		{"provide", esipa.ErrUnknownEID, esipa.ErrUnknownEID, "bf5003020102"},
		{"provide", esipa.ErrInvalidEID, esipa.ErrInvalidEID, "bf5003020103"},
		{"provide", esipa.ErrNoPackage, undefined, "bf500302017f"},
		{"provide", inside, undefined, "bf500302017f"},
		{"initiate", status("8.8.1", "3.8"), status("8.8.1", "3.8"), "bf3903810101"},
		{"initiate", status("8.8.3", "3.1"), status("8.8.3", "3.1"), "bf3903810102"},
		{"initiate", status("8.8.2", "3.1"), status("8.8.2", "3.1"), "bf3903810103"},
		{"initiate", status("8.8.4", "3.7"), status("8.8.2", "3.1"), "bf3903810103"},
		{"initiate", status("8.8.1", "3.10"), status("8.8.1", "3.10"), "bf3903810132"},
		{"initiate", inside, undefined, "bf390381017f"},
		{"authenticate", status("8.2.6", "3.8"), status("8.2.6", "3.8"), "bf3b03820106"},
		{"authenticate", status("8.8.5", "4.10"), status("8.8.5", "4.10"), "bf3b03820112"},
		{"authenticate", status("8.10.1", "3.9"), status("8.10.1", "3.9"), "bf3b0382010a"},
		{"authenticate", status("9.9", "9.9"), undefined, "bf3b0382017f"},
		{"authenticate", inside, undefined, "bf3b0382017f"},
		{"package", status("8.2.7", "2.2"), status("8.2.7", "2.2"), "bf3a03810102"},
		{"package", status("8.2.7", "3.8"), status("8.2.7", "3.8"), "bf3a03810103"},
		{"package", status("8.2.7", "6.4"), status("8.2.7", "6.4"), "bf3a03810104"},
		{"package", status("8.10.1", "3.9"), status("8.10.1", "3.9"), "bf3a0381015f"},
		{"package", inside, undefined, "bf3a0381017f"},
		{"cancel", status("8.10.1", "3.9"), status("8.10.1", "3.9"), "bf4103810101"},
		{"cancel", status("8.1", "6.1"), status("8.1", "6.1"), "bf4103810102"},
		{"cancel", inside, undefined, "bf410381017f"},
	} {
		b := &backend{m: newMessages(t), fail: always(c.err)}
		var log bytes.Buffer
		h := &tap{Handler: esipa.NewHandler(b, &esipa.Options{Relay: b, Log: slog.New(slog.NewTextHandler(&log, nil))})}
		client := inMemory(h)
		_, err := callNamed(c.call).do(t.Context(), client, b.m)
		require.ErrorIs(t, err, c.want, "%s: %v", c.call, c.err)
		require.NotContains(t, err.Error(), "secret")
		require.Equal(t, c.wire, hex.EncodeToString(h.answer), "%s: %v", c.call, c.err)
		require.Equal(t, errors.Is(c.err, inside) || c.call == "provide" && errors.Is(c.err, esipa.ErrNoPackage), log.Len() > 0, "%s: %v", c.call, c.err)
		require.Len(t, b.calls, 1, "a refusal is not repeated")
	}
}

func callNamed(name string) call {
	for _, x := range calls {
		if x.name == name {
			return x
		}
	}
	panic(name)
}

// tap remembers the last answer.
type tap struct {
	http.Handler
	answer []byte
}

func (h *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	h.Handler.ServeHTTP(rec, r)
	h.answer = rec.Body.Bytes()
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(h.answer)
}

// direct is a RoundTripper into a handler, without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func inMemory(h http.Handler) *esipa.Client {
	return &esipa.Client{BaseURL: "https://eim.example", HTTP: &http.Client{Transport: direct{h}}, Retry: fast()}
}

// An eIM without a relay says so in the words of each function.
func TestNoRelay(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	b := &backend{m: m}
	c := inMemory(esipa.NewHandler(b, nil))
	want := map[string]string{"initiate": "8.8.1/3.8", "authenticate": "8.10.1/3.9", "package": "8.10.1/3.9", "cancel": "8.10.1/3.9"}
	for name, code := range want {
		_, err := callNamed(name).do(t.Context(), c, m)
		var se *mno.StatusError
		require.ErrorAs(t, err, &se, name)
		require.Equal(t, code, se.Subject+"/"+se.Reason, name)
	}
	err := c.HandleNotification(t.Context(), m.installed)
	var te *esipa.TransportError
	require.ErrorAs(t, err, &te)
	require.Equal(t, http.StatusNotImplemented, te.Status)
	require.False(t, te.Retryable())
	require.Empty(t, b.calls)
}

func TestNotificationsNotTaken(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	provide := "\xbf\x3d" + short(encode(t, provided(t, m.result.Object)))
	for _, c := range []struct {
		rule, body string
		err        error
		code       int
	}{
		{"SM-DP+ is away", "\xbf\x3d" + short([]byte("\xa0"+short(m.deleted))), errors.New("inside secret"), http.StatusServiceUnavailable},
		{"result is taken", provide, nil, http.StatusNoContent},
		{"eIM is away", provide, errors.New("inside secret"), http.StatusServiceUnavailable},
		{"eIM does not know the eUICC", provide, esipa.ErrUnknownEID, http.StatusBadRequest},
		{"version 1.0 without the inner tag", "\xbf\x3d" + short(m.deleted), nil, http.StatusNoContent},
		{"no notification", "\xbf\x3d\x03\xa0\x01\x00", nil, http.StatusBadRequest},
	} {
		b := &backend{m: m, fail: always(c.err)}
		w := post(t, handler(b), c.body)
		require.Equal(t, c.code, w.Code, c.rule)
		require.NotContains(t, w.Body.String(), "secret", c.rule)
	}
}

func provided(t testing.TB, object []byte) rsp.Message {
	r, err := rsp.Decode[rsp.EUICCPackageResult](object)
	require.NoError(t, err)
	return &rsp.ProvideEIMPackageResult{Result: rsp.EIMPackageResult{Package: r}}
}

// short is length and content.
func short(b []byte) string { return string(bertlv.Append(nil, 0x30, b)[1:]) }

// post sends a body as another implementation would.
func post(t testing.TB, h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, esipa.PathASN1, bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", esipa.TypeASN1)
	r.Header.Set("X-Admin-Protocol", "gsma/rsp/v2.1.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t), fail: always(esipa.ErrNoPackage)}
	h := handler(b)
	poll := "\xbf\x4f\x12\x5a\x10\x89\x04\x90\x32\x12\x34\x51\x23\x45\x12\x34\x56\x78\x90\x12\x35"
	for _, c := range []struct {
		rule, body string
		header     []string
		code       int
		answer     string // in hexadecimal
	}{
		{"as written by hand", poll, nil, 200, "bf4f03020101"},
		{"with a charset", poll, []string{"Content-Type", esipa.TypeASN1 + "; charset=binary"}, 200, "bf4f03020101"},
		{"version 3", poll, []string{"X-Admin-Protocol", "gsma/rsp/v3.0.0"}, 200, "bf4f03020101"},
		{"no EID", "\xbf\x4f\x00", nil, 200, "bf4f03020104"},
		{"EID with letters", "\xbf\x4f\x12\x5a\x10" + string(fill(0xAB, 16)), nil, 200, "bf4f03020103"},
		{"EID that is short", "\xbf\x4f\x03\x5a\x01\x12", nil, 200, "bf4f03020103"},
		{"result of an EID with letters", "\xbf\x50\x17\x5a\x10" + string(fill(0xAB, 16)) + "\xa0\x03\x02\x01\x01", nil, 200, "bf5003020103"},
		{"no result", "\xbf\x50\x12" + poll[3:], nil, 400, ""},
		{"version of SGP.32", poll, []string{"X-Admin-Protocol", "gsma/rsp/v1.2.0"}, 200, "bf4f03020101"},
		{"version 4", poll, []string{"X-Admin-Protocol", "gsma/rsp/v4.0.0"}, 400, ""},
		{"no version", poll, []string{"X-Admin-Protocol", ""}, 400, ""},
		{"JSON", poll, []string{"Content-Type", "application/json"}, 415, ""},
		{"nothing", "", nil, 400, ""},
		{"more than one object", poll + poll, nil, 400, ""},
		{"wrapper of ES9+", "\xa2" + short([]byte(poll)), nil, 400, ""},
		{"a function of the eIM", "\xbf\x4e\x00", nil, 400, ""},
		{"no SM-DP+", "\xbf\x39\x12\x81\x10" + string(fill(1, 16)), nil, 200, "bf3903810101"},
		{"session without an answer", "\xbf\x41\x03\x80\x01\x01", nil, 400, ""},
		{"too much", string(fill(0x30, esipa.MaxRequest+1)), nil, 413, ""},
	} {
		w := post(t, h, c.body, c.header...)
		require.Equal(t, c.code, w.Code, "%s: %s", c.rule, w.Body)
		require.Equal(t, esipa.Version, w.Header().Get("X-Admin-Protocol"), c.rule)
		if c.code == 200 {
			require.Equal(t, c.answer, hex.EncodeToString(w.Body.Bytes()), c.rule)
			require.Equal(t, esipa.TypeASN1, w.Header().Get("Content-Type"), c.rule)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, esipa.PathASN1, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/other", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}

// What an eIM gives out by mistake reaches no device.
func TestOddPackages(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"", "x", "\x02\x01\x01", "\xbf\x51"} {
		b := &backend{m: newMessages(t)}
		b.m.pkg = []byte(odd)
		_, err := inMemory(handler(b)).GetEIMPackage(t.Context(), aPoll())
		require.ErrorIs(t, err, &mno.StatusError{Subject: "8", Reason: "4.2"}, "%x", odd)
	}
	b := &backend{m: newMessages(t)}
	b.m.numbers = []int64{-1}
	_, err := inMemory(handler(b)).ProvideEIMPackageResult(t.Context(), b.m.result)
	require.ErrorIs(t, err, &mno.StatusError{Subject: "8", Reason: "4.2"})
	b.m.numbers = make([]int64, 300)
	numbers, err := inMemory(handler(b)).ProvideEIMPackageResult(t.Context(), b.m.result)
	require.NoError(t, err)
	require.Len(t, numbers, rsp.MaxNotifications)
}
