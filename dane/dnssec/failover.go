package dnssec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Failover is an Exchanger that asks its upstreams in order until one gives an
// answer that a validator can use. It moves on when an upstream fails, answers
// SERVFAIL, REFUSED, NOTIMP or FORMERR, or is not aware of DNSSEC. Without any
// upstream it fails.
type Failover []Exchanger

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
	var errs []error
	var poor *dns.Msg
	for _, e := range f {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		m, err := e.Exchange(ctx, q.Copy())
		switch {
		case err != nil:
			errs = append(errs, err)
		case m == nil:
			errs = append(errs, fmt.Errorf("dnssec: %w: %s: no reply", ErrUpstream, upstream(e)))
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			poor = m
		case unaware(m):
			errs = append(errs, fmt.Errorf("dnssec: %s: %w", upstream(e), ErrStripped))
		default:
			return m, nil
		}
	}
	if poor != nil {
		return poor, nil
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("dnssec: %w: no upstream is configured", ErrUpstream)
	}
	return nil, errors.Join(errs...)
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

// systemExchanger asks what /etc/resolv.conf names.
func systemExchanger() Exchanger {
	conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return Failover{}
	}
	var f Failover
	for _, server := range conf.Servers {
		f = append(f, &Client{Addr: server})
	}
	return f
}
