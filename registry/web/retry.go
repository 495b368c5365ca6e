package web

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

// Retry says how often and how fast a call is repeated after trouble on the way:
// no connection, a cut connection, or an answer that asks to come again (429,
// 500, 502, 503, 504). What the registry has decided is never repeated. Calls
// that would do harm when they are made twice are only repeated where the
// registry has not begun them (429); their comments say so.
type Retry struct {
	Attempts int           // in all; 0 means 5, 1 never repeats
	Min      time.Duration // before the second attempt, doubled each time; 0 means 100 ms
	Max      time.Duration // longest wait, also bounding Retry-After; 0 means 30 s
}

// do runs f until it succeeds, fails for good, the attempts are used up, or ctx
// ends.
func (r Retry) do(ctx context.Context, rand io.Reader, once bool, f func() error) error {
	attempts, wait, longest := r.Attempts, r.pause(), r.Max
	if attempts <= 0 {
		attempts = 5
	}
	if longest <= 0 {
		longest = 30 * time.Second
	}
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("registry/web: %w (%w)", ctx.Err(), err)
		}
		again, after := repeatable(err, once)
		if !again || n >= attempts {
			return err
		}
		if sleep(ctx, min(max(jitter(rand, wait), after), longest)) != nil {
			return fmt.Errorf("registry/web: %w (last attempt: %w)", ctx.Err(), err)
		}
		wait = min(2*wait, longest)
	}
}

func (r Retry) pause() time.Duration {
	if r.Min <= 0 {
		return 100 * time.Millisecond
	}
	return r.Min
}

// repeatable says whether a failed attempt is worth another, and how long the
// registry asks to wait before it.
func repeatable(err error, once bool) (bool, time.Duration) {
	var te *TransportError
	if errors.As(err, &te) {
		return !te.permanent && (!once || te.Status == http.StatusTooManyRequests), te.after
	}
	var p *Problem
	if !errors.As(err, &p) {
		return false, 0
	}
	if p.Kind == kindOf(ErrRate) {
		return true, p.after
	}
	return !once && p.Retryable && (p.Status >= 500 || p.Kind == "conflict"), p.after
}

// transient reports whether an answer that is not the registry's may be another
// one next time.
func transient(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented ||
		status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
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

func retryAfter(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 0 || s > 3600 {
		return 0
	}
	return time.Duration(s) * time.Second
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

func (c *Client) random() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return crand.Reader
}

func newKey(rand io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("registry/web: draw a key: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
