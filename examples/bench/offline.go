package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// chainOf gathers what proves a device's record: six messages.
func chainOf(ctx context.Context, w *danetest.World, name string) ([]*dns.Msg, error) {
	var msgs []*dns.Msg
	for _, q := range []dns.Question{
		{Name: ".", Qtype: dns.TypeDNSKEY},
		{Name: "ca.", Qtype: dns.TypeDS}, {Name: "ca.", Qtype: dns.TypeDNSKEY},
		{Name: "iotregistry.ca.", Qtype: dns.TypeDS}, {Name: "iotregistry.ca.", Qtype: dns.TypeDNSKEY},
		{Name: name, Qtype: dns.TypeCERT},
	} {
		m, err := w.Exchange(ctx, query(q.Name, q.Qtype))
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, m)
	}
	return msgs, nil
}

func query(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)
}

// offline compares the validation of a chain with the bare verifications of the
// signatures in it. The two take turns, so that a noisy machine disturbs both.
func (b *daneRun) offline(ctx context.Context, r *report) error {
	s := r.section("offline", "Offline validation of root > ca > iotregistry.ca > CERT, six messages, P-256")
	n := &notary{acts: map[string]act{}}
	w := danetest.NewWorld(b.stage, danetest.Config{Zones: threeZones(), Keys: n.keys})
	if err := addDevices(w, 1); err != nil {
		return err
	}
	anchors, err := anchorsOf(w)
	if err != nil {
		return err
	}
	msgs, err := chainOf(ctx, w, device(0))
	if err != nil {
		return err
	}
	var acts []act
	for _, m := range msgs {
		for _, rr := range m.Answer {
			if sig, ok := rr.(*dns.RRSIG); ok {
				a, ok := n.of(sig)
				if !ok {
					return fmt.Errorf("signature of %s is nobody's", sig.Hdr.Name)
				}
				acts = append(acts, a)
			}
		}
	}
	q, now := dns.Question{Name: device(0), Qtype: dns.TypeCERT, Qclass: dns.ClassINET}, w.Now()
	res := dnssec.Validate(q, anchors, now, msgs...)
	if res.Status != dnssec.Secure {
		return fmt.Errorf("the chain is %s: %w", res.Status, res.Reason)
	}
	ours, bare, ratio, err := duel(b.rounds, 40,
		func() bool { return dnssec.Validate(q, anchors, now, msgs...).Status == dnssec.Secure },
		func() bool {
			return !slices.ContainsFunc(acts, func(a act) bool { return !ecdsa.VerifyASN1(a.key, a.digest, a.asn1) })
		})
	if err != nil {
		return err
	}
	s.goal("offline_ratio", ratio, "x", 1.3, "CPU of Validate over that of the bare verifications")
	s.add("offline_validate", micros(ours), "us CPU", "")
	s.add("offline_bare", micros(bare), "us CPU", fmt.Sprintf("%d ecdsa.VerifyASN1", len(acts)))
	s.add("offline_verifications", float64(res.Verifications), "signatures", "")
	return nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// duel returns the median CPU times of one call of each function, and the
// median of the ratios of neighbouring turns.
func duel(rounds, calls int, a, b func() bool) (ta, tb time.Duration, ratio float64, err error) {
	turn := func(f func() bool) time.Duration {
		begin := cpuTime()
		for range calls {
			if !f() {
				err = errors.New("a verification failed")
			}
		}
		return (cpuTime() - begin) / time.Duration(calls)
	}
	var as, bs []time.Duration
	var ratios []float64
	for range rounds {
		x, y := turn(a), turn(b)
		as, bs = append(as, x), append(bs, y)
		ratios = append(ratios, float64(x)/float64(max(y, 1)))
	}
	return median(as), median(bs), median(ratios), err
}

func median[T time.Duration | float64](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
