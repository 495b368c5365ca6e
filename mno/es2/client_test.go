package es2_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnotest"
	"github.com/iotregistry/sdk/registry/eid"
)

var readAll = io.Copy

func TestOperatorOverMutualTLS(t *testing.T) {
	t.Parallel()
	mnotest.TestOperator(t, func(t *testing.T) mno.Operator {
		return dial(t, es2.NewHandler(engine(t), nil))
	})
}

func TestInputsArriveAsGiven(t *testing.T) {
	t.Parallel()
	b := &script{receipt: mno.Receipt{Device: id(t, "302220601105021"), ICCID: iccid, MatchingID: "AB-1", SMDPAddress: "smdp.example"}}
	c := dial(t, es2.NewHandler(b, nil))
	order := mno.Order{Device: id(t, "302220601105021"), ProfileID: 1 << 63, Sealed: []byte{0, 255, 7}, ProfileType: "iot", ICCID: iccid}
	got, err := c.DownloadOrder(t.Context(), order)
	require.NoError(t, err)
	require.Equal(t, iccid, got)

	confirm := es2.ConfirmOrder{ICCID: iccid, Device: order.Device, MatchingID: new("AB-1"), ConfirmationCode: "4711",
		SMDSAddress: "smds.example", Release: true}
	receipt, err := c.ConfirmOrder(t.Context(), confirm)
	require.NoError(t, err)
	require.Equal(t, b.receipt, receipt)

	cancel := es2.CancelOrder{ICCID: iccid, Device: order.Device, MatchingID: "AB-1", Final: mno.Available}
	require.NoError(t, c.CancelOrder(t.Context(), cancel))
	require.NoError(t, c.ReleaseProfile(t.Context(), iccid+"F"))
	require.Equal(t, []any{order, confirm, cancel, iccid}, b.got)

	ids := map[string]bool{}
	for _, call := range b.calls {
		require.Equal(t, c.Requester, call.Requester)
		ids[call.ID] = true
	}
	require.Len(t, ids, 4, "call identifiers are unique")
}

func TestMatchingIDIsThreeValued(t *testing.T) {
	t.Parallel()
	b := &script{receipt: mno.Receipt{MatchingID: "X"}}
	c := dial(t, es2.NewHandler(b, nil))
	for _, m := range []*string{nil, new(""), new("X")} {
		_, err := c.ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid, MatchingID: m})
		require.NoError(t, err)
		require.Equal(t, m, b.got[len(b.got)-1].(es2.ConfirmOrder).MatchingID)
	}
}

func TestRefusalsSurviveTheWire(t *testing.T) {
	t.Parallel()
	b := &script{}
	c := dial(t, es2.NewHandler(b, nil))
	functions := map[string]func() error{
		"DownloadOrder":  func() error { _, err := c.DownloadOrder(t.Context(), mno.Order{ProfileType: "iot"}); return err },
		"ConfirmOrder":   func() error { _, err := c.ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid}); return err },
		"CancelOrder":    func() error { return c.CancelOrder(t.Context(), es2.CancelOrder{ICCID: iccid, Final: mno.Available}) },
		"ReleaseProfile": func() error { return c.ReleaseProfile(t.Context(), iccid) },
	}
	// Every pair of section 1 of SGP.22's error lists, and some of our own.
	for _, pair := range []string{
		"8.2.1/1.2", "8.2.1/3.9", "8.2.1/3.3", "8.2.5/1.2", "8.2.5/3.9", "8.2.5/3.7", "8.2.5/3.8", "8.2.6/3.3",
		"8.1.1/2.2", "8.1.1/3.10", "8.9/5.1", "8.9/4.2", "8.2.1/3.10", "8.2.6/3.10", "8.2.1/3.5", "8.8.5/3.3", "8.8.5/3.8", "77/99",
	} {
		subject, reason, _ := strings.Cut(pair, "/")
		want := &mno.StatusError{Subject: subject, Reason: reason, Identifier: "id \"1\"", Message: "do this"}
		b.err = fmt.Errorf("inside: %w", want)
		for name, f := range functions {
			before := len(b.calls)
			err := f()
			var got *mno.StatusError
			require.ErrorAs(t, err, &got, "%s %s", name, pair)
			require.Equal(t, want, got)
			require.ErrorIs(t, err, &mno.StatusError{Subject: subject, Reason: reason})
			require.Len(t, b.calls, before+1, "a refusal is not retried")
		}
	}
}

