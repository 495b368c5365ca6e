package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
)

func verifyCommand() command {
	return command{
		name: "verify", args: "HOST:PORT", min: 1, max: 1,
		short: "Connect to a service and verify its certificate by DANE",
		long: `Connects with TLS, looks the TLSA records at _PORT._tcp.HOST up, validates them
from the trust anchor down, and says which record matched the certificate. When
none does, it says why, and what to publish.

  iotreg verify parkoserv.ca:443
  iotreg verify -connect 192.0.2.7:443 parkoserv.ca:443     before the address is in the DNS
  iotreg verify -server tls://9.9.9.9 -json parkoserv.ca:443`,
		setup: func(fs *flag.FlagSet) action {
			connect := fs.String("connect", "", "connect to this `address` (host:port) instead of those of HOST")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				return verify(ctx, s, args[0], *connect)
			}
		},
	}
}

func verifyDeviceCommand() command {
	return command{
		name: "verify-device", args: "NAME CERT", min: 2, max: 2,
		short: "Verify a device's certificate by its CERT or TLSA record",
		long: `CERT is a file in PEM or DER; certificates after the first are its issuers.
NAME is the device's name: <profileID>.<deviceID>.<zone>, or
<deviceID>._device.<zone>. "absent" is what a revoked or superseded profile
looks like: the registry provably publishes no record.

  iotreg verify-device 11.1000000000000001.iotregistry.ca meter.pem
  iotreg verify-device -prototype 11.1000000000000001.iotregistry.ca meter.der`,
		setup: func(fs *flag.FlagSet) action {
			prototype := fs.Bool("prototype", false, "accept the digests in CERT records and the subject names of the 2020 prototype as well")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				return verifyDevice(ctx, s, args[0], args[1], *prototype)
			}
		},
	}
}

// verifyReport is the outcome of a comparison of a certificate with records.
type verifyReport struct {
	head
	Record      string       `json:"record,omitempty"` // the one that matched
	Meaning     string       `json:"meaning,omitempty"`
	Depth       int          `json:"depth"` // of the certificate that it matched; 0 is the leaf
	Certificate *certificate `json:"certificate,omitempty"`
	Address     string       `json:"address,omitempty"` // that answered
	TLS         string       `json:"tls,omitempty"`     // version
	Answer      *answer      `json:"answer,omitempty"`
	Findings    []finding    `json:"findings,omitempty"` // what lint says of the records that do not match
	Publish     string       `json:"publish,omitempty"`  // the record that would match
}

func verify(ctx context.Context, s *session, where, connect string) (report, error) {
	t, err := parseService(where)
	if err != nil {
		return nil, err
	}
	r := &verifyReport{head: head{Command: "verify", Subject: where, Time: s.now().UTC()}}
	conn, err := s.dial(ctx, t, connect)
	if err != nil {
		r.conclude(err)
		return r, nil
	}
	defer conn.Close()
	state := conn.ConnectionState()
	r.Address, r.TLS = conn.RemoteAddr().String(), tls.VersionName(state.Version)
	r.Certificate = describe(state.PeerCertificates[0])
	m, err := s.verifier().Service(ctx, t.host, t.port, state.PeerCertificates)
	r.conclude(err)
	if err == nil {
		r.matched(m)
		return r, nil
	}
	r.explain(ctx, s, t, state.PeerCertificates, err)
	if tlsa, err := dane.NewTLSA(t.owner, 3600, dane.UsageDANEEE, dane.SelectorSPKI, dane.MatchingSHA256, state.PeerCertificates[0]); err == nil && r.mendable() {
		r.Publish = tlsa.String()
	}
	return r, nil
}

func verifyDevice(ctx context.Context, s *session, name, path string, prototype bool) (report, error) {
	t, err := parseTarget(name)
	if err == nil && t.host != "" {
		err = usagef("%q: a device has a name without port", name)
	}
	if err != nil {
		return nil, err
	}
	chain, err := readChain(path)
	if err != nil {
		return nil, err
	}
	v := s.verifier()
	if prototype {
		v.Naming = dane.Deck2020 | dane.Prototype2020 | dane.Dance2022
	}
	r := &verifyReport{head: head{Command: "verify-device", Subject: name, Time: s.now().UTC()}, Certificate: describe(chain[0])}
	m, err := v.DeviceChain(ctx, t.owner, chain)
	if errors.Is(err, dane.ErrInvalid) {
		return nil, usageError{err}
	}
	r.conclude(err)
	if err == nil {
		r.matched(m)
	} else {
		r.explain(ctx, s, t, chain, err)
	}
	return r, nil
}

func (r *verifyReport) matched(m *dane.Match) {
	r.Record, r.Meaning, r.Depth = m.Record.String(), meaning(m.Record), m.Depth
	r.Answer = newAnswer(dns.Fqdn(m.Name), m.Record.Header().Rrtype, m.Answer)
}

// mendable reports whether another record would mend what is wrong.
func (r *verifyReport) mendable() bool {
	return r.Verdict == "absent" || r.Verdict == "no-match" || r.Verdict == "unusable"
}

// explain has lint look at records that exist and do not fit.
func (r *verifyReport) explain(ctx context.Context, s *session, t target, chain []*x509.Certificate, err error) {
	var de *dane.Error
	if !errors.As(err, &de) || (de.Kind != dane.NoMatch && de.Kind != dane.Unusable && de.Kind != dane.Expired && de.Kind != dane.WrongName) {
		return
	}
	if de.Name != "" {
		t.owner = dns.Fqdn(de.Name) // of a service with an alias, the name at its end
	}
	for _, qtype := range t.types() {
		if res, err := s.resolver.Lookup(ctx, t.owner, qtype); err == nil && res.Status == dnssec.Secure {
			r.Findings = append(r.Findings, compare(s, t.owner, res, chain, "")...)
		}
	}
}

