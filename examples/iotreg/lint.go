package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
)

func lintCommand() command {
	return command{
		name: "lint", args: "NAME", min: 1, max: 1,
		short: "Find the usual mistakes in CERT and TLSA records, and the fix",
		long: `NAME is HOST:PORT of a service, a device's name, the zone that publishes its
authorities, or any owner name of TLSA or CERT records. The certificate of
HOST:PORT is fetched and compared with the records; -cert compares another.
Exit status 0 means: the records are secure and nothing makes verifiers refuse
them; notes and warnings may have been printed.

  iotreg lint parkoserv.ca:443
  iotreg lint -cert meter.pem 11.1000000000000001.iotregistry.ca
  iotreg lint _443._tcp.parkoserv.ca`,
		setup: func(fs *flag.FlagSet) action {
			var l linter
			fs.StringVar(&l.cert, "cert", "", "compare with the certificate in this `file` (PEM or DER, leaf first) and do not connect")
			fs.StringVar(&l.connect, "connect", "", "fetch the certificate of HOST:PORT from this `address` (host:port)")
			fs.StringVar(&l.zone, "zone", "", "the registry's `zone` (default: the zone that holds the records)")
			return l.lint
		},
	}
}

type linter struct{ cert, connect, zone string }

const usable = "usable" // lint's good verdict

type lintReport struct {
	head
	Certificate *certificate `json:"certificate,omitempty"` // that was compared
	Answers     []*answer    `json:"answers"`
	Findings    []finding    `json:"findings"`
}

// finding is a dane.Finding, or one about the proof.
type finding struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Record   string `json:"record,omitempty"`
	Text     string `json:"text"`
	Fix      string `json:"fix,omitempty"`
}

func newFinding(s dane.Severity, code, text, fix string) finding {
	return finding{Severity: s.String(), Code: code, Text: text, Fix: fix}
}

func (l *linter) lint(ctx context.Context, s *session, args []string) (report, error) {
	t, err := parseTarget(args[0])
	if err != nil {
		return nil, err
	}
	if l.connect != "" && (t.host == "" || l.cert != "") {
		return nil, usagef("-connect goes with HOST:PORT and without -cert")
	}
	r := &lintReport{
		head:    head{Command: "lint", Subject: args[0], Time: s.now().UTC()},
		Answers: []*answer{}, Findings: []finding{},
	}
	chain, err := l.chain(ctx, s, t, r)
	if err != nil {
		return nil, err
	}
	if chain != nil {
		r.Certificate = describe(chain[0])
	}
	l.records(ctx, s, t, chain, r)
	r.judge()
	if r.OK && chain != nil {
		r.match(ctx, s, t, chain)
	}
	return r, nil
}

// match tells records without fault that still do not fit the certificate, as
// those of an old certificate.
func (r *lintReport) match(ctx context.Context, s *session, t target, chain []*x509.Certificate) {
	var err error
	if host, port, ok := t.service(); ok {
		_, err = s.verifier().Service(ctx, host, port, chain)
	} else if t.isDevice() {
		_, err = s.verifier().DeviceChain(ctx, t.owner, chain)
	}
	if err != nil {
		r.Findings = append(r.Findings, newFinding(dane.Fault, "not-verified", err.Error(), "publish a record for this certificate"))
		r.judge()
	}
}

