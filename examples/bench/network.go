package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// path is a network with a round-trip time. It counts queries and, apart from
// any clock, rounds: how many answers had to be waited for one after the other.
type path struct {
	next dnssec.Exchanger
	rtt  time.Duration

	mu      sync.Mutex
	queries int
	rounds  int // of answers that have come
}

func (p *path) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	p.mu.Lock()
	p.queries++
	round := p.rounds + 1 // whoever asks now may know all answers that have come
	p.mu.Unlock()
	m, err := p.next.Exchange(ctx, q)
	timer := time.NewTimer(p.rtt)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	p.rounds = max(p.rounds, round)
	p.mu.Unlock()
	return m, err
}

// counts returns the figures since the last call.
func (p *path) counts() (queries, rounds int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	queries, rounds = p.queries, p.rounds
	p.queries, p.rounds = 0, 0
	return queries, rounds
}

// lookups measures how long cold and warm look-ups wait for the network.
func (b *daneRun) lookups(ctx context.Context, r *report) error {
	w := danetest.NewWorld(b.stage, danetest.Config{Zones: threeZones()})
	if err := addDevices(w, 2); err != nil {
		return err
	}
	anchors, err := anchorsOf(w)
	if err != nil {
		return err
	}
	p := &path{next: w, rtt: b.rtt}
	fresh := func() *dnssec.Resolver {
		return &dnssec.Resolver{Exchanger: p, Anchors: anchors, Now: w.Now}
	}
	for i := range 2 { // the world signs denials when they are first asked for
		if _, err := secure(ctx, fresh(), device(i), dns.TypeCERT); err != nil {
			return err
		}
	}
	p.counts()
	if err := b.cold(ctx, r, p, fresh); err != nil {
		return err
	}
	return b.warm(ctx, r, p, fresh())
}

func (b *daneRun) cold(ctx context.Context, r *report, p *path, fresh func() *dnssec.Resolver) error {
	s := r.section("cold", fmt.Sprintf("Cold look-up of a device's CERT at %s round trip", b.rtt))
	var trips []float64
	var res *dnssec.Result
	var queries, rounds int
	for range b.trials {
		begin := time.Now()
		var err error
		if res, err = secure(ctx, fresh(), device(0), dns.TypeCERT); err != nil {
			return err
		}
		trips = append(trips, float64(time.Since(begin))/float64(b.rtt))
		queries, rounds = p.counts()
	}
	s.goal("cold_round_trips", median(trips), "round trips", 2.2, "time taken, CPU included")
	s.add("cold_rounds", float64(rounds), "rounds", "answers waited for one after the other")
	s.add("cold_queries", float64(queries), "queries", "most of them at once")
	s.add("cold_verifications", float64(res.Verifications), "signatures", "")
	begin := time.Now()
	if err := serial(ctx, p, device(0), dns.TypeCERT); err != nil {
		return err
	}
	s.add("serial_round_trips", float64(time.Since(begin))/float64(b.rtt), "round trips", "asking one question at a time, as serial validators do")
	queries, _ = p.counts()
	s.add("serial_queries", float64(queries), "queries", "one after the other")
	return nil
}

// serial asks what a validator asks that learns the next question from the last
// answer: the record, then the keys and the DS of every signer up to the root.
func serial(ctx context.Context, x dnssec.Exchanger, name string, qtype uint16) error {
	for {
		m, err := x.Exchange(ctx, query(name, qtype))
		if err != nil {
			return err
		}
		var signer string
		for _, rr := range m.Answer {
			if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == qtype {
				signer = sig.SignerName
			}
		}
		switch {
		case signer == "":
			return fmt.Errorf("%s %s is not signed", name, dns.Type(qtype))
		case qtype != dns.TypeDNSKEY:
			name, qtype = signer, dns.TypeDNSKEY
		case name == ".":
			return nil
		default:
			qtype = dns.TypeDS
		}
	}
}

func (b *daneRun) warm(ctx context.Context, r *report, p *path, resolver *dnssec.Resolver) error {
	s := r.section("warm", "Zones known, another device")
	if _, err := secure(ctx, resolver, device(0), dns.TypeCERT); err != nil {
		return err
	}
	p.counts()
	begin := time.Now()
	res, err := secure(ctx, resolver, device(1), dns.TypeCERT)
	if err != nil {
		return err
	}
	trips := float64(time.Since(begin)) / float64(b.rtt)
	queries, rounds := p.counts()
	s.goal("warm_rounds", float64(rounds), "rounds", 1, "")
	s.goal("warm_queries", float64(queries), "queries", 1, "")
	s.goal("warm_verifications", float64(res.Verifications), "signatures", 1, "per RRset")
	s.add("warm_round_trips", trips, "round trips", "time taken, CPU included")
	return nil
}
