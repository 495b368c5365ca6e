package es9

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/iotregistry/sdk/internal/retry"
)

// Retry says how often and how fast a call is repeated after transport trouble:
// no connection, a cut connection, HTTP 408, 429 or 5xx. What the SM-DP+ said in
// ES9+ terms, and a failed TLS handshake, is never repeated.
type Retry struct {
	Attempts int           // in all; zero means 5, 1 never repeats
	Min      time.Duration // before the second attempt, doubled each time; zero means 100 ms
	Max      time.Duration // longest wait, also bounding the peer's Retry-After; zero means 5 s
}

// TransportError reports that no ES9+ answer came. The call may have been
// carried out or not.
type TransportError struct {
	Path   string // the function called, or the path of the ASN.1 binding
	Status int    // HTTP status, zero where there was none
	Err    error  // what happened

	permanent bool
	after     time.Duration
}

// Error gives path, HTTP status and cause.
func (e *TransportError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("es9: %s: HTTP %d: %v", e.Path, e.Status, e.Err)
	}
	return fmt.Sprintf("es9: %s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Retryable reports whether the same call is worth repeating as it is. A
// download can be begun anew where it is not.
func (e *TransportError) Retryable() bool { return !e.permanent }

// do runs f until it succeeds, fails for good, the attempts are used up, or ctx
// ends.
func (r Retry) do(ctx context.Context, rand io.Reader, f func() error) error {
	longest := r.Max
	if longest <= 0 {
		longest = 5 * time.Second
	}
	err := retry.Pace{Attempts: r.Attempts, Min: r.Min, Max: longest, Rand: rand}.Do(ctx, func() (bool, time.Duration, error) {
		err := f()
		var te *TransportError
		if err == nil || !errors.As(err, &te) {
			return false, 0, err
		}
		return !te.permanent, te.after, err
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("es9: %w", err)
	}
	return err
}

func (c *Client) random() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return crand.Reader
}
