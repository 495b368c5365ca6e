package esipa_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

// failing answers the first calls with a status, or by cutting the connection,
// and passes on the rest.
type failing struct {
	http.Handler
	first  int
	status int // 0: the connection is cut once the call was carried out
	calls  int
}

func (f *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls++
	switch {
	case f.calls > f.first:
		f.Handler.ServeHTTP(w, r)
	case f.status != 0:
		w.WriteHeader(f.status)
	default:
		f.Handler.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for _, x := range calls {
		for _, c := range []struct {
			rule   string
			status int
			again  bool
		}{
			{"the answer is lost", 0, x.name != "authenticate"},
			{"the eIM is busy", http.StatusServiceUnavailable, x.name != "authenticate"},
			{"too many calls", http.StatusTooManyRequests, x.name != "authenticate"},
			{"no such call", http.StatusNotFound, false},
			{"not implemented", http.StatusNotImplemented, false},
		} {
			b := &backend{m: newMessages(t)}
			f := &failing{Handler: handler(b), first: 2, status: c.status}
			_, err := x.do(t.Context(), dialHandler(t, f), b.m)
			if c.again {
				require.NoError(t, err, "%s: %s", x.name, c.rule)
				require.Equal(t, 3, f.calls, "%s: %s", x.name, c.rule)
				continue
			}
			var te *esipa.TransportError
			require.ErrorAs(t, err, &te, "%s: %s", x.name, c.rule)
			require.Equal(t, c.status, te.Status)
			require.False(t, te.Retryable())
			require.Equal(t, 1, f.calls, "%s: %s", x.name, c.rule)
			var lost *es9.TransportError
			require.ErrorAs(t, err, &lost, "what an LPA takes for a lost SM-DP+")
			require.Equal(t, c.status, lost.Status)
			require.ErrorContains(t, err, "esipa: ")
		}
	}
}

func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	f := &failing{Handler: handler(b), first: 100, status: 500}
	c := dialHandler(t, f)
	c.Retry.Attempts = 3
	_, err := c.GetEIMPackage(t.Context(), aPoll())
	require.True(t, mno.Retryable(err))
	require.Equal(t, 3, f.calls)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.GetEIMPackage(ctx, aPoll())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, (&esipa.Client{}).HandleNotification(t.Context(), b.m.deleted), "BaseURL")
	_, err = c.GetEIMPackage(t.Context(), esipa.Poll{EID: "12"})
	require.ErrorIs(t, err, rsp.ErrFormat)
	_, err = c.ProvideEIMPackageResult(t.Context(), esipa.Result{EID: "12"})
	require.ErrorIs(t, err, rsp.ErrFormat)
	require.ErrorIs(t, c.CancelSession(t.Context(), es9.CancelSession{}), rsp.ErrFormat)
	_, err = c.ProvideEIMPackageResult(t.Context(), esipa.Result{Object: bertlv.Append(nil, 0xBF52, make([]byte, esipa.MaxRequest))})
	require.ErrorContains(t, err, "larger than")
	require.Equal(t, 3, f.calls, "none of these was sent")
}