func TestInsideErrorsStayInside(t *testing.T) {
	t.Parallel()
	b := &script{err: errors.New("password of the database is hunter2")}
	c := dial(t, es2.NewHandler(b, nil))
	err := c.ReleaseProfile(t.Context(), iccid)
	require.ErrorIs(t, err, &mno.StatusError{Subject: mno.SubjectSMDP, Reason: mno.ReasonExecution})
	require.NotContains(t, err.Error(), "hunter2")
	require.True(t, mno.Retryable(err))
}

// fake answers requests one after the other by the given handlers, the last one
// for ever, and counts them.
func fake(n *atomic.Int32, answers ...http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers[min(int(n.Add(1)), len(answers))-1](w, r)
	})
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
}

func body(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, s)
	}
}

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const executed = `{"header":{"functionExecutionStatus":{"status":"Executed-Success"}}}`

func TestTransportTroubleIsRetried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers  []http.HandlerFunc
		attempts int32
		status   int // of the final TransportError; 0: success
		retry    bool
	}{
		"500 then OK":       {[]http.HandlerFunc{status(500), body(executed)}, 2, 0, false},
		"dropped then OK":   {[]http.HandlerFunc{abort, abort, body(executed)}, 3, 0, false},
		"429, 408 then OK":  {[]http.HandlerFunc{status(429), status(408), body(executed)}, 3, 0, false},
		"503 for ever":      {[]http.HandlerFunc{status(503)}, 5, 503, true},
		"400 is final":      {[]http.HandlerFunc{status(400)}, 1, 400, false},
		"403 is final":      {[]http.HandlerFunc{status(403)}, 1, 403, false},
		"404 is final":      {[]http.HandlerFunc{status(404)}, 1, 404, false},
		"204 is no answer":  {[]http.HandlerFunc{status(204)}, 1, 204, false},
		"garbage is final":  {[]http.HandlerFunc{body("{")}, 1, 200, false},
		"no status":         {[]http.HandlerFunc{body("{}")}, 1, 200, false},
		"wrong type":        {[]http.HandlerFunc{body(`{"header":[]}`)}, 1, 200, false},
		"larger than bound": {[]http.HandlerFunc{body(`"` + strings.Repeat("x", es2.MaxBody) + `"`)}, 1, 200, false},
		"success, warning":  {[]http.HandlerFunc{body(strings.ReplaceAll(executed, "Success", "WithWarning"))}, 1, 0, false},
		"HTML with 200": {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, executed)
		}}, 1, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			err := dial(t, fake(&n, c.answers...)).ReleaseProfile(t.Context(), iccid)
			require.Equal(t, c.attempts, n.Load())
			if c.status == 0 {
				require.NoError(t, err)
				return
			}
			var te *es2.TransportError
			require.ErrorAs(t, err, &te)
			require.Equal(t, c.status, te.Status)
			require.Equal(t, c.retry, mno.Retryable(err), "%v", err)
			require.Contains(t, err.Error(), "es2: "+es2.PathReleaseProfile)
		})
	}
}

func TestRepeatsKeepTheirCallIdentifier(t *testing.T) {
	t.Parallel()
	b := &script{}
	real := es2.NewHandler(b, nil)
	var n atomic.Int32
	lost := func(w http.ResponseWriter, r *http.Request) { // carried out, answer lost
		real.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	c := dial(t, fake(&n, lost, real.ServeHTTP))
	require.NoError(t, c.ReleaseProfile(t.Context(), iccid))
	require.Len(t, b.calls, 2)
	require.Equal(t, b.calls[0], b.calls[1])
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := dial(t, fake(&n, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, body(executed)))
	start := time.Now()
	require.NoError(t, c.ReleaseProfile(t.Context(), iccid))
	require.Less(t, time.Since(start), time.Minute, "Retry.Max bounds what the peer asks for")
}

func TestContextEndsRetries(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c := dial(t, fake(&n, func(w http.ResponseWriter, r *http.Request) {
		status(503)(w, r)
		time.AfterFunc(20*time.Millisecond, stop) // when the client has the answer and waits
	}))
	c.Retry = es2.Retry{Attempts: 2, Min: time.Hour, Max: time.Hour}
	err := c.ReleaseProfile(ctx, iccid)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, mno.Retryable(err), "the caller's own end is not the peer's trouble")
	require.Equal(t, int32(1), n.Load())
}

