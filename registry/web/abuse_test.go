package web_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
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

// Whoever shows no credential is bounded by address, and nobody else with them.
func TestStrangersAreHeldBack(t *testing.T) {
	t.Parallel()
	var asked []string
	var mu sync.Mutex
	b := newBench(t, func(_ *bench, c *web.Config) {
		c.Strangers = allow(func(address string) (bool, time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, address)
			return len(asked) <= 3, 1500 * time.Millisecond
		})
	})
	for i, header := range [][]string{nil, {"Authorization", "Bearer iotreg_x"}, {"Authorization", "Basic eA=="}, {"Authorization", "Bearer iotreg_x"}} {
		res, text := b.raw(registry.Actor{}, http.MethodGet, "/v1/me", "", header...)
		if i < 3 {
			require.Equal(t, http.StatusUnauthorized, res.StatusCode, text)
			continue
		}
		require.Equal(t, http.StatusTooManyRequests, res.StatusCode, text)
		require.Equal(t, "2", res.Header.Get("Retry-After"))
		require.Equal(t, "rate", problem(t, text).Kind)
	}
	_, err := b.as(parko).Me(t.Context())
	require.NoError(t, err, "who is known does not pay for others at its address")
	require.Equal(t, slices.Repeat([]string{"127.0.0.1"}, 4), asked)
}

func TestStrangersAreHeldBackUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	last := 0
	for range 2 * web.DefaultStrangers {
		res, _ := b.raw(registry.Actor{}, http.MethodGet, "/v1/me", "")
		last = res.StatusCode
	}
	require.Equal(t, http.StatusTooManyRequests, last)
}

type allow func(string) (bool, time.Duration)

func (f allow) Allow(name string) (bool, time.Duration) { return f(name) }

func TestWhoseAddressARequestHas(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:1234":        "192.0.2.1",
		"[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64", // one caller has all of it
		"[::ffff:192.0.2.1]:1":  "192.0.2.1",
		"[fe80::1%eth0]:1":      "fe80::/64",
		"@":                     "@", // a socket of the file system
	} {
		require.Equal(t, want, web.AddressOf(remote))
	}
}

