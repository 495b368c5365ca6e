package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/registry/web"
)

// settings are the flags, understood.
type settings struct {
	flags
	zoneList []string
	resolver *dnssec.Resolver
	upstream []io.Closer
	registry *web.Client      // nil for none
	now      func() time.Time // nil for time.Now
}

// settings refuses what cannot work, before anything is made.
func (f *flags) settings() (*settings, error) {
	c := &settings{flags: *f}
	for _, check := range []func() error{c.checkAddresses, c.checkNames, c.checkNumbers, c.openDNS, c.openRegistry} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *settings) checkAddresses() error {
	for name, addr := range map[string]string{"-https": c.https, "-mqtt": c.mqtt, "-status": c.status} {
		host, _, err := net.SplitHostPort(addr)
		switch {
		case addr == "":
		case err != nil:
			return fmt.Errorf("%s: %q is no host:port", name, addr)
		case name == "-status" && !loopback(host):
			return fmt.Errorf("-status: %q is not on loopback, and everybody who reaches it may see and command devices", addr)
		}
	}
	if c.https == "" && c.mqtt == "" {
		return errors.New("give -https or -mqtt: nothing is served")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *settings) checkNames() error {
	if c.host == "" {
		return errors.New("-host must name this service")
	}
	if _, err := dane.ServiceName(c.host, 443); err != nil {
		return fmt.Errorf("-host: %w", err)
	}
	c.host = strings.ToLower(strings.TrimSuffix(c.host, "."))
	for zone := range strings.SplitSeq(c.flags.zones, ",") {
		zone = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(zone), "."))
		if zone == "" {
			continue
		}
		if _, ok := dns.IsDomainName(zone); !ok || strings.ContainsAny(zone, "*\\ ") {
			return fmt.Errorf("-zones: %q is no domain name", zone)
		}
		if !slices.Contains(c.zoneList, zone) {
			c.zoneList = append(c.zoneList, zone)
		}
	}
	if len(c.zoneList) == 0 {
		return errors.New("-zones must name the registries' zones: without them no device is admitted")
	}
	return nil
}

func (c *settings) checkNumbers() error {
	switch {
	case c.port > 65535:
		return errors.New("-port must be at most 65535")
	case c.recheck <= 0:
		return errors.New("-recheck must be above zero")
	case c.grace < 0:
		return errors.New("-grace must not be negative")
	case c.max < 1:
		return errors.New("-max must be at least 1")
	case c.data == "":
		return errors.New("-data must name a folder")
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return errors.New("give both -tls-cert and -tls-key, or neither")
	}
	return nil
}

// openDNS makes the resolver that judges devices.
func (c *settings) openDNS() error {
	c.resolver = &dnssec.Resolver{}
	var list dnssec.Failover
	for s := range strings.SplitSeq(c.dns, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		client, err := upstream(s)
		if err != nil {
			return fmt.Errorf("-dns: %w", err)
		}
		list, c.upstream = append(list, client), append(c.upstream, client)
	}
	switch len(list) {
	case 0: // the system's
	case 1:
		c.resolver.Exchanger = list[0]
	default:
		c.resolver.Exchanger = list
	}
	if c.anchor == "" {
		return nil
	}
	f, err := os.Open(c.anchor)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.resolver.Anchors, err = dnssec.ParseAnchors(f); err != nil {
		return fmt.Errorf("%s: %w", c.anchor, err)
	}
	return nil
}

// upstream makes the client for one DNS server.
func upstream(s string) (*dnssec.Client, error) {
	scheme, addr, found := strings.Cut(s, "://")
	if !found {
		scheme, addr = "udp", s
	}
	host := strings.Trim(addr, "[]")
	if net.ParseIP(host) == nil && strings.Contains(addr, ":") {
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

func (c *settings) openRegistry() error {
	if c.flags.registry == "" {
		if c.token != "" || c.ca != "" {
			return errors.New("-token-file and -ca are of use with -registry only")
		}
		return nil
	}
	u, err := url.Parse(c.flags.registry)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("-registry must be an https URL")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("-registry would carry the token in clear: use https")
	case c.token == "":
		return errors.New("-registry needs -token-file")
	}
	c.registry, err = registryClient(strings.TrimSuffix(c.flags.registry, "/"), c.token, c.ca)
	return err
}

// logger makes the program's log.
func (f *flags) logger(w io.Writer) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usagef("-log-level must be debug, info, warn or error")
	}
	opts.Level = level
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	}
	return nil, usagef("-log-format must be text or json")
}
