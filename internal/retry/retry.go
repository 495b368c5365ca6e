// Package retry repeats calls to servers over HTTP at a pace that does not hurt
// them. What is worth repeating is its callers' to say.
package retry

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// DefaultAttempts is how often a call is made in all where nobody says.
const DefaultAttempts = 5

const defaultMin = 100 * time.Millisecond

// maxAfter is the longest wait that a server may ask for.
const maxAfter = time.Hour

// Pace says how often and how fast a call is repeated.
type Pace struct {
	Attempts int           // in all; 0 means DefaultAttempts, 1 never repeats
	Min      time.Duration // before the second attempt, doubled each time; 0 means 100 ms
	Max      time.Duration // longest wait, also bounding what the server asks for
	Rand     io.Reader     // spreads the waits; required
}

// Do calls f until it succeeds, says that it should not be called again, the
// attempts are used up, or ctx ends. After is how long the server asks to be
// left alone, 0 where it does not. Where ctx ended, the error wraps its own and
// tells the last of f: the caller's end is not the server's trouble.
func (p Pace) Do(ctx context.Context, f func() (again bool, after time.Duration, err error)) error {
	attempts, wait := p.Attempts, p.Min
	if attempts <= 0 {
		attempts = DefaultAttempts
	}
	if wait <= 0 {
		wait = defaultMin
	}
	for n := 1; ; n++ {
		again, after, err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		if !again || n >= attempts {
			return err
		}
		if Sleep(ctx, min(max(Jitter(p.Rand, wait), after), p.Max)) != nil {
			return ended(ctx, err)
		}
		wait = min(2*wait, p.Max)
	}
}

func ended(ctx context.Context, last error) error {
	return fmt.Errorf("%w (last attempt: %v)", ctx.Err(), last)
}

// Sleep waits for d, or until ctx ends and then returns its error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Jitter spreads d over its upper half, so that a fleet's retries do not meet.
func Jitter(rand io.Reader, d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return d
	}
	half := uint64(d / 2)
	return d - time.Duration(binary.BigEndian.Uint64(b[:])%(half+1))
}

// Permanent reports whether a request that failed without an answer would fail
// again: TLS refused one side's certificate, or the peers speak no common TLS.
func Permanent(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	// crypto/tls gives a peer's alert no exported type, but a name of its own.
	alert := errors.As(err, &op) && op.Op == "remote error"
	return alert || errors.As(err, &cert) || errors.As(err, &record)
}

// NothingSent reports whether a request failed before a byte of it left, so that
// it cannot have been carried out.
func NothingSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

// Straight returns a copy of c, nil being http.DefaultClient, that stops at
// redirects: what a call carries, a token or a proof, follows nobody to another
// host.
func Straight(c *http.Client) *http.Client {
	if c == nil {
		c = http.DefaultClient
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// After is how long an answer asks to be left alone (RFC 9110 section 10.2.3, in
// seconds); 0 where it does not, or asks for more than an hour.
func After(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 0 || s > int(maxAfter/time.Second) {
		return 0
	}
	return time.Duration(s) * time.Second
}
