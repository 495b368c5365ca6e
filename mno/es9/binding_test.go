package es9_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

var bindings = []struct {
	name string
	asn1 bool
}{{"JSON", false}, {"ASN.1", true}}

// call is one function, as the rows of several tests need it.
type call struct {
	name, path string
	do         func(ctx context.Context, b es9.Backend, m *messages) (any, error)
	sent       func(m *messages) any
	want       func(m *messages) any
}

var calls = []call{
	{"initiate", es9.PathInitiateAuthentication,
		func(ctx context.Context, b es9.Backend, m *messages) (any, error) {
			return b.InitiateAuthentication(ctx, m.initiate)
		},
		func(m *messages) any { return m.initiate }, func(m *messages) any { return m.authentication }},
	{"authenticate", es9.PathAuthenticateClient,
		func(ctx context.Context, b es9.Backend, m *messages) (any, error) {
			return b.AuthenticateClient(ctx, m.authenticate)
		},
		func(m *messages) any { return m.authenticate }, func(m *messages) any { return m.offer }},
	{"package", es9.PathGetBoundProfilePackage,
		func(ctx context.Context, b es9.Backend, m *messages) (any, error) {
			return b.GetBoundProfilePackage(ctx, m.get)
		},
		func(m *messages) any { return m.get }, func(m *messages) any { return m.bound }},
	{"cancel", es9.PathCancelSession,
		func(ctx context.Context, b es9.Backend, m *messages) (any, error) {
			return nil, b.CancelSession(ctx, m.cancel)
		},
		func(m *messages) any { return m.cancel }, func(*messages) any { return nil }},
	{"notify", es9.PathHandleNotification,
		func(ctx context.Context, b es9.Backend, m *messages) (any, error) {
			return nil, b.HandleNotification(ctx, m.installed)
		},
		func(m *messages) any { return m.installed }, func(*messages) any { return nil }},
	{"notify", es9.PathHandleNotification,
		func(ctx context.Context, b es9.Backend, m *messages) (any, error) {
			return nil, b.HandleNotification(ctx, m.deleted)
		},
		func(m *messages) any { return m.deleted }, func(*messages) any { return nil }},
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, x := range bindings {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			b := &backend{m: newMessages(t)}
			c := dial(t, es9.NewHandler(b, nil), x.asn1)
			for i, f := range calls {
				got, err := f.do(t.Context(), c, b.m)
				require.NoError(t, err, f.name)
				require.EqualValues(t, plain(f.want(b.m)), plain(got), f.name)
				require.EqualValues(t, f.name, b.calls[i])
				require.EqualValues(t, plain(f.sent(b.m)), plain(b.got[i]), "%s: what is signed arrives as it was", f.name)
			}
		})
	}
}

// plain turns values into JSON, in which a rsp.TransactionID is bytes.
func plain(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The largest package that rsp allows still fits both bindings.
func TestLargePackage(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	p, err := rsp.Decode[rsp.BoundProfilePackage](m.bound.Bound)
	require.NoError(t, err)
	for len(p.ProfilePackage) < 2000 {
		p.ProfilePackage = append(p.ProfilePackage, bertlv.Append(nil, 0x86, fill(6, 1016)))
	}
	m.bound.Bound = encode(t, p)
	for _, x := range bindings {
		got, err := inMemory(es9.NewHandler(&backend{m: m}, nil), x.asn1).GetBoundProfilePackage(t.Context(), m.get)
		require.NoError(t, err, x.name)
		require.True(t, bytes.Equal(m.bound.Bound, got.Bound), x.name)
	}
}

// The golden files are written by hand from SGP.22: what a client sends, and
// what another client sends that a server has to understand.
func TestGoldenRequests(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	m.authenticate.Response = encode(t, &rsp.AuthenticateServerResponse{Error: &rsp.AuthenticateFailure{TransactionID: session(), Code: rsp.AuthNoSession}})
	m.get.Response = encode(t, &rsp.PrepareDownloadResponse{Error: &rsp.PrepareDownloadFailure{TransactionID: session(), Code: rsp.DownloadUndefined}})
	m.cancel.Response = encode(t, &rsp.CancelSessionResponse{Error: ptr(5)})
	m.installed = installed(t, 5, &rsp.InstallationFailure{Command: rsp.BPPLoadProfileElements, Reason: rsp.InstallPEProcessing})
	for _, f := range calls[:5] {
		golden, err := os.ReadFile("testdata/" + f.path[strings.LastIndexByte(f.path, '/')+1:] + ".json")
		require.NoError(t, err)
		var sent []byte
		var header http.Header
		b := &backend{m: m}
		h := es9.NewHandler(b, nil)
		_, err = f.do(t.Context(), inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, f.path, r.URL.Path)
			header = r.Header.Clone()
			sent, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(sent))
			h.ServeHTTP(w, r)
		}), false), m)
		require.NoError(t, err, f.name)
		require.JSONEq(t, string(golden), string(sent), f.name)
		require.Equal(t, "application/json", header.Get("Content-Type"))
		require.Equal(t, "gsma/rsp/v2.5.0", header.Get("X-Admin-Protocol"))
		require.Equal(t, "gsma-rsp-lpad", header.Get("User-Agent"))

		// A header, members of later versions and broken lines change nothing.
		odd := strings.Replace(string(golden), "{", `{"header":{"functionRequesterIdentifier":"x","functionCallIdentifier":"y"},"lpaRspCapability":"gAA=",`, 1)
		odd = strings.Replace(odd, `": "v`, `": " \r\n\tv`, 1)
		w := post(t, h, f.path, "application/json;charset=UTF-8", odd, "X-Admin-Protocol", "gsma/rsp/v3.1.0")
		require.Contains(t, []int{200, 204}, w.Code, f.name)
		require.NotContains(t, w.Body.String(), "Failed", f.name)
		require.Equal(t, "gsma/rsp/v2.5.0", w.Header().Get("X-Admin-Protocol"))
		require.Equal(t, plain(b.got[0]), plain(b.got[1]), f.name)
	}
}

