package main

import (
	"context"
	"crypto/hpke"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
)

// typicalProfile is the size of an encoded profile, in bytes.
const typicalProfile = 2500

func hpkePrimitives() (seal, open func()) {
	key, err := newKey()
	if err != nil {
		return func() {}, func() {}
	}
	plain := make([]byte, typicalProfile)
	ct, _ := hpke.Seal(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES128GCM(), nil, plain)
	return func() { _, _ = hpke.Seal(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES128GCM(), nil, plain) },
		func() { _, _ = hpke.Open(key, hpke.HKDFSHA256(), hpke.AES128GCM(), nil, ct) }
}

// countVerifications returns how many DNSSEC signatures a meter checks in one
// round, counted on a fresh resolver that asks what a meter asks.
func (s *story) countVerifications(ctx context.Context) (int, error) {
	p, ok := s.meters[0].card.Current()
	if !ok {
		return 0, nil
	}
	service, err := dane.ServiceName(p.Host, p.Port)
	if err != nil {
		return 0, err
	}
	r := s.world.verifier(nil).Resolver
	total := 0
	for _, q := range []struct {
		name string
		t    uint16
	}{{p.Registry, dns.TypeTLSA}, {p.Name, dns.TypeCERT}, {p.Host, dns.TypeA}, {service, dns.TypeTLSA}} {
		res, err := r.Lookup(ctx, q.name, q.t)
		if err != nil {
			return 0, err
		}
		total += res.Verifications
	}
	return total, nil
}