// answers is an eIM that says one thing.
func answers(body, mediaType string, status int) *esipa.Client {
	return inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if mediaType != "" {
			w.Header().Set("Content-Type", mediaType)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	for _, x := range calls[:6] {
		for _, c := range []struct{ rule, body, mediaType string }{
			{"nothing", "", esipa.TypeASN1},
			{"garbage", "garbage", esipa.TypeASN1},
			{"another function", "\xbf\x4e\x03\x02\x01\x01", esipa.TypeASN1},
			{"neither of the two", "\xbf\x39\x00", esipa.TypeASN1},
			{"JSON", "{}", "application/json"},
			{"no type", "\xbf\x4f\x03\x02\x01\x01", ""},
			{"too large", strings.Repeat("0", esipa.MaxAnswer+1), esipa.TypeASN1},
		} {
			_, err := x.do(t.Context(), answers(c.body, c.mediaType, 200), m)
			var te *esipa.TransportError
			require.ErrorAs(t, err, &te, "%s: %s", x.name, c.rule)
			require.False(t, te.Retryable(), "%s: %s", x.name, c.rule)
			require.Less(t, len(err.Error()), 500)
		}
	}
	_, err := answers("", esipa.TypeASN1, http.StatusFound).GetEIMPackage(t.Context(), aPoll())
	require.ErrorContains(t, err, "HTTP 302")
	require.NoError(t, answers("", "", 200).HandleNotification(t.Context(), m.deleted), "some answer by 200")
}

// What SGP.32 lets an eIM leave out is taken from what is signed.
func TestMembersLeftOut(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	a := encode(t, &rsp.InitiateAuthenticationResponseEsipa{OK: &rsp.InitiateAuthenticationOKEsipa{ServerSigned1: m.authentication.ServerSigned1,
		ServerSignature1: fill(7, 64), CIKeyID: fill(1, 20), ServerCertificate: certificate()}})
	got, err := answers(string(a), esipa.TypeASN1, 200).InitiateAuthentication(t.Context(), m.initiate)
	require.NoError(t, err)
	require.EqualValues(t, m.authentication, got)

	dp := &rsp.AuthenticateClientOKDPEsipa{SMDPSigned2: m.offer.SMDPSigned2, SMDPSignature2: fill(7, 64), SMDPCertificate: certificate(), Metadata: m.offer.Metadata}
	offer := func() (es9.Offer, error) {
		b := encode(t, &rsp.AuthenticateClientResponseEsipa{DP: dp})
		return answers(string(b), esipa.TypeASN1, 200).AuthenticateClient(t.Context(), m.authenticate)
	}
	o, err := offer()
	require.NoError(t, err)
	require.EqualValues(t, m.offer, o)
	dp.Metadata = nil
	_, err = offer()
	require.ErrorContains(t, err, "metadata", "the device is to show what it installs")
	ds := encode(t, &rsp.AuthenticateClientResponseEsipa{DS: &rsp.AuthenticateClientOKDSEsipa{TransactionID: session()}})
	_, err = answers(string(ds), esipa.TypeASN1, 200).AuthenticateClient(t.Context(), m.authenticate)
	require.ErrorContains(t, err, "discovery")

	p := encode(t, &rsp.GetBoundProfilePackageResponseEsipa{OK: &rsp.GetBoundProfilePackageOKEsipa{Package: m.bound.Bound}})
	bound, err := answers(string(p), esipa.TypeASN1, 200).GetBoundProfilePackage(t.Context(), m.get)
	require.NoError(t, err)
	require.EqualValues(t, m.bound, bound)
}

// A package that is not known here is handed on for its asker to refuse.
func TestUnknownPackageIsReturned(t *testing.T) {
	t.Parallel()
	got, err := answers("\xbf\x4f\x03\xbf\x77\x00", esipa.TypeASN1, 200).GetEIMPackage(t.Context(), aPoll())
	require.NoError(t, err)
	require.Equal(t, []byte{0xBF, 0x77, 0}, got)
	_, err = answers("\xbf\x4f\x03\x02\x01\x04", esipa.TypeASN1, 200).GetEIMPackage(t.Context(), aPoll())
	require.ErrorIs(t, err, &mno.StatusError{Subject: "8.1.1", Reason: "2.2"})
	numbers, err := answers("\xbf\x50\x00", esipa.TypeASN1, 200).ProvideEIMPackageResult(t.Context(), esipa.Result{Object: []byte{0xA0, 0}})
	require.NoError(t, err, "version 1.0")
	require.Empty(t, numbers)
}

var errOdd = errors.New("odd")

// asAny reports whether an error is of the package's kinds.
func asAny(err error, te **esipa.TransportError, se **mno.StatusError) bool {
	return errors.As(err, te) || errors.As(err, se) ||
		errors.Is(err, esipa.ErrNoPackage) || errors.Is(err, esipa.ErrUnknownEID) || errors.Is(err, esipa.ErrInvalidEID)
}