func TestAnswersWithoutTheMandatoryMember(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := dial(t, fake(&n, body(executed)))
	_, err := c.DownloadOrder(t.Context(), mno.Order{ProfileType: "iot"})
	require.ErrorContains(t, err, "no iccid")
	_, err = c.ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid})
	require.ErrorContains(t, err, "no matchingId")
}

// An answer about another profile or another device is to another order.
func TestAnswersToOtherOrders(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	answer := func(members string) *es2.Client {
		return dial(t, fake(&n, body(strings.TrimSuffix(executed, "}")+members+"}")))
	}
	device := id(t, "89049032123451234512345678901235")
	for rule, call := range map[string]func() error{
		"another ICCID": func() error {
			_, err := answer(`,"iccid":"89000000000000001010"`).DownloadOrder(t.Context(), mno.Order{ICCID: iccid})
			return err
		},
		"another EID": func() error {
			_, err := answer(`,"matchingId":"A","eid":"89049032000000000000000000000023"`).ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid, Device: device})
			return err
		},
		"another device ID": func() error {
			_, err := answer(`,"matchingId":"A","iotDeviceId":"1000000000000002"`).ConfirmOrder(t.Context(),
				es2.ConfirmOrder{ICCID: iccid, Device: id(t, "1000000000000001")})
			return err
		},
		"another matching ID": func() error {
			_, err := answer(`,"matchingId":"A"`).ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid, MatchingID: new("B")})
			return err
		},
		"no matching ID": func() error {
			_, err := answer(`,"matchingId":"$"`).ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid})
			return err
		},
		"no EID": func() error {
			_, err := answer(`,"matchingId":"A","eid":"1"`).ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid})
			return err
		},
	} {
		var te *es2.TransportError
		require.ErrorAs(t, call(), &te, rule)
		require.False(t, te.Retryable(), rule)
	}
	r, err := answer(`,"matchingId":"A","eid":"`+device.String()+`"`).ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid, Device: id(t, "1000000000000001")})
	require.NoError(t, err, "an SM-DP+ may know the eUICC of a device that we call by another number")
	require.Equal(t, device, r.Device)
	got, err := answer(`,"iccid":"`+iccid+`F"`).DownloadOrder(t.Context(), mno.Order{ICCID: iccid})
	require.NoError(t, err)
	require.Equal(t, iccid, got)
}

