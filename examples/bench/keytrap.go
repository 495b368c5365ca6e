package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
)

// trap is an attack's dose. A DNSKEY record of iotregistry.ca takes 80 octets
// on the wire and a signature 110.
type trap struct {
	name, note       string
	keys, signatures int
}

// traps take 64 kB each: one attacks with keys as well as signatures, the other
// stays below what may be wrong with keys.
func traps() []trap {
	return []trap{
		{"keytrap", "half keys, half signatures", 400, 292},
		{"keytrap_few_keys", "no more keys than are tried, all else signatures", 3, 580},
	}
}

// keytrap measures what an attack with colliding keys costs its victim.
func (b *daneRun) keytrap(ctx context.Context, r *report) error {
	s := r.section("keytrap", "KeyTrap (CVE-2023-50387): colliding keys and bogus signatures in 64 kB, from wire to verdict")
	for _, t := range traps() {
		if err := b.spring(ctx, s, t); err != nil {
			return err
		}
	}
	return nil
}

func (b *daneRun) spring(ctx context.Context, s *section, t trap) error {
	w := danetest.NewWorld(b.stage, danetest.Config{Zones: threeZones()})
	if err := addDevices(w, 1); err != nil {
		return err
	}
	anchors, err := anchorsOf(w)
	if err != nil {
		return err
	}
	w.Inject(danetest.Fault{Under: "iotregistry.ca.", Effect: danetest.KeyTrap(t.keys, t.signatures)})
	msgs, err := chainOf(ctx, w, device(0))
	if err != nil {
		return err
	}
	wires, octets, err := toWire(msgs)
	if err != nil {
		return err
	}
	q := dns.Question{Name: device(0), Qtype: dns.TypeCERT, Qclass: dns.ClassINET}
	var res *dnssec.Result
	begin := cpuTime()
	for range b.trials {
		if res, err = fromWire(q, anchors, w.Now(), wires); err != nil {
			return err
		}
	}
	spent := (cpuTime() - begin) / time.Duration(b.trials)
	if res.Status == dnssec.Secure {
		return errors.New("the trap was taken for a proof")
	}
	stopped := "not by a limit: "
	if errors.Is(res.Reason, dnssec.ErrLimit) {
		stopped = "stopped by: "
	}
	s.goal(t.name+"_cpu", micros(spent)/1e3, "ms CPU", 20, t.note)
	s.add(t.name+"_verifications", float64(res.Verifications), "signatures", fmt.Sprintf("of %d that an unlimited validator would check", (t.keys+1)*t.signatures))
	s.add(t.name+"_octets", float64(octets), "octets", fmt.Sprintf("%s, %s%v", res.Status, stopped, res.Reason))
	return nil
}

func toWire(msgs []*dns.Msg) (wires [][]byte, octets int, err error) {
	for _, m := range msgs {
		m.Compress = true
		wire, err := m.Pack()
		if err != nil {
			return nil, 0, err
		}
		wires, octets = append(wires, wire), octets+len(wire)
	}
	return wires, octets, nil
}

func fromWire(q dns.Question, anchors *dnssec.Anchors, now time.Time, wires [][]byte) (*dnssec.Result, error) {
	msgs := make([]*dns.Msg, len(wires))
	for i, wire := range wires {
		msgs[i] = new(dns.Msg)
		if err := msgs[i].Unpack(wire); err != nil {
			return nil, err
		}
	}
	return dnssec.Validate(q, anchors, now, msgs...), nil
}