// A browser adds its user's client certificate to what any page makes it send.
func TestOtherSitesCannotUseACertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cert, key := selfSigned(t)
	_, err := b.reg.TrustCertificate(t.Context(), parko, parko.Account, "browser", cert, 0)
	require.ErrorIs(t, err, registry.ErrForbidden)
	_, err = b.reg.TrustCertificate(t.Context(), root, parko.Account, "browser", cert, 0)
	require.NoError(t, err)
	front := httptest.NewUnstartedServer(b.srv)
	front.TLS = b.srv.TLSConfig(nil)
	front.StartTLS()
	defer front.Close()
	tr := front.Client().Transport.(*http.Transport).Clone()
	tr.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
	const list = "Device ID\n1\n"
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"no browser":                    {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/csv"}, 202},
		"a page of ours":                {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/csv", "Sec-Fetch-Site", "same-origin", "Origin", front.URL}, 202},
		"a page of another site":        {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/csv", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"a page of a sibling":           {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/csv", "Sec-Fetch-Site", "same-site", "Origin", "https://other.iotregistry.ca"}, 403},
		"an old browser":                {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/csv", "Origin", "https://evil.example"}, 403},
		"a page without origin":         {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/csv", "Origin", "null"}, 403},
		"a form":                        {"POST", "/v1/jobs?op=reset", list, []string{"Content-Type", "text/plain"}, 415},
		"a form that says it is JSON":   {"POST", "/v1/activate", `{"devices":["1"]}`, []string{"Content-Type", "text/plain; application/json"}, 415},
		"two types":                     {"POST", "/v1/activate", `{"devices":["1"]}`, []string{"Content-Type", "text/plain, application/json"}, 415},
		"a blob without type":           {"POST", "/v1/activate", `{"devices":["1"]}`, nil, 415},
		"deletion":                      {"DELETE", "/v1/credentials/x", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a link to what can be read":    {"GET", "/v1/me", "", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		"a token, which no browser has": {"GET", "/v1/me", "", []string{"Sec-Fetch-Site", "cross-site", "Authorization", "Bearer " + string(b.tokens[parko.Account])}, 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, front.URL+c.path, strings.NewReader(c.body))
		require.NoError(t, err)
		for i := 0; i+1 < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		res, err := (&http.Client{Transport: tr}).Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		require.NoError(t, err)
		require.Equal(t, c.status, res.StatusCode, "%s: %s", name, text)
		require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"), name)
	}
}

// What a request says by its token counts; what its connection says is not asked
// then, be it of another account, of none, or out of date.
func TestTokenAndCertificateDisagree(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cert, _ := selfSigned(t)
	_, err := b.reg.TrustCertificate(t.Context(), root, parko.Account, "box", cert, 0)
	require.NoError(t, err)
	expired := *cert
	expired.NotAfter = b.clock().Add(-time.Second)
	early := *cert
	early.NotBefore = b.clock().Add(time.Second)
	other, _ := selfSigned(t)
	for name, c := range map[string]struct {
		cert  *x509.Certificate
		token string
		want  string
	}{
		"the certificate alone":                           {cert, "", "parkoserv"},
		"one that has expired":                            {&expired, "", ""},
		"one that is not valid yet":                       {&early, "", ""},
		"one that nobody has":                             {other, "", ""},
		"a token of another account":                      {cert, "Bearer " + string(b.tokens[city.Account]), "ottawa"},
		"a token, and an expired certificate":             {&expired, "Bearer " + string(b.tokens[city.Account]), "ottawa"},
		"a wrong token is not saved by a certificate":     {cert, "Bearer iotreg_wrong", ""},
		"nor is another scheme":                           {cert, "Basic eA==", ""},
		"a certificate that only stands behind the first": {other, "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert, cert}}
		if c.token != "" {
			r.Header.Set("Authorization", c.token)
		}
		actor, err := b.srv.Authenticate(r)
		if c.want == "" {
			require.ErrorIs(t, err, registry.ErrUnauthentic, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, actor.Account, name)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
	r.Header.Add("Authorization", "Bearer "+string(b.tokens[city.Account]))
	r.Header.Add("Authorization", "Bearer "+string(b.tokens[root.Account]))
	_, err = b.srv.Authenticate(r)
	require.ErrorIs(t, err, registry.ErrUnauthentic, "two tokens are none")
}

// The text of an error that wraps what another part has met is the operator's.
func TestWhatGoesOnInsideStaysInside(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{context.DeadlineExceeded, context.Canceled, registry.ErrClosed, registry.ErrConflict, errDown} {
		b := newBench(t)
		b.store.set(fmt.Errorf("connect to user=registry host=10.0.0.5: %w", kind))
		res, text := b.raw(registry.Actor{}, http.MethodGet, "/v1/me", "", "Authorization", "Bearer iotreg_x")
		require.NotContains(t, text, "10.0.0.5")
		require.NotContains(t, text, "secret")
		require.Equal(t, registry.Kind(kind), problem(t, text).Kind, res.Status)
		data, err := json.Marshal(registry.Result{Err: &registry.Error{Op: "activate", Err: fmt.Errorf("host=10.0.0.5: %w", kind)}})
		require.NoError(t, err)
		require.NotContains(t, string(data), "10.0.0.5")
	}
}

// What stands around the API learns which route it was, and no word that a caller
// made up: such are labels of metrics.
func TestWhoCountsSeesRoutes(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 10)
	b := newBench(t, func(_ *bench, c *web.Config) {
		c.Observe = func(route, method string, _ int, _ time.Duration) { seen <- method + " by " + route }
	})
	for _, c := range []struct{ method, path, route, observed string }{
		{"GET", "/v1/devices/1", "GET /v1/devices/{id}", "GET by GET /v1/devices/{id}"},
		{"GET", "/nothing", "", "GET by "},
		{"BREW", "/v1/me", "", "other by "},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		b.srv.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, c.route, r.Pattern)
		require.Equal(t, c.observed, <-seen)
	}
}

// A credential to be revoked that is none is no reason to doubt the caller's own.
func TestRevokingWhatIsNoCredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	theirs, err := b.as(root).Credentials(t.Context(), carPark.Account)
	require.NoError(t, err)
	var answers []string
	for _, id := range []string{"t-none", theirs[0].ID} {
		res, text := b.raw(parko, http.MethodDelete, "/v1/credentials/"+id, "")
		require.Equal(t, http.StatusBadRequest, res.StatusCode, text)
		require.Empty(t, res.Header.Get("WWW-Authenticate"))
		answers = append(answers, problem(t, text).Detail)
	}
	require.Equal(t, answers[0], answers[1], "which credentials others have is not told")
}

// Stores differ in what a key may be, so that no key of another kind gets there.
func TestKeysAreText(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, path := range []string{"/v1/jobs/%00", "/v1/jobs/%ff", "/v1/jobs/" + strings.Repeat("x", 600), "/v1/devices?after=%00", "/v1/devices?after=%ff",
		"/v1/messages?after=" + strings.Repeat("x", 600), "/v1/accounts/%0a", "/v1/accounts?after=%7f"} {
		res, text := b.raw(root, http.MethodGet, path, "")
		require.Equal(t, http.StatusBadRequest, res.StatusCode, "%.40s %s", path, text)
		require.Equal(t, "invalid", problem(t, text).Kind)
		require.Less(t, len(text), 500)
	}
	for _, id := range []string{`0000000000001/\u0000`, `0000000000001/` + strings.Repeat("x", 600)} {
		res, text := b.raw(root, http.MethodPost, "/v1/messages/ack", `{"ids":["`+id+`"]}`)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, text)
		require.Contains(t, problem(t, text).Detail, "no message of yours")
	}
}

// What a newcomer's first requests are told.
func TestMessagesSayWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		actor              registry.Actor
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		"no credential":        {registry.Actor{}, "GET", "/v1/me", "", nil, 401, "Authorization: Bearer"},
		"token without Bearer": {registry.Actor{}, "GET", "/v1/me", "", []string{"Authorization", string(b.tokens[parko.Account])}, 401, "Authorization: Bearer"},
		"what curl -d sends":   {parko, "POST", "/v1/activate", "{}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		"a number for an ID":   {parko, "POST", "/v1/activate", `{"devices":[1]}`, nil, 400, `"devices" cannot have a number here: see /openapi.json`},
		"in a job":             {parko, "POST", "/v1/jobs", `{"op":"reset","items":[{"device":1}]}`, nil, 400, `item 1: invalid request: body: "device" cannot have a number`},
		"in a job's head":      {parko, "POST", "/v1/jobs", `{"op":1,"items":[]}`, nil, 400, "cannot have a number"},
		"a job without op":     {parko, "POST", "/v1/jobs", "Device ID\n1\n", []string{"Content-Type", "text/csv"}, 400, "activate"},
		"a tag without quotes": {parko, "PATCH", "/v1/devices/1", "{}", []string{"If-Match", "3"}, 400, "quotation marks"},
		"a provider's account": {root, "PUT", "/v1/accounts/x", `{"role":"asp"}`, nil, 400, "host and port"},
	} {
		res, text := b.raw(c.actor, c.method, c.path, c.body, c.headers...)
		require.Equal(t, c.status, res.StatusCode, "%s: %s", name, text)
		require.Contains(t, problem(t, text).Detail, c.says, name)
		require.NotContains(t, text, "Go ", name)
	}
}