func TestFailureWithoutCode(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	c := dial(t, fake(&n, body(`{"header":{"functionExecutionStatus":{"status":"Failed"}}}`),
		body(`{"header":{"functionExecutionStatus":{"status":"Expired"}}}`)))
	err := c.ReleaseProfile(t.Context(), iccid)
	require.ErrorIs(t, err, &mno.StatusError{Subject: mno.SubjectFunction, Reason: mno.ReasonRefused})
	err = c.ReleaseProfile(t.Context(), iccid)
	require.ErrorIs(t, err, &mno.StatusError{Subject: mno.SubjectFunction, Reason: mno.ReasonExpired})
	require.True(t, mno.Retryable(err))
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var n, away atomic.Int32
	elsewhere := dial(t, fake(&away, body(executed)))
	c := dial(t, fake(&n, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.BaseURL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	c.HTTP.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true // even then
	err := c.ReleaseProfile(t.Context(), iccid)
	require.ErrorContains(t, err, "307")
	require.Zero(t, away.Load())
}

func TestUntrustedPeers(t *testing.T) {
	t.Parallel()
	b := &script{}
	c := dial(t, es2.NewHandler(b, nil))
	config := c.HTTP.Transport.(*http.Transport).TLSClientConfig
	for name, cfg := range map[string]*tls.Config{
		"server of another CA":  mnotest.NewTLS(t).Client,
		"no client certificate": {RootCAs: config.RootCAs},
	} {
		tr := &http.Transport{TLSClientConfig: cfg}
		defer tr.CloseIdleConnections()
		other := *c
		other.HTTP = &http.Client{Transport: tr}
		err := other.ReleaseProfile(t.Context(), iccid)
		var te *es2.TransportError
		require.ErrorAs(t, err, &te, name)
		require.Zero(t, te.Status, name)
		// The server's alert may be outrun by its closing of the connection, our
		// own check cannot.
		require.False(t, config.RootCAs != cfg.RootCAs && mno.Retryable(err), "%s: %v", name, err)
	}
	require.Empty(t, b.calls)
}

func TestClientNeedsItsFields(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, (&es2.Client{}).ReleaseProfile(t.Context(), iccid), "set BaseURL and Requester")
	c := &es2.Client{BaseURL: "://", Requester: "r"}
	require.Error(t, c.ReleaseProfile(t.Context(), iccid))
	for _, bad := range []string{"", "12", "x"} {
		want := &mno.StatusError{Subject: mno.SubjectICCID, Reason: mno.ReasonInvalid}
		require.ErrorIs(t, c.ReleaseProfile(t.Context(), bad), want)
		require.ErrorIs(t, c.CancelOrder(t.Context(), es2.CancelOrder{ICCID: bad}), want)
		require.ErrorIs(t, c.HandleDownloadProgressInfo(t.Context(), mno.Progress{ICCID: bad}), want)
		_, err := c.ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: bad})
		require.ErrorIs(t, err, want)
	}
	c = &es2.Client{BaseURL: "https://127.0.0.1:1", Requester: "r", Rand: strings.NewReader("short")}
	require.ErrorContains(t, c.ReleaseProfile(t.Context(), iccid), "call identifier")
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	c := es2.ConfirmOrder{ICCID: iccid, ConfirmationCode: "hunter2"}
	text, err := json.Marshal(c)
	require.NoError(t, err)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q %x %d",
		c.ConfirmationCode, c.ConfirmationCode, c.ConfirmationCode, c.ConfirmationCode), string(text)} {
		require.NotContains(t, s, "hunter2")
		require.NotContains(t, s, fmt.Sprintf("%x", "hunter2"))
	}
}

func TestProgressGoesBack(t *testing.T) {
	t.Parallel()
	var got []mno.Progress
	var fail error
	c := dial(t, es2.NewProgressHandler(func(_ context.Context, p mno.Progress) error {
		got = append(got, p)
		return fail
	}, nil))
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	news := []mno.Progress{
		{Device: id(t, "89049032123451234512345678901235"), ICCID: iccid, ProfileType: "iot", ProfileID: 11, Time: at, Point: mno.PointDownload},
		{Device: id(t, "1000000000000001"), ICCID: iccid, ProfileType: "iot", ProfileID: 12, Time: at, Point: mno.PointInstall,
			Failure: &mno.StatusError{Subject: "8.2.10", Reason: "4.2", Message: "no memory"}, Result: []byte{0xBF, 0x37, 0}},
		{Device: eid.ID{}, ICCID: iccid, Time: at, Point: 101},
	}
	for _, p := range news {
		require.NoError(t, c.HandleDownloadProgressInfo(t.Context(), p))
	}
	require.Equal(t, news, got)

	got, fail = nil, mno.ErrUnknownICCID
	require.ErrorIs(t, c.HandleDownloadProgressInfo(t.Context(), news[0]), mno.ErrUnknownICCID)
	require.Len(t, got, 1, "a refusal is final")
	got, fail = nil, errors.New("disk full")
	err := c.HandleDownloadProgressInfo(t.Context(), news[0])
	require.True(t, mno.Retryable(err))
	require.NotContains(t, err.Error(), "disk full")
	require.Len(t, got, 5, "what was not taken is told again")
}
