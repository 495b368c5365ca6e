package web

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/internal/retry"
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
	longest := r.Max
	if longest <= 0 {
		longest = 30 * time.Second
	}
	err := retry.Pace{Attempts: r.Attempts, Min: r.Min, Max: longest, Rand: rand}.Do(ctx, func() (bool, time.Duration, error) {
		err := f()
		again, after := repeatable(err, once)
		return again, after, err
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("registry/web: %w", err)
	}
	return err
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