// An answer is not as long as what was wrong with the request.
func TestProblemsAreShort(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := strings.Repeat("9", 1<<20)
	for path, body := range map[string]string{
		"/v1/activate":               `{"` + long + `":1}`,
		"/v1/reset":                  `{"devices":["` + long + `"]}`,
		"/v1/status":                 `{"revision":` + long + `}`,
		"/v1/delete":                 `{"atomic":` + long + `}`,
		"/v1/messages/ack":           `{"ids":["` + long + `"]}`,
		"/v1/import":                 `{"owner":"` + long + `","rows":[{"device":"1"}]}`,
		"/v1/switch":                 `{"mno":"` + long + `","devices":["1"]}`,
		"/v1/accounts/" + "x/tokens": `{"label":"` + long + `"}`,
	} {
		res, text := b.raw(parko, http.MethodPost, path, body)
		require.GreaterOrEqual(t, res.StatusCode, 400, path)
		require.Less(t, len(text), 3000, path)
	}
}

// A device of others is answered as one that does not exist, to every role and by
// every operation that names one.
func TestOthersDevicesLookAbsent(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench, _ *web.Config) { b.policy = transfer.Policy{Wait: time.Hour} })
	ids := b.active(2)
	there, absent := ids[0].String(), "1000000000999999"
	_, err := b.reg.IssueCodes(t.Context(), city, ids...)
	require.NoError(t, err)
	strangers := []registry.Actor{
		carPark, maker, {Account: "owner2", Role: registry.RoleOwner}, {Account: "mno2", Role: registry.RoleMNO},
	}
	for _, a := range strangers[2:] {
		require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: a.Account, Role: a.Role}))
		_, token, err := b.reg.IssueToken(t.Context(), root, a.Account, "", 0)
		require.NoError(t, err)
		b.tokens[a.Account] = web.Secret(token.Reveal())
	}
	type call struct{ method, path, body string }
	calls := []call{{"PATCH", "/v1/devices/{id}", `{"add":["clientHold"]}`}}
	for _, p := range []string{"", "/profiles", "/profiles/11", "/code", "/timeline", "/transfers"} {
		calls = append(calls, call{"GET", "/v1/devices/{id}" + p, ""})
	}
	for _, p := range []string{"activate", "reset", "delete", "restore", "codes", "codes/clear", "transfers/approve", "transfers/reject", "transfers/cancel", "transfers/undo"} {
		calls = append(calls, call{"POST", "/v1/" + p, `{"devices":["{id}"]}`})
	}
	calls = append(calls,
		call{"POST", "/v1/switch", `{"mno":"telco","devices":["{id}"]}`},
		call{"POST", "/v1/status", `{"add":["clientHold"],"devices":["{id}"]}`},
		call{"POST", "/v1/confirm", `{"confirmations":[{"device":"{id}","profile":11}]}`},
		call{"POST", "/v1/transfers", `{"moves":[{"device":"{id}","code":"00000-00000-00000-00000-00000-0"}]}`},
		call{"POST", "/v1/progress", `{"reports":[{"device":"{id}","profile":11,"iccid":"8900","profileType":"t","time":"2026-11-25T12:00:00Z","point":3}]}`},
	)
	for _, a := range strangers {
		for _, c := range calls {
			told := func(id string) string {
				at := strings.NewReplacer("{id}", id)
				res, text := b.raw(a, c.method, at.Replace(c.path), at.Replace(c.body), "If-Match", "*", "If-None-Match", "*")
				require.NotEqual(t, http.StatusInternalServerError, res.StatusCode, text)
				text = regexp.MustCompile(`"urn:iotreg:request:[0-9a-f]*"`).ReplaceAllString(text, "")
				return fmt.Sprint(res.StatusCode, res.Header.Get("ETag"), res.Header.Get("Link"), strings.ReplaceAll(text, id, "ID"))
			}
			require.Equal(t, told(absent), told(there), "%s %s by the %s", c.method, c.path, a.Role)
		}
	}
}

func TestAKeyIsItsAccountsAndForOneRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	mine, theirs := b.as(parko).WithKey("order-secret-1"), b.as(carPark).WithKey("order-secret-1")
	_, err := mine.Reset(t.Context(), registry.Options{}, eid.MustParse("1"))
	require.NoError(t, err)
	b.allDone(mine.Reset(t.Context(), registry.Options{}, ids...)) // nothing was done, so the key is free
	results, err := theirs.Reset(t.Context(), registry.Options{}, ids...)
	require.NoError(t, err, "it is another account's key")
	require.ErrorIs(t, results[0].Err, registry.ErrNotFound, "and not the answer of that")
	_, err = mine.Delete(t.Context(), registry.Options{}, ids...)
	require.ErrorIs(t, err, registry.ErrKeyReused, "on another route")
	_, err = mine.Reset(t.Context(), registry.Options{DryRun: true}, ids...)
	require.ErrorIs(t, err, registry.ErrKeyReused, "in another way")
	job, err := mine.Submit(t.Context(), registry.Batch{Op: registry.OpReset}, rowsOf(registry.Row{ID: ids[0]}))
	require.NoError(t, err, "jobs have keys of their own")
	_, err = b.as(carPark).Job(t.Context(), job.ID)
	require.ErrorIs(t, err, registry.ErrNoJob)
	require.NotContains(t, b.log.String(), "order-secret")
}

func TestTheDocumentOffersKeysWhereTheyHelp(t *testing.T) {
	t.Parallel()
	without := []string{"issueToken", "issueCodes", "acknowledge", "revokeCredential", "enroll"}
	for _, ops := range spec(t)["paths"].(anyMap) {
		for method, op := range ops.(anyMap) {
			op := op.(anyMap)
			params, _ := op["parameters"].([]any)
			has := slices.ContainsFunc(params, func(p any) bool { return p.(anyMap)["name"] == "Idempotency-Key" })
			require.Equal(t, method != "get" && !slices.Contains(without, op["operationId"].(string)), has, op["operationId"])
		}
	}
}
