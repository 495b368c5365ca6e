package es2_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnotest"
)

const head = `"header":{"functionRequesterIdentifier":"1.2.3","functionCallIdentifier":"c1"}`

// Bodies as other implementations send them.
func TestForeignRequests(t *testing.T) {
	t.Parallel()
	b := &script{receipt: mno.Receipt{ICCID: iccid, MatchingID: "M1", SMDPAddress: "smdp.example"}}
	c := dial(t, es2.NewHandler(b, nil))
	for _, x := range []struct {
		path, body, want string
		got              any
	}{
		{es2.PathDownloadOrder, `{` + head + `,"eid":"89049032123451234512345678901235","iccid":"8944476500001224158F","unknown":{"a":[1]}}`,
			`{"header":{"functionExecutionStatus":{"status":"Executed-Success"}},"iccid":"` + iccid + `"}`,
			mno.Order{Device: id(t, "89049032123451234512345678901235"), ICCID: iccid}},
		{es2.PathDownloadOrder, ` {"profileType":"P",` + head + `} ` + "\n",
			`{"header":{"functionExecutionStatus":{"status":"Executed-Success"}},"iccid":"` + iccid + `"}`,
			mno.Order{ProfileType: "P"}},
		{es2.PathConfirmOrder, `{` + head + `,"iccid":"` + iccid + `","releaseFlag":false,"matchingId":""}`,
			`{"header":{"functionExecutionStatus":{"status":"Executed-Success"}},"matchingId":"M1","smdpAddress":"smdp.example"}`,
			es2.ConfirmOrder{ICCID: iccid, MatchingID: new("")}},
		{es2.PathCancelOrder, `{` + head + `,"iccid":"` + iccid + `","finalProfileStatusIndicator":"Unavailable"}`,
			`{"header":{"functionExecutionStatus":{"status":"Executed-Success"}}}`,
			es2.CancelOrder{ICCID: iccid, Final: mno.Unavailable}},
		{es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `"}`,
			`{"header":{"functionExecutionStatus":{"status":"Executed-Success"}}}`, iccid},
	} {
		res, got := post(t, c, x.path, x.body)
		require.Equal(t, 200, res.StatusCode, got)
		require.Equal(t, "application/json;charset=UTF-8", res.Header.Get("Content-Type"))
		require.Equal(t, es2.Version, res.Header.Get("X-Admin-Protocol"))
		require.JSONEq(t, x.want, got)
		require.Equal(t, x.got, b.got[len(b.got)-1])
		require.Equal(t, es2.Call{Requester: "1.2.3", ID: "c1"}, b.calls[len(b.calls)-1])
	}
}

