package es2

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Retry says how often and how fast a call is repeated after transport trouble:
// no connection, a cut connection, HTTP 408, 429 or 5xx. What the peer said in
// ES2+ terms, and a failed TLS handshake, is never repeated.
type Retry struct {
	Attempts int           // in all; zero means 5, 1 never repeats
	Min      time.Duration // before the second attempt, doubled each time; zero means 100 ms
	Max      time.Duration // longest wait, also bounding the peer's Retry-After; zero means 5 s
}

// TransportError reports that no ES2+ answer came. The call may have been
// carried out or not: repeat it, orders are idempotent.
type TransportError struct {
	Path   string // the function called
	Status int    // HTTP status, zero where there was none
	Err    error  // what happened

	permanent bool
	after     time.Duration
}

var errTooLarge = fmt.Errorf("body is larger than %d bytes", MaxBody)

// Error gives path, HTTP status and cause.
func (e *TransportError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("es2: %s: HTTP %d: %v", e.Path, e.Status, e.Err)
	}
	return fmt.Sprintf("es2: %s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Retryable reports whether the call is worth repeating as it is.
func (e *TransportError) Retryable() bool { return !e.permanent }

// do runs f until it succeeds, fails for good, the attempts are used up, or ctx
// ends.
func (r Retry) do(ctx context.Context, rand io.Reader, f func() error) error {
	attempts, wait, longest := r.Attempts, r.Min, r.Max
	if attempts <= 0 {
		attempts = 5
	}
	if wait <= 0 {
		wait = 100 * time.Millisecond
	}
	if longest <= 0 {
		longest = 5 * time.Second
	}
	for n := 1; ; n++ {
		err := f()
		var te *TransportError
		if err == nil || !errors.As(err, &te) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("es2: %s: %w", te.Path, ctx.Err())
		}
		if te.permanent || n >= attempts {
			return err
		}
		if sleep(ctx, min(max(jitter(rand, wait), te.after), longest)) != nil {
			return fmt.Errorf("es2: %s: %w (last attempt: %v)", te.Path, ctx.Err(), te)
		}
		wait = min(2*wait, longest)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jitter spreads d over its upper half, so that a fleet's retries do not meet.
func jitter(rand io.Reader, d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return d
	}
	half := uint64(d / 2)
	return d - time.Duration(binary.BigEndian.Uint64(b[:])%(half+1))
}

// permanent reports whether a failed request would fail again: TLS refused one
// side's certificate, or the peers speak no common TLS.
func permanent(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	// crypto/tls gives a peer's alert no exported type, but a name of its own.
	alert := errors.As(err, &op) && op.Op == "remote error"
	return alert || errors.As(err, &cert) || errors.As(err, &record)
}

func retryAfter(res *http.Response) time.Duration {
	s, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || s < 0 || s > 3600 {
		return 0
	}
	return time.Duration(s) * time.Second
}

func (c *Client) random() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return crand.Reader
}

func (c *Client) callID() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(c.random(), b[:]); err != nil {
		return "", fmt.Errorf("es2: call identifier: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// http returns the client to use, made to stop at redirects: an order follows
// nobody to another host.
func (c *Client) http() *http.Client {
	h := http.DefaultClient
	if c.HTTP != nil {
		h = c.HTTP
	}
	own := *h
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}
