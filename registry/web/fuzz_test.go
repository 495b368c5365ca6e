package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

// Whatever arrives, the registry does not fail, and answers in JSON.
func FuzzRequest(f *testing.F) {
	for i, pattern := range web.Patterns() {
		_, path, _ := strings.Cut(pattern, " ")
		for _, body := range []string{
			"", `{"devices":["1000000000000001"],"atomic":true}`, `{"moves":[{"device":"1","code":"x"}]}`,
			`{"op":"import","owner":"ottawa","mno":"telco","items":[{"device":"1","line":2}]}`, "Device ID\n1\n",
			`{"reports":[{"device":"1","point":3,"failure":{"subject":"8.1","reason":"4.2"}}]}`,
			`{"claims":[{"device":"1","key":"x"}]}`, `{"add":["clientHold"]}`, `{"ids":["x"]}`, `{"confirmations":[{"device":"1","profile":1}]}`,
		} {
			f.Add(i, strings.NewReplacer("{id}", "1000000000000001", "{profile}", "11").Replace(path), "limit=1", body, "application/json", `"1"`)
		}
	}
	f.Add(0, "/v1/jobs", "op=activate", "Device ID\n1\n", "text/csv", "")
	f.Add(0, "/v1/claims", "", "-----BEGIN CERTIFICATE-----\n", "application/x-pem-file", "eA==")
	b := newBench(f)
	b.active(1)
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"}
	f.Fuzz(func(t *testing.T, who int, path, query, body, contentType, header string) {
		r := httptest.NewRequest(methods[uint(who)%uint(len(methods))], "/", strings.NewReader(body))
		r.URL.Path, r.URL.RawQuery = "/"+strings.TrimPrefix(path, "/"), query
		if strings.HasSuffix(path, "/events") {
			return // which wait
		}
		a := actors()[uint(who)%uint(len(actors()))]
		r.Header.Set("Authorization", "Bearer "+string(b.tokens[a.Account]))
		r.Header["Content-Type"] = []string{contentType}
		r.Header["If-Match"], r.Header["If-None-Match"], r.Header["Signature"] = []string{header}, []string{header}, []string{header}
		w := httptest.NewRecorder()
		b.srv.ServeHTTP(w, r)
		require.NotEqual(t, http.StatusInternalServerError, w.Code, "%s", w.Body)
		if w.Code >= 400 {
			p := problem(t, w.Body.String())
			require.Equal(t, w.Code, p.Status)
			require.Equal(t, p.Kind, web.ProblemOf(p).Kind, "it can be handed on")
		}
	})
}

// Whatever a server answers, the client makes something of it that can be used.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"results":[{"device":"1","code":1000},{"code":2303,"error":{"op":"x","kind":"not-found","code":2303,"detail":"d"}}]}`)
	f.Add(409, "application/problem+json", `{"kind":"state","op":"activate","device":"1","detail":"x","rows":[{"line":1,"detail":"y"}],"results":[{"code":1001}]}`)
	f.Add(502, "text/html", "<html>")
	f.Add(204, "", "")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		res := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}}
		var out struct {
			Results []registry.Result `json:"results"`
		}
		err := web.DecodeAnswer(res, []byte(body), &out)
		if err == nil {
			_, jsonErr := json.Marshal(out)
			require.NoError(t, jsonErr)
			return
		}
		_ = err.Error()
		_ = registry.Kind(err) + registry.Kind(web.ProblemOf(err))
	})
}

// Tokens of the submission's own reader and of encoding/json agree: what is taken
// is one object with every item in it.
func FuzzJob(f *testing.F) {
	for _, s := range []string{
		`{"op":"activate","items":[]}`, `{"op":"activate","items":[{"device":"1"},{"device":"2","line":3}]}`,
		`{"op":"reset","atomic":true,"dryRun":false,"owner":"o","mno":"m","items":[{"device":"1"}]}`,
		` { "op" : "delete" , "items" : [ { "device" : "1" } ] } `, `{"op":"activate","items":[]}x`, `{"items":[]}`,
	} {
		f.Add(s)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/v1/jobs", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+string(b.tokens[parko.Account]))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		b.srv.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			require.Less(t, w.Code, 500, "%s", w.Body)
			return
		}
		var sent struct {
			Op    registry.Op      `json:"op"`
			Items []map[string]any `json:"items"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &sent), body)
		var j registry.Job
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &j))
		require.Equal(t, sent.Op, j.Op)
		require.Len(t, sent.Items, j.Total)
	})
}