// What the handler refuses itself: HTTP 200 and the code, the back end not asked.
func TestBadMembers(t *testing.T) {
	t.Parallel()
	b := &script{}
	c := dial(t, es2.NewHandler(b, nil))
	for _, x := range []struct{ rule, path, body, code string }{
		{"no header", es2.PathReleaseProfile, `{"iccid":"` + iccid + `"}`, "1.1/2.2"},
		{"no call id", es2.PathReleaseProfile, `{"header":{"functionRequesterIdentifier":"1"},"iccid":"` + iccid + `"}`, "1.6/2.2"},
		{"long requester", es2.PathReleaseProfile, `{"header":{"functionRequesterIdentifier":"` + strings.Repeat("1", 300) +
			`","functionCallIdentifier":"c"},"iccid":"` + iccid + `"}`, "1.6/2.1"},
		{"no iccid", es2.PathReleaseProfile, `{` + head + `}`, "8.2.1/2.2"},
		{"bad iccid", es2.PathReleaseProfile, `{` + head + `,"iccid":"12"}`, "8.2.1/2.1"},
		{"neither iccid nor type", es2.PathDownloadOrder, `{` + head + `}`, "1.6/2.3"},
		{"bad iccid", es2.PathDownloadOrder, `{` + head + `,"iccid":"12"}`, "8.2.1/2.1"},
		{"bad eid", es2.PathDownloadOrder, `{` + head + `,"profileType":"P","eid":"12"}`, "8.1.1/2.1"},
		{"bad device", es2.PathDownloadOrder, `{` + head + `,"profileType":"P","iotDeviceId":"a b"}`, "8.1.1/2.1"},
		{"two devices", es2.PathDownloadOrder, `{` + head + `,"profileType":"P","eid":"89049032123451234512345678901235","iotDeviceId":"1000000000000001"}`, "8.1.1/2.1"},
		{"long type", es2.PathDownloadOrder, `{` + head + `,"profileType":"` + strings.Repeat("P", 300) + `"}`, "8.2.5/2.1"},
		{"sealed without id", es2.PathDownloadOrder, `{` + head + `,"profileType":"P","iotSealedProfile":"AAAA"}`, "1.6/2.3"},
		{"id without device", es2.PathDownloadOrder, `{` + head + `,"profileType":"P","iotSealedProfile":"AAAA","iotProfileId":11}`, "8.1.1/2.3"},
		{"no iccid", es2.PathConfirmOrder, `{` + head + `,"releaseFlag":true}`, "8.2.1/2.2"},
		{"no flag", es2.PathConfirmOrder, `{` + head + `,"iccid":"` + iccid + `"}`, "1.6/2.2"},
		{"bad eid", es2.PathConfirmOrder, `{` + head + `,"iccid":"` + iccid + `","releaseFlag":true,"eid":"x"}`, "8.1.1/2.1"},
		{"bad matching id", es2.PathConfirmOrder, `{` + head + `,"iccid":"` + iccid + `","releaseFlag":true,"matchingId":"a"}`, "8.2.6/2.1"},
		{"long code", es2.PathConfirmOrder, `{` + head + `,"iccid":"` + iccid + `","releaseFlag":true,"confirmationCode":"` + strings.Repeat("1", 300) + `"}`, "1.6/2.1"},
		{"no iccid", es2.PathCancelOrder, `{` + head + `,"finalProfileStatusIndicator":"Available"}`, "8.2.1/2.2"},
		{"bad eid", es2.PathCancelOrder, `{` + head + `,"iccid":"` + iccid + `","eid":"x"}`, "8.1.1/2.1"},
		{"bad matching id", es2.PathCancelOrder, `{` + head + `,"iccid":"` + iccid + `","matchingId":"ä"}`, "8.2.6/2.1"},
		{"no final", es2.PathCancelOrder, `{` + head + `,"iccid":"` + iccid + `"}`, "1.6/2.2"},
		{"bad final", es2.PathCancelOrder, `{` + head + `,"iccid":"` + iccid + `","finalProfileStatusIndicator":"Released"}`, "1.6/2.1"},
	} {
		res, got := post(t, c, x.path, x.body)
		require.Equal(t, 200, res.StatusCode, x.rule)
		subject, reason, _ := strings.Cut(x.code, "/")
		require.Contains(t, got, `"status":"Failed"`, x.rule)
		require.Contains(t, got, `"subjectCode":"`+subject+`","reasonCode":"`+reason+`"`, "%s: %s", x.rule, got)
		require.NotContains(t, got, `"iccid"`, "%s: a failure is a header and nothing else", x.rule)
	}
	require.Empty(t, b.calls)
}

func TestBadProgress(t *testing.T) {
	t.Parallel()
	taken := 0
	c := dial(t, es2.NewProgressHandler(func(context.Context, mno.Progress) error { taken++; return nil }, nil))
	const rest = `,"profileType":"P","timestamp":"2026-11-24T10:00:00+01:00","notificationPointStatus":{"status":"Executed-Success"}`
	for _, x := range []struct {
		rule, body string
		status     int
		contains   string
	}{
		{"a number", `{` + head + `,"iccid":"` + iccid + `"` + rest + `,"notificationPointId":4}`, 204, ""},
		{"a string, as some send", `{` + head + `,"iccid":"` + iccid + `"` + rest + `,"notificationPointId":"4"}`, 204, ""},
		{"another string", `{` + head + `,"iccid":"` + iccid + `"` + rest + `,"notificationPointId":"four"}`, 400, "notificationPointId"},
		{"negative", `{` + head + `,"iccid":"` + iccid + `"` + rest + `,"notificationPointId":-4}`, 400, "notificationPointId"},
		{"no point", `{` + head + `,"iccid":"` + iccid + `"` + rest + `}`, 200, `"reasonCode":"2.2"`},
		{"no iccid", `{` + head + rest + `,"notificationPointId":4}`, 200, `"subjectCode":"8.2.1"`},
		{"bad device", `{` + head + `,"eid":"1","iccid":"` + iccid + `"` + rest + `,"notificationPointId":4}`, 200, `"subjectCode":"8.1.1"`},
		{"bad time", `{` + head + `,"iccid":"` + iccid + `","timestamp":"yesterday","notificationPointId":4}`, 200, `timestamp`},
		{"no status", `{` + head + `,"iccid":"` + iccid + `","timestamp":"2026-11-24T10:00:00Z","notificationPointId":4}`, 200, `notificationPointStatus`},
		{"long type", `{` + head + `,"iccid":"` + iccid + `","profileType":"` + strings.Repeat("P", 300) +
			`","timestamp":"2026-11-24T10:00:00Z","notificationPointId":4}`, 200, `"subjectCode":"8.2.5"`},
	} {
		res, got := post(t, c, es2.PathHandleDownloadProgressInfo, x.body)
		require.Equal(t, x.status, res.StatusCode, "%s: %s", x.rule, got)
		require.Contains(t, got, x.contains, x.rule)
		require.Equal(t, x.status == 204, got == "", x.rule)
	}
	require.Equal(t, 2, taken)
}

