package dnssec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Failover is an Exchanger that asks its upstreams in order until one gives an
// answer that a validator can use. It moves on when an upstream fails, answers
// SERVFAIL, REFUSED, NOTIMP or FORMERR, or is not aware of DNSSEC; and when one
// has been silent for a second, the next is asked beside it, so that a dead
// upstream costs a second and not a time-out. Without any upstream it fails.
type Failover []Exchanger

// headStart is how long an upstream has before the next is asked too.
const headStart = time.Second

// String names the upstreams.
func (f Failover) String() string {
	names := make([]string, len(f))
	for i, e := range f {
		names[i] = upstream(e)
	}
	return strings.Join(names, ", ")
}

// Exchange asks the upstreams. If no answer is good but some upstream gave one
// with a failure code, that is returned; else the error joins all errors.
func (f Failover) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	outcomes := make(chan outcome, len(f))
	errs := []error{ctx.Err()}
	var poor *dns.Msg
	for next, running := 0, 0; ; {
		if next < len(f) && ctx.Err() == nil {
			e := f[next]
			wg.Go(func() { outcomes <- try(ctx, e, q.Copy()) })
			next, running = next+1, running+1
		}
		if running == 0 {
			return poor, f.verdict(poor, errs)
		}
		o, ok := await(outcomes, next < len(f))
		if !ok {
			continue // silent for too long: ask the next one too
		}
		if running--; o.err == nil && !o.poor {
			return o.msg, nil
		} else if o.err == nil {
			poor = o.msg
		}
		errs = append(errs, o.err)
	}
}

// await returns the next outcome, or false if it takes too long and there is
// another upstream to ask.
func await(outcomes <-chan outcome, more bool) (o outcome, ok bool) {
	if !more {
		return <-outcomes, true
	}
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	select {
	case o = <-outcomes:
		return o, true
	case <-timer.C:
		return o, false
	}
}

func (f Failover) verdict(poor *dns.Msg, errs []error) error {
	err := errors.Join(errs...)
	switch {
	case poor != nil:
		return nil
	case err == nil:
		return fmt.Errorf("dnssec: %w: no upstream is configured", ErrUpstream)
	}
	return err
}

// outcome is what one upstream made of a query. A poor message is one with a
// failure code.
type outcome struct {
	msg  *dns.Msg
	poor bool
	err  error
}

func try(ctx context.Context, e Exchanger, q *dns.Msg) outcome {
	m, err := e.Exchange(ctx, q)
	switch {
	case err != nil:
		return outcome{err: err}
	case m == nil:
		return outcome{err: fmt.Errorf("dnssec: %w: %s: no reply", ErrUpstream, upstream(e))}
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return outcome{msg: m, poor: true}
	case unaware(m):
		return outcome{err: fmt.Errorf("dnssec: %s: %w", upstream(e), ErrStripped)}
	}
	return outcome{msg: m}
}

// unaware recognises an upstream that does not know of DNSSEC: it neither
// echoes the DO bit (RFC 3225 section 3) nor sends signatures.
func unaware(m *dns.Msg) bool {
	if opt := m.IsEdns0(); opt != nil && opt.Do() {
		return false
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			if rr.Header().Rrtype == dns.TypeRRSIG {
				return false
			}
		}
	}
	return true
}