// dial connects to the service and completes the handshake. Whoever answers is
// accepted: the certificate is judged afterwards, and nothing is said before.
func (s *session) dial(ctx context.Context, t target, connect string) (*tls.Conn, error) {
	addrs, sni, err := s.addresses(ctx, t)
	if connect != "" {
		addrs, err = []string{connect}, nil
	}
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: &tls.Config{
		ServerName: sni, MinVersion: tls.VersionTLS12, Time: s.now, InsecureSkipVerify: true,
	}}
	var errs []error
	for _, addr := range addrs {
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.(*tls.Conn), nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("cannot connect: %w", errors.Join(errs...))
}

// addresses looks the host's addresses up with the resolver that also judges
// its records, so that a lab with a root of its own works. They need no
// proof: the certificate gives it. The name to ask the server for (SNI) is the
// end of the host's aliases if the TLSA records are there (RFC 7671 section 7).
func (s *session) addresses(ctx context.Context, t target) (addrs []string, sni string, err error) {
	sni = t.host
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		res, err := s.resolver.Lookup(ctx, dns.Fqdn(t.host), qtype)
		switch {
		case err != nil:
			return nil, sni, &dane.Error{Kind: dane.Indeterminate, Name: t.host, Err: err}
		case res.Status == dnssec.Bogus:
			return nil, sni, &dane.Error{Kind: dane.Bogus, Name: t.host, Err: res.Reason}
		case res.Status == dnssec.Indeterminate:
			return nil, sni, &dane.Error{Kind: dane.Indeterminate, Name: t.host, Err: res.Reason}
		case res.Status == dnssec.Secure && len(res.RRs) > 0:
			sni = s.base(ctx, t, res.RRs)
		}
		for _, rr := range res.RRs {
			switch rr := rr.(type) {
			case *dns.A:
				addrs = append(addrs, net.JoinHostPort(rr.A.String(), fmt.Sprint(t.port)))
			case *dns.AAAA:
				addrs = append(addrs, net.JoinHostPort(rr.AAAA.String(), fmt.Sprint(t.port)))
			}
		}
	}
	if len(addrs) == 0 {
		err = &dane.Error{Kind: dane.Absent, Name: t.host, Err: errors.New("the host has no address; -connect names one")}
	}
	return addrs, sni, err
}

func (s *session) base(ctx context.Context, t target, rrs []dns.RR) string {
	last := rrs[len(rrs)-1]
	end := last.Header().Name
	if c, ok := last.(*dns.CNAME); ok {
		end = c.Target
	}
	end = strings.TrimSuffix(end, ".")
	owner, err := dane.ServiceName(end, t.port)
	if err != nil || strings.EqualFold(end, t.host) {
		return t.host
	}
	if res, err := s.resolver.Lookup(ctx, dns.Fqdn(owner), dns.TypeTLSA); err == nil && res.Status == dnssec.Secure && len(res.RRs) > 0 {
		return end
	}
	return t.host
}

func (r *verifyReport) text(w io.Writer) {
	if r.OK {
		fmt.Fprintf(w, "verified: %s\n  record       %s\n  meaning      %s\n", r.Subject, line(r.Record), r.Meaning)
	} else {
		fmt.Fprintf(w, "not verified (%s): %s\n", r.Verdict, r.Subject)
		r.Reason.text(w)
	}
	if r.Certificate != nil {
		fmt.Fprintf(w, "  certificate  %s\n", r.Certificate)
	}
	if r.Depth > 0 {
		fmt.Fprintf(w, "  matched      certificate %d of the chain that was presented (0 is the first)\n", r.Depth)
	}
	if r.Address != "" {
		fmt.Fprintf(w, "  connection   %s, %s\n", r.Address, r.TLS)
		if r.TLS == tls.VersionName(tls.VersionTLS12) {
			fmt.Fprint(w, "  note         devices with this SDK ask for TLS 1.3\n")
		}
	}
	if a := r.Answer; a != nil {
		fmt.Fprintf(w, "  proof        %s\n", a.proof())
	}
	printFindings(w, r.Findings)
	if r.Publish != "" {
		fmt.Fprintf(w, "  publish      %s\n", line(r.Publish))
	}
}

// proof sums a secure answer up on one line; trace tells the whole chain.
func (a *answer) proof() string {
	zone := ""
	if len(a.Zones) > 0 {
		zone = " to zone " + a.Zones[len(a.Zones)-1].Zone
	}
	return fmt.Sprintf("%s, from the trust anchor%s; holds until %s", a.Status, zone, stamp(a.Expires))
}

// meaning says what a record demands.
func meaning(rr dns.RR) string {
	t, ok := rr.(*dns.TLSA)
	if !ok {
		return "CERT: the record holds the certificate itself (RFC 4398)"
	}
	pick := func(words []string, i uint8) string {
		if int(i) < len(words) {
			return words[i]
		}
		return fmt.Sprint(i)
	}
	return fmt.Sprintf("%s, compared by %s, %s (RFC 6698, RFC 7671)",
		pick([]string{"PKIX-TA: a CA of a path to a public root", "PKIX-EE: the service's certificate, with a path to a public root",
			"DANE-TA: a CA that the domain vouches for", "DANE-EE: the certificate itself"}, t.Usage),
		pick([]string{"whole certificate", "public key"}, t.Selector),
		pick([]string{"in full", "SHA-256", "SHA-512"}, t.MatchingType))
}