func TestGoldenResponses(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	h := es9.NewHandler(b, nil)
	type object = map[string]any
	std := base64.StdEncoding.EncodeToString
	const ok = `{"functionExecutionStatus":{"status":"Executed-Success"}}`
	for path, want := range map[string]string{
		es9.PathInitiateAuthentication: `{"header":` + ok + `,"transactionId":"01AB","serverSigned1":"` + std(b.m.authentication.ServerSigned1) +
			`","serverSignature1":"` + std(signature()) + `","euiccCiPKIdToBeUsed":"BBQBAQEBAQEBAQEBAQEBAQEBAQEBAQ==","serverCertificate":"MAMCAQU="}`,
		es9.PathCancelSession:      `{"header":` + ok + `}`,
		es9.PathHandleNotification: "",
	} {
		golden, err := os.ReadFile("testdata/" + path[strings.LastIndexByte(path, '/')+1:] + ".json")
		require.NoError(t, err)
		w := post(t, h, path, es9.TypeJSON, string(golden))
		if want == "" {
			require.Equal(t, 204, w.Code)
			require.Empty(t, w.Body.String())
			continue
		}
		require.Equal(t, 200, w.Code)
		require.JSONEq(t, want, w.Body.String())
		var o object
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &o))
	}
}

// statuses are those of the reference, section 2, by function; code is the ASN.1
// binding's, where it has one.
var statuses = map[string][]struct {
	status string
	code   int
}{
	"initiate": {{"8.8.1/3.8", 1}, {"8.8.3/3.1", 2}, {"8.8.2/3.1", 3}, {"8.8.4/3.7", 3}},
	"authenticate": {{"8.1.2/6.1", 1}, {"8.1.2/6.3", 2}, {"8.1.3/6.1", 3}, {"8.1.3/6.3", 4}, {"8.1/6.1", 5}, {"8.2.6/3.8", 6}, {"8.1.1/3.8", 7},
		{"8.2.5/4.3", 8}, {"8.11.1/3.9", 9}, {"8.10.1/3.9", 10}, {"8.1/4.8", 11}, {"8.8.5/4.10", 18}, {"8.2/1.2", 127}, {"8.8.5/6.4", 127}},
	"package": {{"8.1/6.1", 1}, {"8.2.7/2.2", 2}, {"8.2.7/3.8", 3}, {"8.2.7/6.4", 4}, {"8.2/3.7", 5}, {"8.8.5/4.10", 6}, {"8.10.1/3.9", 95}},
	"cancel":  {{"8.10.1/3.9", 1}, {"8.1/6.1", 2}, {"8.8/3.10", 127}},
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	for _, f := range calls[:4] {
		for _, s := range statuses[f.name] {
			subject, reason, _ := strings.Cut(s.status, "/")
			refusal := &mno.StatusError{Subject: subject, Reason: reason, Identifier: "which", Message: "why"}
			h := es9.NewHandler(&backend{m: m, fail: always(refusal)}, nil)

			_, err := f.do(t.Context(), inMemory(h, false), m)
			require.Equal(t, refusal, err, "%s: JSON carries all of it", f.name)

			_, err = f.do(t.Context(), inMemory(h, true), m)
			var se *mno.StatusError
			require.ErrorAs(t, err, &se, f.name)
			switch {
			case s.code == 127:
				require.Equal(t, "8/4.2", se.Subject+"/"+se.Reason, "%s %s: ASN.1 has no code for it", f.name, s.status)
			case s.status == "8.8.4/3.7":
				require.Equal(t, "8.8.2/3.1", se.Subject+"/"+se.Reason, "two share a code")
			default:
				require.Equal(t, s.status, se.Subject+"/"+se.Reason, f.name)
			}
		}
	}
}

