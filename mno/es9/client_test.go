package es9_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// roundTrip is a RoundTripper made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Repeating is harmless for all functions but authenticateClient, which counts.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	dialError := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, x := range []struct {
		rule        string
		status      int
		err         error
		tries, once int // how often, and how often authenticateClient
	}{
		{"server out of order", 503, nil, 5, 1},
		{"too many requests", 429, nil, 5, 1},
		{"time-out", 408, nil, 5, 1},
		{"bad request", 400, nil, 1, 1},
		{"redirect", 307, nil, 1, 1},
		{"cut connection", 0, errors.New("cut"), 5, 1},
		{"no connection", 0, dialError, 5, 5},
		{"no such name", 0, &net.DNSError{Err: "no such host"}, 5, 5},
	} {
		for _, binding := range bindings {
			for _, f := range calls[:5] {
				n := 0
				c := &es9.Client{BaseURL: "https://smdp.example", ASN1: binding.asn1, Retry: es9.Retry{Min: time.Microsecond, Max: time.Millisecond}}
				c.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
					n++
					if x.err != nil {
						return nil, x.err
					}
					return &http.Response{StatusCode: x.status, Header: http.Header{"Location": {"https://other.example/"}}, Body: http.NoBody}, nil
				})}
				_, err := f.do(t.Context(), c, m)
				var te *es9.TransportError
				require.ErrorAs(t, err, &te, x.rule)
				require.Equal(t, x.status, te.Status, x.rule)
				want := x.tries
				if f.name == "authenticate" {
					want = x.once
				}
				require.Equal(t, want, n, "%s %s %s", x.rule, f.name, binding.name)
				require.Equal(t, want > 1, te.Retryable(), "%s %s", x.rule, f.name)
			}
		}
	}
}

func TestRepeatedCallSucceeds(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	n := 0
	h := es9.NewHandler(&backend{m: m}, nil)
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n%2 == 1 {
			w.WriteHeader(503)
			return
		}
		h.ServeHTTP(w, r)
	}), false)
	got, err := c.GetBoundProfilePackage(t.Context(), m.get)
	require.NoError(t, err)
	require.Equal(t, plain(m.bound), plain(got))
	require.NoError(t, c.HandleNotification(t.Context(), m.installed))
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	const ok = `{"header":{"functionExecutionStatus":{"status":"Executed-Success"}}`
	for _, x := range []struct{ rule, mediaType, body, contains string }{
		{"not JSON", es9.TypeJSON, `{`, "JSON"},
		{"another type", "text/html", ok + `}`, "ES9+ server"},
		{"no status", es9.TypeJSON, `{}`, "functionExecutionStatus"},
		{"unknown status", es9.TypeJSON, `{"header":{"functionExecutionStatus":{"status":"Fine"}}}`, "Fine"},
		{"nothing in it", es9.TypeJSON, ok + `}`, "transactionId is missing"},
		{"lower case", es9.TypeJSON, ok + `,"transactionId":"ab"}`, "upper case"},
		{"no package", es9.TypeJSON, ok + `,"transactionId":"AB"}`, "boundProfilePackage is missing"},
		{"another object", es9.TypeJSON, ok + `,"transactionId":"AB","boundProfilePackage":"vzcA"}`, "BF37"},
		{"a name twice", es9.TypeJSON, ok + `,"transactionId":"AB","transactionId":"AB"}`, "twice"},
		{"endless", es9.TypeJSON, strings.Repeat(" ", es9.MaxAnswer+1), "larger"},
	} {
		c := inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", x.mediaType)
			_, _ = w.Write([]byte(x.body))
		}), false)
		_, err := c.GetBoundProfilePackage(t.Context(), m.get)
		var te *es9.TransportError
		require.ErrorAs(t, err, &te, x.rule)
		require.ErrorContains(t, err, x.contains, x.rule)
		require.False(t, te.Retryable(), x.rule)
		require.False(t, mno.Retryable(err), x.rule)
	}
}

