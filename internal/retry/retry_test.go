package retry_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/retry"
)

var errDown = errors.New("down")

func TestDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		attempts int
		good     int // the attempt that succeeds
		final    int // the attempt that says not to come again
		calls    int
	}{
		{"at once", 0, 1, 0, 1},
		{"at last", 0, 5, 0, 5},
		{"not often enough", 0, 6, 0, 5},
		{"as often as asked", 3, 4, 0, 3},
		{"never again", 1, 2, 0, 1},
		{"what is final is not repeated", 0, 6, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			p := retry.Pace{Attempts: c.attempts, Min: time.Nanosecond, Max: time.Microsecond, Rand: rand.Reader}
			err := p.Do(t.Context(), func() (bool, time.Duration, error) {
				if calls++; calls == c.good {
					return false, 0, nil
				}
				return calls != c.final, time.Hour, errDown
			})
			require.Equal(t, c.calls, calls)
			if c.calls == c.good {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, errDown)
			}
		})
	}
}

// Whoever gives up is told so, and why the last attempt failed.
func TestDoEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, waiting := range map[string]bool{"while it waits": true, "after an attempt": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := retry.Pace{Min: time.Hour, Max: time.Hour, Rand: rand.Reader}
			err := p.Do(ctx, func() (bool, time.Duration, error) {
				if waiting {
					time.AfterFunc(time.Millisecond, cancel)
				} else {
					cancel()
				}
				return true, 0, errDown
			})
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, errDown)
			require.ErrorContains(t, err, errDown.Error())
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	for range 1000 {
		d := retry.Jitter(rand.Reader, time.Second)
		require.GreaterOrEqual(t, d, time.Second/2)
		require.LessOrEqual(t, d, time.Second)
	}
	require.Equal(t, time.Second, retry.Jitter(bytes.NewReader(nil), time.Second), "without chance the whole wait")
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a certificate that does not verify": {&tls.CertificateVerificationError{Err: errDown}, true},
		"no TLS at all":                      {tls.RecordHeaderError{Msg: "no"}, true},
		"the peer's alert":                   {&net.OpError{Op: "remote error", Err: errDown}, true},
		"a refused connection":               {&net.OpError{Op: "dial", Err: errDown}, false},
		"anything":                           {errDown, false},
	} {
		require.Equal(t, c.want, retry.Permanent(fmt.Errorf("call: %w", c.err)), name)
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "3600": time.Hour, "3601": 0, "soon": 0, "Wed, 25 Nov 2026 12:00:00 GMT": 0,
	} {
		require.Equal(t, want, retry.After(http.Header{"Retry-After": {text}}), text)
	}
}
