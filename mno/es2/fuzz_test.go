package es2_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
)

// direct is a RoundTripper into a handler, without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func inMemory(h http.Handler) *es2.Client {
	return &es2.Client{BaseURL: "https://smdp.example", Requester: "r", HTTP: &http.Client{Transport: direct{h}},
		Retry: es2.Retry{Attempts: 1}}
}

var paths = []string{es2.PathDownloadOrder, es2.PathConfirmOrder, es2.PathCancelOrder, es2.PathReleaseProfile,
	es2.PathHandleDownloadProgressInfo, es2.PathHandleNotification}

// Whatever arrives, the answer is well-formed, and what the back end is given
// arrives unchanged when sent on by our own client.
func FuzzES2Request(f *testing.F) {
	for i, body := range []string{
		`{` + head + `,"eid":"89049032123451234512345678901235","iccid":"8944476500001224158F"}`,
		`{` + head + `,"iotDeviceId":"1000000000000001","profileType":"P","iotProfileId":11,"iotSealedProfile":"c2VhbGVk"}`,
		`{` + head + `,"iccid":"8944476500001224158","releaseFlag":true,"matchingId":"","confirmationCode":"1"}`,
		`{` + head + `,"iccid":"8944476500001224158","finalProfileStatusIndicator":"Available","matchingId":"A"}`,
		`{` + head + `,"iccid":"8944476500001224158"}`,
		`{` + head + `,"iccid":"8944476500001224158","profileType":"P","timestamp":"2026-11-24T10:00:00Z","notificationPointId":"4",` +
			`"notificationPointStatus":{"status":"Failed","statusCodeData":{"subjectCode":"8.1","reasonCode":"4.8"}},"resultData":"vzcA"}`,
		`{` + head + `,"iccid":"8944476500001225158","finalProfileStatusIndicator":"Available"}`, // not the one that others speak of
		`{` + head + `,"profileType":"P","iotSealedProfile":""}`,
		`{"header":{}}`, `[]`, `{"a":{"a":{"a":[[[[[[[]]]]]]]}}}`, `{"iccid":"1","ICCID":"2"}`, "\xff", `{"iccid":null}`,
	} {
		f.Add(byte(max(i-1, 0)), body)
	}
	f.Fuzz(func(t *testing.T, which byte, body string) {
		b := &script{}
		var news []mno.Progress
		open := &es2.Options{AllowNoClientCertificate: true}
		orders := es2.NewHandler(b, open)
		progress := es2.NewProgressHandler(func(_ context.Context, p mno.Progress) error { news = append(news, p); return nil }, open)
		path := paths[int(which)%len(paths)]
		h := orders
		if path == es2.PathHandleDownloadProgressInfo || path == es2.PathHandleNotification {
			h = progress
		}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Admin-Protocol", es2.Version)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Contains(t, []int{200, 204, 400, 413}, w.Code)
		require.Equal(t, w.Code == 200, json.Valid(w.Body.Bytes()), "%s", w.Body)
		require.Equal(t, w.Code != 400 && w.Code != 413, w.Header().Get("Content-Type") != "text/plain; charset=utf-8")
		again(t, inMemory(h), b, &news)
	})
}

// again sends the noun the back end got once more and compares.
func again(t *testing.T, c *es2.Client, b *script, news *[]mno.Progress) {
	var err error
	switch {
	case len(*news) == 1:
		err = c.HandleDownloadProgressInfo(t.Context(), (*news)[0])
		require.Len(t, *news, 2)
		(*news)[0].Time = (*news)[0].Time.Truncate(1e9) // seconds on the wire
		require.Equal(t, (*news)[0], (*news)[1])
	case len(b.got) == 0:
		return
	default:
		switch noun := b.got[0].(type) {
		case mno.Order:
			_, err = c.DownloadOrder(t.Context(), noun)
		case es2.ConfirmOrder:
			_, err = c.ConfirmOrder(t.Context(), noun)
		case es2.CancelOrder:
			err = c.CancelOrder(t.Context(), noun)
		case string:
			err = c.ReleaseProfile(t.Context(), noun)
		}
		require.Len(t, b.got, 2)
		require.Equal(t, b.got[0], b.got[1])
	}
	require.NoError(t, err)
}

// Whatever an SM-DP+ answers, the client returns values or a typed error.
func FuzzES2Response(f *testing.F) {
	for _, body := range []string{
		executed, `{"header":{"functionExecutionStatus":{"status":"Executed-Success"}},"iccid":"8944476500001224158F"}`,
		`{"header":{"functionExecutionStatus":{"status":"Executed-Success"}},"matchingId":"","eid":"89049032123451234512345678901235"}`,
		`{"header":{"functionExecutionStatus":{"status":"Failed","statusCodeData":{"subjectCode":"8.2.1","reasonCode":"3.9"}}}}`,
		`{"header":{"functionExecutionStatus":{"status":"Expired"}}}`, `{}`, `null`, "", `{"header":null}`,
	} {
		f.Add(200, body)
		f.Add(204, body)
		f.Add(500, body)
	}
	f.Fuzz(func(t *testing.T, code int, body string) {
		c := inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(200 + abs(code)%400)
			_, _ = io.WriteString(w, body)
		}))
		number, err := c.DownloadOrder(t.Context(), mno.Order{ProfileType: "P"})
		checkError(t, err)
		if err == nil {
			canonical, err := mno.CanonicalICCID(number)
			require.NoError(t, err)
			require.Equal(t, canonical, number)
		}
		_, err = c.ConfirmOrder(t.Context(), es2.ConfirmOrder{ICCID: iccid})
		checkError(t, err)
		checkError(t, c.ReleaseProfile(t.Context(), iccid))
		checkError(t, c.HandleDownloadProgressInfo(t.Context(), mno.Progress{ICCID: iccid}))
	})
}

func checkError(t *testing.T, err error) {
	var se *mno.StatusError
	var te *es2.TransportError
	require.True(t, err == nil || errors.As(err, &se) || errors.As(err, &te), "%T %v", err, err)
	if err != nil {
		require.Less(t, len(err.Error()), 2000, "errors quote a bounded part of what came")
	}
}

func abs(n int) int { return max(n, -(n + 1)) }
