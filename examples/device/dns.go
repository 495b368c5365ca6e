package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// dnsServers reads -dns: HOST[:PORT], tcp:// or tls://HOST[:PORT], by commas.
func dnsServers(list string) (dnssec.Exchanger, error) {
	if list == "" {
		return nil, nil // the system's
	}
	var all dnssec.Failover
	for s := range strings.SplitSeq(list, ",") {
		one, err := dnsServer(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("-dns: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

func dnsServer(s string) (*dnssec.Client, error) {
	scheme, addr, found := strings.Cut(s, "://")
	if !found {
		scheme, addr = "udp", s
	}
	host := addr
	if net.ParseIP(strings.Trim(addr, "[]")) == nil && strings.Contains(addr, ":") {
		var port string
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return nil, err
		}
		if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
			return nil, fmt.Errorf("server %q: %q is no port", s, port)
		}
	}
	if host == "" || strings.ContainsAny(host, "/ ") {
		return nil, fmt.Errorf("server %q has no host name or address", s)
	}
	switch scheme {
	case "udp":
		return &dnssec.Client{Addr: addr}, nil
	case "tcp":
		return &dnssec.Client{Addr: addr, TCP: true}, nil
	case "tls":
		return &dnssec.Client{Addr: addr, TLS: &tls.Config{}}, nil
	}
	return nil, fmt.Errorf("server %q: want HOST[:PORT], tcp:// or tls://HOST[:PORT]", s)
}

// readAnchors reads -anchor; nil for IANA's.
func readAnchors(path string) (*dnssec.Anchors, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	anchors, err := dnssec.ParseAnchors(f)
	if err != nil {
		return nil, fmt.Errorf("-anchor: %s: %w", path, err)
	}
	return anchors, nil
}

// addresses looks a host's addresses up. They need no proof: who is there has to
// give one.
func addresses(ctx context.Context, r *dnssec.Resolver, host string) ([]string, error) {
	if ip := net.ParseIP(host); ip != nil {
		return []string{host}, nil
	}
	var lists [2][]string
	var errs [2]error
	var wg sync.WaitGroup
	for i, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		wg.Go(func() {
			res, err := r.Lookup(ctx, dns.Fqdn(host), qtype)
			if errs[i] = err; err != nil {
				return
			}
			errs[i] = res.Reason
			for _, rr := range res.RRs {
				switch rr := rr.(type) {
				case *dns.A:
					lists[i] = append(lists[i], rr.A.String())
				case *dns.AAAA:
					lists[i] = append(lists[i], rr.AAAA.String())
				}
			}
		})
	}
	wg.Wait()
	list := slices.Concat(lists[0], lists[1])
	if len(list) == 0 {
		return nil, errors.Join(fmt.Errorf("no address of %s is known; -connect gives one", host), errs[0], errs[1])
	}
	return list[:min(len(list), maxAddresses)], nil
}