// SM-DP+s of version 3 call the news by other names.
func TestHandleNotification(t *testing.T) {
	t.Parallel()
	var got []mno.Progress
	c := dial(t, es2.NewProgressHandler(func(_ context.Context, p mno.Progress) error { got = append(got, p); return nil }, nil))
	const failed = `{"status":"Failed","statusCodeData":{"subjectCode":"8.2.10","reasonCode":"4.2"}}`
	for _, members := range []string{
		`"notificationEvent":4,"notificationEventStatus":` + failed,
		`"notificationPointId":4,"notificationPointStatus":` + failed,
	} {
		res, text := post(t, c, es2.PathHandleNotification,
			`{`+head+`,"iccid":"`+iccid+`","timestamp":"2026-11-24T10:00:00Z",`+members+`}`, "X-Admin-Protocol", "gsma/rsp/v3.1.0")
		require.Equal(t, 204, res.StatusCode, text)
	}
	require.Len(t, got, 2)
	require.Equal(t, got[0], got[1])
	require.Equal(t, mno.PointInstall, got[0].Point)
	require.Equal(t, "8.2.10", got[0].Failure.Subject)
}

func TestTransportRules(t *testing.T) {
	t.Parallel()
	b := &script{}
	c := dial(t, es2.NewHandler(b, nil))
	good := `{` + head + `,"iccid":"` + iccid + `"}`
	for _, x := range []struct {
		rule, path, body string
		header           []string
		status           int
		contains         string
	}{
		{"unknown function", "/gsma/rsp2/es2plus/rpmOrder", good, nil, 404, ""},
		{"no JSON type", es2.PathReleaseProfile, good, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		{"bad type", es2.PathReleaseProfile, good, []string{"Content-Type", ";"}, 415, ""},
		{"v3", es2.PathReleaseProfile, good, []string{"X-Admin-Protocol", "gsma/rsp/v3.1.0"}, 200, `"subjectCode":"1.3.2"`},
		{"no version", es2.PathReleaseProfile, good, []string{"X-Admin-Protocol", ""}, 200, es2.Version},
		{"v2.5.0", es2.PathReleaseProfile, good, []string{"X-Admin-Protocol", "gsma/rsp/v2.5.0"}, 200, "Executed-Success"},
		{"empty", es2.PathReleaseProfile, "", nil, 400, ""},
		{"no object", es2.PathReleaseProfile, "[]", nil, 400, "not a JSON object"},
		{"cut", es2.PathReleaseProfile, good[:len(good)-1], nil, 400, ""},
		{"more", es2.PathReleaseProfile, good + "{}", nil, 400, "after top-level"},
		{"garbage after", es2.PathReleaseProfile, good + "x", nil, 400, "after top-level"},
		{"twice", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","iccid":"89000123456789012341"}`, nil, 400, "twice"},
		{"twice in another case", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","ICCID":"89000123456789012341"}`, nil, 400, "twice"},
		{"twice deep", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","x":[{"a":1,"b":{},"a":2}]}`, nil, 400, "twice"},
		{"same name in two objects", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","x":[{"a":1},{"a":2}]}`, nil, 200, "Success"},
		{"deep", es2.PathReleaseProfile, `{"x":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, nil, 400, "nested"},
		{"twice, escaped", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","\u0069ccid":"89000123456789012341"}`, nil, 400, "twice"},
		{"twice, by Unicode folding", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","x":{"s":1,"\u017f":2}}`, nil, 400, "twice"},
		{"a value like a name", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + iccid + `","a":"b\"\\","b":["a","a" , "a:"],"c":"\"a\":1"}`, nil, 200, "Success"},
		{"a name after an inner object", es2.PathReleaseProfile, `{"iccid":"` + iccid + `",` + head + `,"x":{"y":{}},"iccid":"1"}`, nil, 400, "twice"},
		{"many members", es2.PathReleaseProfile, `{"x":[` + strings.Repeat(`{"a":1},`, 300) + `1]}`, nil, 400, "more than"},
		{"wrong kind", es2.PathReleaseProfile, `{` + head + `,"iccid":5}`, nil, 400, ""},
		{"bad base64", es2.PathDownloadOrder, `{` + head + `,"profileType":"P","iotSealedProfile":"%"}`, nil, 400, ""},
		{"no UTF-8", es2.PathReleaseProfile, `{` + head + `,"iccid":"` + "\xff" + `"}`, nil, 400, "UTF-8"},
		{"too large", es2.PathReleaseProfile, `{"x":"` + strings.Repeat("x", es2.MaxBody) + `"}`, nil, 413, "larger"},
	} {
		res, got := post(t, c, x.path, x.body, x.header...)
		require.Equal(t, x.status, res.StatusCode, "%s: %s", x.rule, got)
		require.Contains(t, got, x.contains, x.rule)
	}
	require.Len(t, b.calls, 3)
	res, err := c.HTTP.Get(c.BaseURL + es2.PathReleaseProfile)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 405, res.StatusCode)
	require.Equal(t, "POST", res.Header.Get("Allow"))
}

func TestClientCertificateIsNeeded(t *testing.T) {
	t.Parallel()
	call := func(h http.Handler) int {
		r := httptest.NewRequest(http.MethodPost, es2.PathReleaseProfile, strings.NewReader(`{`+head+`,"iccid":"`+iccid+`"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Admin-Protocol", es2.Version)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	b := &script{}
	require.Equal(t, 403, call(es2.NewHandler(b, nil)))
	require.Equal(t, 403, call(es2.NewHandler(b, &es2.Options{})))
	require.Empty(t, b.calls)
	require.Equal(t, 200, call(es2.NewHandler(b, &es2.Options{AllowNoClientCertificate: true})))
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	b := &script{}
	var log bytes.Buffer
	deny := errors.New("unknown to us: the secret reason")
	c := dial(t, es2.NewHandler(b, &es2.Options{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		Authorize: func(r *http.Request, requester string) error {
			if cn := r.TLS.VerifiedChains[0][0].Subject.CommonName; cn != requester {
				return deny
			}
			return nil
		},
	}))
	c.Requester = "somebody else"
	err := c.ReleaseProfile(t.Context(), iccid)
	require.ErrorIs(t, err, &mno.StatusError{Subject: mno.SubjectRequester, Reason: mno.ReasonNotAllowed})
	require.NotContains(t, err.Error(), "secret reason")
	require.Contains(t, log.String(), "secret reason")
	deny = mno.ErrNotAllowed
	require.ErrorIs(t, c.ReleaseProfile(t.Context(), iccid), mno.ErrNotAllowed)
	require.Empty(t, b.calls)
	c.Requester = "registry"
	require.NoError(t, c.ReleaseProfile(t.Context(), iccid))
}

// A client that nobody here wrote: an order by curl, with a PEM certificate.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	x, dir := mnotest.NewTLS(t), t.TempDir()
	url := x.Serve(t, es2.NewHandler(engine(t), nil))
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	ca := write("ca.pem", "CERTIFICATE", x.CA.Raw)
	cert := write("cert.pem", "CERTIFICATE", x.Client.Certificates[0].Certificate[0])
	der, err := x509.MarshalPKCS8PrivateKey(x.Client.Certificates[0].PrivateKey)
	require.NoError(t, err)
	key := write("key.pem", "PRIVATE KEY", der)
	run := func(path, body string, more ...string) string {
		args := append([]string{"-sS", "--noproxy", "*", "--cacert", ca, "-H", "Content-Type: application/json",
			"-H", "X-Admin-Protocol: gsma/rsp/v2.2.2", "-w", " %{http_code}", "-d", body, url + path}, more...)
		out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
		return strings.TrimSpace(fmt.Sprint(string(out), errText(err)))
	}
	withCert := []string{"--cert", cert, "--key", key}
	const order = `{` + head + `,"eid":"89049032123451234512345678901235","profileType":"iot","iotProfileId":11,"iotSealedProfile":"c2VhbGVk"}`
	first := run(es2.PathDownloadOrder, order, withCert...)
	require.Regexp(t, `^\{"header":\{"functionExecutionStatus":\{"status":"Executed-Success"\}\},"iccid":"8999901\d{12}"\} 200$`, first)
	require.Equal(t, first, run(es2.PathDownloadOrder, order, withCert...), "a repeat is the same order")
	number := strings.Split(first, `"`)[11]
	confirmed := run(es2.PathConfirmOrder, `{`+head+`,"iccid":"`+number+`","releaseFlag":true}`, withCert...)
	require.Regexp(t, `"eid":"89049032123451234512345678901235","matchingId":"[A-Z2-7]{26}","smdpAddress":"smdp.example"\} 200$`, confirmed)
	require.Contains(t, run(es2.PathReleaseProfile, `{`+head+`,"iccid":"89000123456789012341"}`, withCert...),
		`{"status":"Failed","statusCodeData":{"subjectCode":"8.2.1","reasonCode":"3.9"`)
	require.Contains(t, run(es2.PathDownloadOrder, order), "curl: (", "without a client certificate the handshake fails")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return " " + err.Error()
}
