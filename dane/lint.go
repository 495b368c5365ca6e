package dane

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Severity ranks a Finding.
type Severity int

// The severities.
const (
	Note    Severity = iota // works; worth knowing
	Warning                 // works for some verifiers, or not for long
	Fault                   // verification fails, or proves something other than intended
)

// String returns "note", "warning" or "fault".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	}
	return "fault"
}

// Finding is one mistake, or oddity, that Lint found in a record or in the
// certificate, with what to do about it.
type Finding struct {
	Severity Severity
	Code     string // stable identifier, e.g. "digest-of-pem"
	Record   dns.RR // the record concerned; nil if it is the certificate or the whole set
	Text     string // what is wrong
	Fix      string // what to do, as an instruction
}

// String returns the finding on one line.
func (f Finding) String() string {
	s := f.Severity.String() + ": " + f.Text
	if f.Fix != "" {
		s += ": " + f.Fix
	}
	return s
}

// LintOptions says what Lint may compare the records with.
type LintOptions struct {
	// Chain is the certificate, leaf first, that the records should match. Nil
	// limits Lint to what can be seen in the records alone.
	Chain []*x509.Certificate

	// Zone is the registry's zone, to tell <profileID>.<deviceID>.<zone> from
	// other names. Empty skips what depends on it.
	Zone string

	// Now is the time for validity dates. Nil means time.Now.
	Now func() time.Time
}

// Lint explains the usual mistakes in the TLSA and CERT records at name: digests
// of PEM or hexadecimal text, a selector or matching type that does not fit
// the data, 0 0 1 where 3 1 1 is meant, names missing from the certificate,
// two profiles under one name, wrong lengths, sample values copied from a
// document. Records of other types and with other owners are ignored. Lint is
// advice and no verification: no finding does not mean that a certificate is
// valid.
func Lint(name string, rrs []dns.RR, opts LintOptions) []Finding {
	l := &linter{name: lower(strings.TrimSuffix(name, ".")), opts: opts, now: now(opts.Now)}
	if len(opts.Chain) > 0 && checkChain(opts.Chain) == nil {
		l.chain = opts.Chain
	}
	for _, rr := range rrs[:min(len(rrs), maxRecords)] {
		if rr == nil || lower(strings.TrimSuffix(rr.Header().Name, ".")) != l.name {
			continue
		}
		switch rr := rr.(type) {
		case *dns.TLSA:
			l.tlsa = append(l.tlsa, rr)
			l.lintTLSA(rr)
		case *dns.CERT:
			l.cert = append(l.cert, rr)
			l.lintCERT(rr)
		}
	}
	l.lintSets()
	if l.chain != nil {
		l.lintNames()
		l.lintDates(nil, l.chain[0])
	}
	return l.findings
}

type linter struct {
	name     string
	opts     LintOptions
	now      time.Time
	chain    []*x509.Certificate
	tlsa     []*dns.TLSA
	cert     []*dns.CERT
	findings []Finding
}

func (l *linter) add(s Severity, code string, rr dns.RR, text, fix string) {
	l.findings = append(l.findings, Finding{Severity: s, Code: code, Record: rr, Text: text, Fix: fix})
}

// isService reports whether the name has the form _<port>._<protocol>.<host>.
func (l *linter) isService() bool {
	port, rest, _ := strings.Cut(l.name, ".")
	return strings.HasPrefix(port, "_") && strings.HasPrefix(rest, "_") && !isDanceName(l.name)
}