// chain is what the records are compared with; nil for nothing.
func (l *linter) chain(ctx context.Context, s *session, t target, r *lintReport) ([]*x509.Certificate, error) {
	if l.cert != "" {
		return readChain(l.cert)
	}
	if t.host == "" {
		return nil, nil
	}
	conn, err := s.dial(ctx, t, l.connect)
	if err != nil {
		r.Findings = append(r.Findings, newFinding(dane.Note, "not-compared",
			"the service's certificate could not be fetched: "+err.Error(), "start the service, or give its certificate with -cert"))
		return nil, nil
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates, nil
}

// records looks everything up first: lint wants to see all records of a name
// at once, as two types may contradict each other.
func (l *linter) records(ctx context.Context, s *session, t target, chain []*x509.Certificate, r *lintReport) {
	var all dnssec.Result
	name := t.owner
	for _, qtype := range t.types() {
		res, err := s.resolver.Lookup(ctx, t.owner, qtype)
		if err != nil {
			r.Findings = append(r.Findings, newFinding(dane.Fault, "indeterminate",
				fmt.Sprintf("%s: %v", dns.Type(qtype), err), "ask again, or ask another server with -server"))
			continue
		}
		r.Answers = append(r.Answers, newAnswer(t.owner, qtype, res))
		r.Findings = append(r.Findings, proofFindings(t.owner, qtype, res, s.now())...)
		all.RRs, all.Zones = append(all.RRs, res.RRs...), res.Zones
		for _, rr := range res.RRs {
			if rr.Header().Rrtype == qtype {
				name = rr.Header().Name // the end of the aliases
			}
		}
	}
	r.Findings = append(r.Findings, compare(s, name, &all, chain, l.zone)...)
}

// compare runs lint over an answer's records.
func compare(s *session, name string, res *dnssec.Result, chain []*x509.Certificate, zone string) []finding {
	if zone == "" && len(res.Zones) > 0 {
		zone = res.Zones[len(res.Zones)-1].Name
	}
	var out []finding
	for _, f := range dane.Lint(name, res.RRs, dane.LintOptions{Chain: chain, Zone: zone, Now: s.now}) {
		g := newFinding(f.Severity, f.Code, f.Text, f.Fix)
		if f.Record != nil {
			g.Record = f.Record.String()
		}
		out = append(out, g)
	}
	return out
}

// Times that matter to whoever runs a zone.
const (
	soon    = 3 * 24 * time.Hour // signatures that end earlier are not being renewed
	longTTL = 6 * 60 * 60        // seconds; how long a withdrawn record may live on
)

// proofFindings are about the chain of trust rather than the records.
func proofFindings(name string, qtype uint16, res *dnssec.Result, now time.Time) []finding {
	what := name + " " + dns.Type(qtype).String() + ": "
	switch res.Status {
	case dnssec.Bogus:
		return []finding{newFinding(dane.Fault, "bogus", what+res.Reason.Error(), "mend the zone that is named; iotreg trace shows the chain")}
	case dnssec.Indeterminate:
		return []finding{newFinding(dane.Fault, "indeterminate", what+res.Reason.Error(), "ask again, or ask another server with -server")}
	case dnssec.Insecure:
		return []finding{newFinding(dane.Fault, "unsigned", what+res.Reason.Error(), "sign the zone and have its parent publish the DS record: DANE counts in signed zones only")}
	}
	var out []finding
	if left := res.ValidUntil.Sub(now); !res.ValidUntil.IsZero() && left < soon {
		out = append(out, newFinding(dane.Warning, "signature-ends", fmt.Sprintf("%sa signature of the chain ends in %s, at %s", what, left.Round(time.Minute), stamp(res.ValidUntil)),
			"see to it that the zones are signed again well before"))
	}
	for _, rr := range res.RRs {
		if h := rr.Header(); h.Rrtype == qtype && h.Ttl > longTTL {
			out = append(out, newFinding(dane.Note, "long-ttl", fmt.Sprintf("%sTTL %d: once withdrawn, the record may live on in caches for %s or more", what, h.Ttl, time.Duration(h.Ttl)*time.Second),
				"publish an hour or less (3600) where revocation must be quick"))
			break
		}
	}
	return out
}

// judge sets the verdict: the worst answer, then the worst finding.
func (r *lintReport) judge() {
	records, status := 0, dnssec.Secure.String()
	for _, a := range r.Answers {
		records += len(a.Records)
		status = worse(status, a.Status)
	}
	faults := 0
	for _, f := range r.Findings {
		if f.Severity == dane.Fault.String() {
			faults++
		}
	}
	switch {
	case len(r.Answers) == 0:
		r.Verdict = dnssec.Indeterminate.String()
	case status != dnssec.Secure.String():
		r.Verdict = status
	case records == 0:
		r.Verdict = "absent"
		r.Findings = append(r.Findings, newFinding(dane.Fault, "no-records", "the name provably has no TLSA or CERT record", "publish one; iotreg verify prints the record for a running service"))
	case faults > 0:
		r.Verdict = "faulty"
	default:
		r.Verdict = usable
	}
	r.OK = r.Verdict == usable
}

// worse returns the verdict on two answers: what is forged beats what is
// unknown, and that what is unsigned.
func worse(a, b string) string {
	for _, s := range []dnssec.Status{dnssec.Bogus, dnssec.Indeterminate, dnssec.Insecure} {
		if a == s.String() || b == s.String() {
			return s.String()
		}
	}
	return a
}

func (r *lintReport) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", r.Verdict, r.Subject)
	for _, a := range r.Answers {
		fmt.Fprintf(w, "  %-11s  %s, %s\n", a.Type, a.Status, count(len(a.Records), "record"))
		for _, record := range a.Records {
			fmt.Fprintf(w, "    %s\n", line(record))
		}
	}
	if r.Certificate != nil {
		fmt.Fprintf(w, "  compared     %s\n", r.Certificate)
	}
	printFindings(w, r.Findings)
	if len(r.Findings) == 0 {
		fmt.Fprint(w, "  no mistakes found\n")
	}
}

func printFindings(w io.Writer, findings []finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "  %-11s  %s (%s)\n", f.Severity, f.Text, f.Code)
		if f.Record != "" {
			fmt.Fprintf(w, "    record     %s\n", line(f.Record))
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "    fix        %s\n", f.Fix)
		}
	}
}
