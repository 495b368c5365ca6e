package mnosim_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/mno/mnotest"
)

// Whatever a device sends, it gets one of the documented answers, and cannot
// finish a profile that was never downloaded.
func FuzzDeviceRequest(f *testing.F) {
	for _, body := range []string{`{"deviceId":"1000000000000001","afterProfileId":10}`, `{"deviceId":"1000000000000001","profileId":11,"ok":true}`,
		`{"deviceId":"1000000000000001","profileId":11,"ok":false,"error":"x"}`, `{}`, `[]`, "", `{"deviceId":null}`} {
		f.Add(true, body)
		f.Add(false, body)
	}
	f.Fuzz(func(t *testing.T, download bool, body string) {
		op, err := mnosim.New(mnosim.Config{})
		require.NoError(t, err)
		_, err = op.Engine().Operator("registry").Order(t.Context(), mnotest.Order(t, 1, 11))
		require.NoError(t, err)
		path, codes := mnosim.PathInstalled, []int{400, 404, 409}
		if download {
			path, codes = mnosim.PathDownload, []int{200, 204, 400}
		}
		w := httptest.NewRecorder()
		op.DeviceHandler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		require.Contains(t, codes, w.Code, "%s", w.Body)
	})
}

type answer struct {
	code int
	body string
}

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.code, Body: io.NopCloser(strings.NewReader(a.body)), Header: http.Header{}}, nil
}

// Whatever an operator answers, Fetch gives a newer profile or a typed error.
func FuzzDeviceAnswer(f *testing.F) {
	f.Add(200, `{"iccid":"8944476500001224158","matchingId":"M","profileId":12,"sealed":"c2VhbGVk"}`)
	f.Add(204, "")
	f.Add(500, "x")
	f.Add(200, `{"profileId":-1,"sealed":[]}`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		d := &mnosim.Device{BaseURL: "https://op.example", HTTP: &http.Client{Transport: answer{code, body}}, Device: mnotest.Order(t, 1, 0).Device}
		sealed, id, err := d.Fetch(t.Context(), 11)
		var ce *mnosim.CallError
		switch {
		case err == nil:
			require.Greater(t, id, uint64(11))
			require.NotEmpty(t, sealed)
		case !errors.Is(err, mnosim.ErrNothing):
			require.ErrorAs(t, err, &ce)
		}
	})
}
