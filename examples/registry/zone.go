package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/publish"
)

// openZone makes the signed zone. It begins empty: Republish fills it.
func (s *service) openZone(ctx context.Context) error {
	cfg := publish.ZoneConfig{Origin: dns.Fqdn(s.cfg.Zone), NS: s.cfg.DNS.NS}
	for _, k := range []struct {
		uri, name string
		flags     uint16
	}{{s.cfg.Keys.KSK, "ksk", publish.KSK}, {s.cfg.Keys.ZSK, "zsk", publish.ZSK}} {
		signer, err := s.key(ctx, k.uri, k.name)
		if err != nil {
			return err
		}
		cfg.Keys = append(cfg.Keys, publish.Key{Signer: signer, Flags: k.flags, Algorithm: dns.ECDSAP256SHA256})
	}
	var err error
	if s.zone, err = publish.NewZone(cfg); err != nil {
		return usageError{err}
	}
	return s.writeAnchor()
}

// writeAnchor writes the DS records: what the parent zone publishes, and a trust
// anchor where it does not.
func (s *service) writeAnchor() error {
	ds, err := s.zone.DS(dns.SHA256)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, rr := range ds {
		fmt.Fprintln(&text, rr)
	}
	return writeFile(s.path("anchor.ds"), []byte(text.String()))
}

// publishAuthority lets every device find the registry's root by DNS.
func (s *service) publishAuthority(ctx context.Context, root *x509.Certificate) error {
	rr, err := dane.NewTLSA(dns.Fqdn(s.cfg.Zone), 3600, dane.UsageDANETA, dane.SelectorCert, dane.MatchingSHA256, root)
	if err != nil {
		return err
	}
	_, err = s.zone.Publish(ctx, publish.ChangeSet{Add: []dns.RR{rr}})
	return err
}