func TestBadASN1Answers(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	for rule, body := range map[string]string{
		"nothing": "", "another wrapper": "\xA1\x00", "empty": "\xA2\x00", "another function": "\xA2\x05\xBF\x41\x02\xA0\x00",
		"neither": "\xA2\x03\xBF\x3A\x00", "cut short": "\xA2\x05\xBF\x3A",
	} {
		c := inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", es9.TypeASN1)
			_, _ = w.Write([]byte(body))
		}), true)
		_, err := c.GetBoundProfilePackage(t.Context(), m.get)
		var te *es9.TransportError
		require.ErrorAs(t, err, &te, rule)
		var se *mno.StatusError
		require.NotErrorAs(t, err, &se, rule)
	}
}

// A notification is gone from the eUICC once it is taken: a page that some
// proxy answers with takes none.
func TestWhoDoesNotTakeNotifications(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	for _, x := range bindings {
		for rule, answer := range map[string]struct {
			mediaType, body string
			taken           bool
		}{
			"a page":           {"text/html", "<html>", false},
			"no media type":    {"", "x", false},
			"nothing":          {"", "", true},
			"nothing, as HTML": {"text/html", "", true},
		} {
			c := inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", answer.mediaType)
				_, _ = w.Write([]byte(answer.body))
			}), x.asn1)
			err := c.HandleNotification(t.Context(), m.installed)
			require.Equal(t, answer.taken, err == nil, "%s, ASN.1 %t: %v", rule, x.asn1, err)
		}
	}
}

func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	answer := func(body string) *es9.Client {
		return inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = w.Write([]byte(body))
		}), false)
	}
	status := func(s string) string { return `{"header":{"functionExecutionStatus":` + s + `}}` }
	require.NoError(t, answer(status(`{"status":"Executed-WithWarning"}`)).CancelSession(t.Context(), m.cancel))
	require.NoError(t, answer(status(`{"status":"Executed-Success"}`)).HandleNotification(t.Context(), m.installed), "a notification answered by 200")
	require.NoError(t, answer("").HandleNotification(t.Context(), m.installed))

	err := answer(status(`{"status":"Failed"}`)).CancelSession(t.Context(), m.cancel)
	require.ErrorIs(t, err, &mno.StatusError{Subject: "1.6", Reason: "3.8"})
	err = answer(status(`{"status":"Expired"}`)).CancelSession(t.Context(), m.cancel)
	require.ErrorIs(t, err, &mno.StatusError{Subject: "1.6", Reason: "4.10"})
	err = answer(status(`{"status":"Failed","statusCodeData":{"subjectCode":"8.1","reasonCode":"6.1"}}`)).HandleNotification(t.Context(), m.installed)
	require.ErrorIs(t, err, &mno.StatusError{Subject: "8.1", Reason: "6.1"})
}

func TestClientSettings(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	_, err := (&es9.Client{}).InitiateAuthentication(t.Context(), m.initiate)
	require.ErrorContains(t, err, "BaseURL")
	_, err = (&es9.Client{BaseURL: "https://a\n"}).InitiateAuthentication(t.Context(), m.initiate)
	require.Error(t, err)
	c := inMemory(http.NotFoundHandler(), false)
	require.ErrorContains(t, c.HandleNotification(t.Context(), make([]byte, es9.MaxRequest)), "larger")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.InitiateAuthentication(ctx, m.initiate)
	require.ErrorIs(t, err, context.Canceled)
}

func TestStrangerIsNotTrusted(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	c := dial(t, es9.NewHandler(b, nil), false)
	c.HTTP = &http.Client{Transport: &http.Transport{}} // without the test server's root
	_, err := c.InitiateAuthentication(t.Context(), b.m.initiate)
	var te *es9.TransportError
	require.ErrorAs(t, err, &te)
	require.False(t, te.Retryable())
	require.Empty(t, b.calls)
}
