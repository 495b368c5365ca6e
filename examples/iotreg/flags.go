package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/dane/dnssec/doh"
	"github.com/iotregistry/sdk/examples/internal/term"
	"github.com/iotregistry/sdk/registry/web"
)

// options are the flags that all commands share.
type options struct {
	servers dnssec.Failover
	anchor  string
	json    bool
	timeout time.Duration
	at      time.Time
	api     apiOptions
}

// register adds the flags that a command has beside its own.
func (o *options) register(fs *flag.FlagSet, p peer) {
	fs.BoolVar(&o.json, "json", false, "print one JSON object")
	patience := 10 * time.Second
	switch p {
	case dnsPeer:
		o.registerDNS(fs)
	case apiPeer:
		o.api.register(fs)
		patience = time.Hour // for a job of a large fleet
	default:
		patience = time.Hour
	}
	fs.DurationVar(&o.timeout, "timeout", patience, "give up after this `time`")
}

func (o *options) registerDNS(fs *flag.FlagSet) {
	fs.Func("server", "ask these DNS `servers`, in order: HOST[:PORT], tcp:// or tls://HOST[:PORT], or https://HOST/PATH, separated by commas (default: the system's resolvers)", o.setServers)
	fs.StringVar(&o.anchor, "anchor", "", "trust the anchors in this `file`: DS or DNSKEY records, or XML of RFC 9718 (default: the IANA root anchors)")
	fs.Func("time", "judge as of this `time` (RFC 3339, such as 2026-06-01T12:00:00Z) instead of now", func(s string) (err error) {
		o.at, err = time.Parse(time.RFC3339, s)
		return err
	})
}

func (o *options) setServers(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		x, err := server(strings.TrimSpace(s))
		if err != nil {
			return err
		}
		o.servers = append(o.servers, x)
	}
	return nil
}

// server makes the client for one upstream.
func server(s string) (dnssec.Exchanger, error) {
	scheme, addr, found := strings.Cut(s, "://")
	if !found {
		scheme, addr = "udp", s
	}
	if scheme == "https" {
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.Path == "" {
			return nil, fmt.Errorf("server %q is no URL like https://dns.example/dns-query", s)
		}
		return &doh.Client{URL: s}, nil
	}
	if err := checkServer(addr); err != nil {
		return nil, err
	}
	switch scheme {
	case "udp":
		return &dnssec.Client{Addr: addr}, nil
	case "tcp":
		return &dnssec.Client{Addr: addr, TCP: true}, nil
	case "tls":
		return &dnssec.Client{Addr: addr, TLS: &tls.Config{}}, nil
	}
	return nil, fmt.Errorf("server %q: want HOST[:PORT], tcp:// or tls://HOST[:PORT], or https://HOST/PATH", s)
}

func checkServer(addr string) error {
	host, port := addr, ""
	if net.ParseIP(strings.Trim(addr, "[]")) == nil && strings.Contains(addr, ":") {
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return err
		}
		if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
			return fmt.Errorf("server %q: %q is no port", addr, port)
		}
	}
	if host == "" || strings.ContainsAny(host, "/ ") {
		return fmt.Errorf("server %q has no host name or address", addr)
	}
	return nil
}

// session is what a command works with.
type session struct {
	command  string
	now      func() time.Time
	resolver *dnssec.Resolver // of a DNS command
	reg      *web.Client      // of a command of the API
	stdin    io.Reader
	stdout   io.Writer // for what is no report, such as an export
	json     bool
	progress *term.Reporter
	close    func()
}

func (o *options) open(p program, c command) (*session, error) {
	if o.timeout <= 0 {
		return nil, usagef("-timeout must be above zero")
	}
	s := &session{
		command: c.name, now: p.now, stdin: p.stdin, stdout: p.stdout, json: o.json,
		progress: &term.Reporter{W: p.stderr}, close: o.closeServers,
	}
	switch c.peer {
	case dnsPeer:
		return s, o.openDNS(s)
	case apiPeer:
		var err error
		s.reg, err = o.api.client(p)
		return s, err
	}
	return s, nil
}

func (o *options) openDNS(s *session) error {
	if !o.at.IsZero() {
		s.now = func() time.Time { return o.at }
	}
	s.resolver = &dnssec.Resolver{Now: s.now}
	switch len(o.servers) {
	case 0: // the system's
	case 1:
		s.resolver.Exchanger = o.servers[0]
	default:
		s.resolver.Exchanger = o.servers
	}
	if o.anchor == "" {
		return nil
	}
	f, err := os.Open(o.anchor)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	if s.resolver.Anchors, err = dnssec.ParseAnchors(f); err != nil {
		return usagef("%s: %w", o.anchor, err)
	}
	return nil
}

func (o *options) closeServers() {
	for _, x := range o.servers {
		if c, ok := x.(io.Closer); ok {
			c.Close() // the queries are over: nothing can be lost any more
		}
	}
}

func (s *session) verifier() *dane.Verifier {
	return &dane.Verifier{Resolver: s.resolver, Now: s.now}
}