// lintSets looks at what only the whole set shows.
func (l *linter) lintSets() {
	if len(l.tlsa) > 0 {
		kept := make([]tlsaRecord, 0, len(l.tlsa))
		for _, rr := range l.tlsa {
			if data, err := decodeTLSA(rr); err == nil {
				kept = append(kept, tlsaRecord{rr, rr.Usage, data})
			}
		}
		all := slices.Clone(kept)
		kept = agile(kept)
		for _, r := range all {
			if !slices.ContainsFunc(kept, func(k tlsaRecord) bool { return k.TLSA == r.TLSA }) {
				l.add(Warning, "weaker-digest-ignored", r.TLSA,
					fmt.Sprintf("a stronger digest of usage %d, selector %d stands beside this record, so verifiers ignore it (RFC 7671 section 9)", r.Usage, r.Selector),
					"publish the same digests for every certificate, or one digest type only")
			}
		}
	}
	l.lintProfiles()
}

// lintProfiles finds certificates of different profiles, or several
// generations of one, under a single name.
func (l *linter) lintProfiles() {
	var certs []*x509.Certificate
	for _, rr := range l.cert {
		if c := certOf(rr); c != nil {
			certs = append(certs, c)
		}
	}
	if len(l.cert) > 1 {
		l.add(Note, "several-certs", nil, fmt.Sprintf("%d CERT records at one name; the answer may not fit one UDP message", len(l.cert)),
			"withdraw the old one when the new one is in use")
	}
	seen := map[string]bool{}
	for _, c := range certs {
		for _, san := range c.DNSNames {
			if _, _, err := ParseDeviceName(san, l.opts.Zone); l.opts.Zone != "" && err == nil {
				seen[lower(san)] = true
			}
		}
	}
	if len(seen) > 1 {
		l.add(Fault, "two-profiles", nil, "certificates of several profiles stand under one name",
			"publish each at <profileID>.<deviceID>.<zone> of its own profile")
	}
}

// lintNames checks that the presented certificate carries the name.
func (l *linter) lintNames() {
	leaf := l.chain[0]
	if l.isService() {
		l.lintHost(leaf)
		return
	}
	apex := l.name == lower(strings.TrimSuffix(l.opts.Zone, ".")) // holds authorities, see Authority
	if apex || checkExactName(leaf, l.name, false) == nil {
		return
	}
	sev := Fault
	if len(l.cert) == 0 && !slices.ContainsFunc(l.tlsa, func(r *dns.TLSA) bool { return r.Usage != UsageDANEEE }) {
		sev = Warning // usage 3 alone matches without the name
	}
	switch {
	case len(leaf.DNSNames) == 0 && lower(leaf.Subject.CommonName) == l.name:
		l.add(sev, "name-in-cn", nil, "the certificate has the name only in its subject common name",
			"issue it with the name as a dNSName in subjectAltName")
	case isDanceName(l.name):
		l.add(sev, "san-without-device", nil, "the certificate's subjectAltName lacks "+l.name,
			"issue it with the whole owner name, _device label included, as a dNSName")
	default:
		l.add(sev, "san-missing", nil, "the certificate's subjectAltName lacks "+l.name,
			"issue it with the owner name as a dNSName")
	}
}

// lintHost checks a server's certificate; usage 3 needs no name.
func (l *linter) lintHost(leaf *x509.Certificate) {
	_, rest, _ := strings.Cut(l.name, ".")
	_, host, _ := strings.Cut(rest, ".")
	needed := slices.ContainsFunc(l.tlsa, func(r *dns.TLSA) bool { return r.Usage != UsageDANEEE })
	if needed && leaf.VerifyHostname(host) != nil {
		l.add(Fault, "san-missing", nil, "usages 0 to 2 need the host name, and the certificate lacks "+host,
			"issue it with the host name as a dNSName, or publish 3 1 1")
	}
}

func (l *linter) lintDates(rr dns.RR, c *x509.Certificate) {
	if err := checkDates(c, l.now); err != nil {
		l.add(Fault, "dates", rr, fmt.Sprintf("the certificate is valid from %s to %s only",
			c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly)),
			"renew it (TLSA usage 3 is the only form that does not mind)")
	}
}

// holds reports whether a chain certificate is c.
func (l *linter) holds(der []byte) bool {
	return slices.ContainsFunc(l.chain, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) })
}
