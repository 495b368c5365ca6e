package retry_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/retry"
)

func TestNothingSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"no connection":   {fmt.Errorf("call: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), true},
		"no such host":    {&net.DNSError{Err: "no such host", Name: "smdp.example"}, true},
		"cut while read":  {&net.OpError{Op: "read", Err: errors.New("reset")}, false},
		"cut while write": {&net.OpError{Op: "write", Err: errors.New("reset")}, false},
		"anything":        {errors.New("x"), false},
	} {
		require.Equal(t, c.want, retry.NothingSent(c.err), name)
	}
}

// A redirect is an answer, and the client that was given stays as it was.
func TestStraight(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("https://elsewhere.example/", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	given := server.Client()
	for _, c := range []*http.Client{given, nil} {
		res, err := retry.Straight(c).Get(server.URL)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusTemporaryRedirect, res.StatusCode)
	}
	require.Nil(t, given.CheckRedirect)
	require.Nil(t, http.DefaultClient.CheckRedirect)
}