func TestInnerErrorsStayInside(t *testing.T) {
	t.Parallel()
	m := newMessages(t)
	var log bytes.Buffer
	h := es9.NewHandler(&backend{m: m, fail: always(errors.New("database of 10.0.0.1"))}, &es9.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, x := range bindings {
		for _, f := range calls[:4] {
			_, err := f.do(t.Context(), inMemory(h, x.asn1), m)
			var se *mno.StatusError
			require.ErrorAs(t, err, &se, f.name)
			require.Equal(t, mno.ReasonExecution, se.Reason)
			require.NotContains(t, err.Error(), "10.0.0.1")
		}
		_, err := calls[4].do(t.Context(), inMemory(h, x.asn1), m)
		var te *es9.TransportError
		require.ErrorAs(t, err, &te)
		require.Equal(t, 503, te.Status, "a notification that was not taken comes again")
		require.True(t, te.Retryable())
		require.NotContains(t, err.Error(), "10.0.0.1")
	}
	require.Contains(t, log.String(), "10.0.0.1")
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	h := es9.NewHandler(b, nil)
	const challenge, info = `"euiccChallenge":"AQEBAQEBAQEBAQEBAQEBAQ=="`, `"euiccInfo1":"vyAA"`
	for _, x := range []struct {
		rule, path, body, code string
	}{
		{"no challenge", es9.PathInitiateAuthentication, `{` + info + `,"smdpAddress":"a"}`, "1.6/2.2"},
		{"short challenge", es9.PathInitiateAuthentication, `{"euiccChallenge":"AQ==",` + info + `,"smdpAddress":"a"}`, "1.6/2.1"},
		{"no info", es9.PathInitiateAuthentication, `{` + challenge + `,"smdpAddress":"a"}`, "1.6/2.2"},
		{"info with another tag", es9.PathInitiateAuthentication, `{` + challenge + `,"euiccInfo1":"vyEA","smdpAddress":"a"}`, "1.6/2.1"},
		{"info cut short", es9.PathInitiateAuthentication, `{` + challenge + `,"euiccInfo1":"vyAB","smdpAddress":"a"}`, "1.6/2.1"},
		{"info and more", es9.PathInitiateAuthentication, `{` + challenge + `,"euiccInfo1":"vyAABQA=","smdpAddress":"a"}`, "1.6/2.1"},
		{"base64 of the URL alphabet", es9.PathInitiateAuthentication, `{` + challenge + `,"euiccInfo1":"vy_-","smdpAddress":"a"}`, "1.6/2.1"},
		{"base64 without padding", es9.PathInitiateAuthentication, `{"euiccChallenge":"AQEBAQEBAQEBAQEBAQEBAQ",` + info + `,"smdpAddress":"a"}`, "1.6/2.1"},
		{"no address", es9.PathInitiateAuthentication, `{` + challenge + `,` + info + `}`, "8.8.1/2.2"},
		{"long address", es9.PathInitiateAuthentication, `{` + challenge + `,` + info + `,"smdpAddress":"` + strings.Repeat("a", 256) + `"}`, "8.8.1/2.1"},
		{"no transaction", es9.PathAuthenticateClient, `{"authenticateServerResponse":"vzgA"}`, "8.10.1/2.2"},
		{"lower case", es9.PathAuthenticateClient, `{"transactionId":"ab","authenticateServerResponse":"vzgA"}`, "8.10.1/2.1"},
		{"17 bytes", es9.PathGetBoundProfilePackage, `{"transactionId":"` + strings.Repeat("AB", 17) + `","prepareDownloadResponse":"vyEA"}`, "8.10.1/2.1"},
		{"no response", es9.PathGetBoundProfilePackage, `{"transactionId":"AB"}`, "1.6/2.2"},
		{"null", es9.PathCancelSession, `{"transactionId":"AB","cancelSessionResponse":null}`, "1.6/2.2"},
	} {
		w := post(t, h, x.path, "application/json", x.body)
		require.Equal(t, 200, w.Code, x.rule)
		subject, reason, _ := strings.Cut(x.code, "/")
		require.Contains(t, w.Body.String(), `"status":"Failed","statusCodeData":{"subjectCode":"`+subject+`","reasonCode":"`+reason+`"`, x.rule)
		require.NotContains(t, w.Body.String(), `transactionId":`, "%s: a failure is a header and nothing else", x.rule)
	}
	w := post(t, h, es9.PathInitiateAuthentication, "application/json", `{}`, "X-Admin-Protocol", "gsma/rsp/v1.0.0")
	require.Contains(t, w.Body.String(), `"subjectCode":"1.3.2","reasonCode":"3.1"`)
	require.Empty(t, b.calls)
}

func TestNoES9Call(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	h := es9.NewHandler(b, nil)
	large := strings.Repeat(" ", es9.MaxRequest+1)
	for _, x := range []struct {
		rule, path, mediaType, body string
		status                      int
	}{
		{"not JSON", es9.PathInitiateAuthentication, es9.TypeJSON, `{`, 400},
		{"not an object", es9.PathCancelSession, es9.TypeJSON, `[]`, 400},
		{"a name twice", es9.PathCancelSession, es9.TypeJSON, `{"transactionId":"AB","transactionID":"CD"}`, 400},
		{"a number", es9.PathCancelSession, es9.TypeJSON, `{"transactionId":1}`, 400},
		{"too large", es9.PathCancelSession, es9.TypeJSON, large, 413},
		{"form", es9.PathCancelSession, "text/plain", `{}`, 415},
		{"ASN.1 to a JSON path", es9.PathCancelSession, es9.TypeASN1, `{}`, 415},
		{"no such function", "/gsma/rsp2/es9plus/confirmDeviceChange", es9.TypeJSON, `{}`, 404},
		{"notification without one", es9.PathHandleNotification, es9.TypeJSON, `{}`, 400},
		{"notification of another kind", es9.PathHandleNotification, es9.TypeJSON, `{"pendingNotification":"vyAA"}`, 400},
		{"notification not JSON", es9.PathHandleNotification, es9.TypeJSON, `x`, 400},
		{"notification too large", es9.PathHandleNotification, es9.TypeJSON, large, 413},
		{"JSON to the ASN.1 path", es9.PathASN1, es9.TypeJSON, `{}`, 415},
		{"nothing", es9.PathASN1, es9.TypeASN1, "", 400},
		{"without wrapper", es9.PathASN1, es9.TypeASN1, "\xBF\x41\x00", 400},
		{"wrapper alone", es9.PathASN1, es9.TypeASN1, "\xA2\x00", 400},
		{"unknown function", es9.PathASN1, es9.TypeASN1, "\xA2\x03\xBF\x50\x00", 400},
		{"too large", es9.PathASN1, es9.TypeASN1, large, 413},
	} {
		w := post(t, h, x.path, x.mediaType, x.body)
		require.Equal(t, x.status, w.Code, x.rule)
	}
	for _, path := range []string{es9.PathInitiateAuthentication, es9.PathHandleNotification, es9.PathASN1} {
		require.Equal(t, 405, get(t, h, path))
	}
	require.Equal(t, 400, post(t, h, es9.PathASN1, es9.TypeASN1, "\xA2\x00", "X-Admin-Protocol", "x").Code)
	require.Empty(t, b.calls)
}

func get(t *testing.T, h http.Handler, path string) int {
	c := &http.Client{Transport: direct{h}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://smdp.example"+path, nil)
	require.NoError(t, err)
	res, err := c.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// Some send the eUICC's answer without its tag, some with it.
func TestCancelWithoutTag(t *testing.T) {
	t.Parallel()
	b := &backend{m: newMessages(t)}
	inner, err := bertlv.Parse(b.m.cancel.Response)
	require.NoError(t, err)
	body := bertlv.Append(nil, 0xA2, bertlv.Append(nil, 0xBF41, []byte{0x80, 2, 1, 0xAB}, bertlv.Append(nil, 0xA1, inner.Value)))
	w := post(t, es9.NewHandler(b, nil), es9.PathASN1, es9.TypeASN1, string(body))
	require.Equal(t, 200, w.Code)
	require.Equal(t, "\xA2\x05\xBF\x41\x02\xA0\x00", w.Body.String())
	require.Equal(t, plain(b.m.cancel), plain(b.got[0]))
}
