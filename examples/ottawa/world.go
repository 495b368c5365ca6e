package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/examples/internal/keys"
)

// The zones of the story, parents before their children.
const (
	registryZone = "iotregistry.ca"
	parkoHost    = "parkoserv.ca"
	carParkHost  = "carparkserv.ca"
)

// world is the DNS of the story: a private root and what is below it, each
// zone signed with its own keys, served by one authoritative server.
type world struct {
	server     *publish.Server
	zones      map[string]*publish.Zone
	anchors    *dnssec.Anchors
	anchorText string // DS records of the root
}

func newWorld(ctx context.Context, keyDir string) (*world, error) {
	w := &world{zones: map[string]*publish.Zone{}}
	var all []*publish.Zone
	for _, z := range []struct{ origin, parent string }{
		{".", ""}, {"ca.", "."}, {registryZone + ".", "ca."}, {parkoHost + ".", "ca."}, {carParkHost + ".", "ca."},
	} {
		zone, err := newZone(ctx, keyDir, z.origin)
		if err != nil {
			return nil, err
		}
		w.zones[z.origin] = zone
		all = append(all, zone)
		if z.parent == "" {
			continue
		}
		rrs, err := zone.Delegation()
		if err != nil {
			return nil, err
		}
		if _, err := w.zones[z.parent].Publish(ctx, publish.ChangeSet{Add: rrs}); err != nil {
			return nil, err
		}
	}
	ds, err := w.zones["."].DS(dns.SHA256)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, rr := range ds {
		fmt.Fprintln(&text, rr)
	}
	w.anchorText = text.String()
	if w.anchors, err = dnssec.ParseAnchors(strings.NewReader(w.anchorText)); err != nil {
		return nil, err
	}
	w.server, err = publish.Listen("127.0.0.1:0", all...)
	return w, err
}

func newZone(ctx context.Context, keyDir, origin string) (*publish.Zone, error) {
	cfg := publish.ZoneConfig{Origin: origin}
	file := strings.TrimSuffix(origin, ".")
	if file == "" {
		file = "root"
	}
	for kind, flags := range map[string]uint16{"ksk": publish.KSK, "zsk": publish.ZSK} {
		signer, err := keys.OpenOrCreate(ctx, filepath.Join(keyDir, file+"."+kind+".pem"), keys.P256)
		if err != nil {
			return nil, err
		}
		cfg.Keys = append(cfg.Keys, publish.Key{Signer: signer, Flags: flags, Algorithm: dns.ECDSAP256SHA256})
	}
	return publish.NewZone(cfg)
}

// zone returns the zone of a domain of the story.
func (w *world) zone(name string) *publish.Zone { return w.zones[dns.Fqdn(name)] }

// publishAuthority lets every device find the registry's root by DNS.
func (w *world) publishAuthority(ctx context.Context, root *x509.Certificate) error {
	rr, err := dane.NewTLSA(dns.Fqdn(registryZone), 3600, dane.UsageDANETA, dane.SelectorCert, dane.MatchingSHA256, root)
	if err != nil {
		return err
	}
	_, err = w.zone(registryZone).Publish(ctx, publish.ChangeSet{Add: []dns.RR{rr}})
	return err
}

// publishService announces a provider's address and certificate.
func (w *world) publishService(ctx context.Context, host string, port uint16, cert *x509.Certificate) error {
	name, err := dane.ServiceName(host, port)
	if err != nil {
		return err
	}
	tlsa, err := dane.NewTLSA(dns.Fqdn(name), 3600, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, cert)
	if err != nil {
		return err
	}
	a := &dns.A{
		Hdr: dns.RR_Header{Name: dns.Fqdn(host), Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600},
		A:   net.IPv4(127, 0, 0, 1),
	}
	_, err = w.zone(host).Publish(ctx, publish.ChangeSet{Add: []dns.RR{tlsa, a}})
	return err
}

// verifier returns a verifier with caches of its own, as every device and
// every provider has one, that asks exchanger (nil: the story's server).
func (w *world) verifier(exchanger dnssec.Exchanger) *dane.Verifier {
	if exchanger == nil {
		exchanger = &dnssec.Client{Addr: w.server.Addr()}
	}
	return &dane.Verifier{
		Resolver: &dnssec.Resolver{Exchanger: exchanger, Anchors: w.anchors},
		Naming:   dane.Deck2020,
	}
}

// dialer connects to hosts of the story by their validated addresses.
func dialer(r *dnssec.Resolver) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		res, err := r.Lookup(ctx, host, dns.TypeA)
		if err != nil {
			return nil, err
		}
		for _, rr := range res.RRs {
			if a, ok := rr.(*dns.A); ok && res.Status == dnssec.Secure {
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(a.A.String(), port))
			}
		}
		return nil, fmt.Errorf("no address of %s: %v: %w", host, res.Status, res.Reason)
	}
}
