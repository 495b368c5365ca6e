package dane

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// maxChain is the longest presented chain that is looked at; real ones have
// two to four certificates.
const maxChain = 16

// ChainOptions are the conditions of VerifyChain. Only Name is needed for
// usages 0 to 2, nothing for usage 3.
type ChainOptions struct {
	// Name is the reference identifier: the TLSA base domain (RFC 7671 section
	// 7). The leaf must carry it as a dNSName, where wildcards count, for
	// usages 0 to 2; empty makes those fail. Usage 3 needs no name.
	Name string

	// AlsoNames are further acceptable names, such as the name before CNAME
	// expansion.
	AlsoNames []string

	// Roots are the anchors of usages 0 and 1. Nil makes records of these
	// usages unusable: the system's roots count only if you pass
	// x509.SystemCertPool. Roots are never consulted for usages 2 and 3.
	Roots *x509.CertPool

	// Now is the time at which the certificates' dates are checked. Nil means
	// time.Now. Usage 3 checks no dates (RFC 7671 section 5.1) unless
	// StrictEE is set.
	Now func() time.Time

	// KeyUsages are the extended key usages of which one must be present or
	// unrestricted on a verified path (usages 0 to 2). Nil means server
	// authentication.
	KeyUsages []x509.ExtKeyUsage

	// StrictEE checks names and dates for usage 3 as well, beyond the RFC. It
	// stops a server from passing another one's key pair off as its own.
	StrictEE bool

	// MapPKIX reads usage 1 as 3, and usage 0 as 2 or 3, always with names and
	// dates checked, so that no Web PKI is needed (the mapping that RFC 7672
	// section 3.1.3 foresees). Zones written after the registry's first
	// design publish 0 0 1 where they mean the service's own certificate.
	MapPKIX bool
}

// Match says which record vouches for the certificate and how.
type Match struct {
	Record      dns.RR              // the *dns.TLSA or *dns.CERT that matched
	Depth       int                 // place of the matched certificate: 0 is the leaf
	Certificate *x509.Certificate   // what the record matched; nil if it is a bare key (usage 2, selector 1, full)
	Chain       []*x509.Certificate // verified path from the leaf to Certificate or to a root; the leaf alone for usage 3 and CERT

	// Name is the owner name that was asked for, Answer the validated answer
	// and Expires how long that may be relied on. They are unset by
	// VerifyChain and VerifyCERT, which ask nobody.
	Name    string
	Answer  *dnssec.Result
	Expires time.Time
}

// from fills in where the match's record came from.
func (m *Match) from(name string, answer *dnssec.Result) *Match {
	m.Name, m.Answer, m.Expires = name, answer, answer.Expires
	return m
}

// VerifyChain decides whether a TLS peer's certificate chain, leaf first,
// matches one of the TLSA records by the rules of RFC 6698 as updated by RFC
// 7671. The caller vouches for the records: they must come from a Secure
// answer. Any one matching record suffices, digest agility is applied, and
// unusable records are passed over.
//
// A trust anchor of usage 2 is looked for among the presented certificates
// above the leaf and, for records with the full certificate or key (2 0 0,
// 2 1 0), in the record itself.
//
// Failures are *Error: ErrNoMatch, ErrUnusable, ErrExpired, ErrWrongName or
// ErrInvalid. VerifyChain does no I/O and reads no clock but opts.Now.
func VerifyChain(chain []*x509.Certificate, tlsa []*dns.TLSA, opts ChainOptions) (*Match, error) {
	return verifyChain(chain, tlsa, opts, rules{opts.checkHost, opts.readUsage})
}

// rules are what differs between services, devices and authorities.
type rules struct {
	name  func(leaf *x509.Certificate) error    // is the leaf for the name wanted?
	usage func(usage uint8) (as uint8, _ error) // how a record's usage is read; an error makes it unusable
}

// verifyChain is VerifyChain under given rules.
func verifyChain(chain []*x509.Certificate, tlsa []*dns.TLSA, opts ChainOptions, r rules) (*Match, error) {
	if err := checkChain(chain); err != nil {
		return nil, err
	}
	recs, why := usableTLSA(tlsa, r.usage)
	if len(recs) == 0 {
		return nil, &Error{Kind: Unusable, Err: why}
	}
	v := &verification{chain: chain, opts: opts, name: r.name, now: now(opts.Now)}
	v.candidates = make([]candidate, len(chain))
	for i, c := range chain {
		v.candidates[i].cert = c
	}
	err := error(ErrNoMatch)
	for _, step := range []func([]tlsaRecord) (*Match, error){v.daneEE, v.pkixEE, v.daneTA, v.pkixTA} {
		m, serr := step(recs)
		if m != nil {
			return m, nil
		}
		if serr != nil {
			err = serr // says more than that nothing matched
		}
	}
	return nil, err
}

func (o *ChainOptions) readUsage(usage uint8) (uint8, error) {
	if usage <= UsagePKIXEE && o.Roots == nil && !o.MapPKIX {
		return 0, errors.New("usages 0 and 1 need ChainOptions.Roots")
	}
	return usage, nil
}

func (o *ChainOptions) checkHost(leaf *x509.Certificate) error {
	err := errors.New("no name to check the certificate against")
	for _, n := range append([]string{o.Name}, o.AlsoNames...) {
		if n == "" {
			continue
		}
		h, herr := cleanHost(n)
		if herr != nil {
			return herr
		}
		if err = leaf.VerifyHostname(h); err == nil {
			return nil
		}
	}
	return &Error{Kind: WrongName, Err: err}
}

func checkChain(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fail(Invalid, "", "no certificate was presented")
	}
	if len(chain) > maxChain {
		return fail(Invalid, "", "%d certificates presented; at most %d are looked at", len(chain), maxChain)
	}
	for _, c := range chain {
		if c == nil || len(c.Raw) == 0 {
			return fail(Invalid, "", "certificate is nil or was not parsed from DER")
		}
	}
	return nil
}

func now(f func() time.Time) time.Time {
	if f == nil {
		return time.Now()
	}
	return f()
}

// verification is one call of verifyChain.
type verification struct {
	chain      []*x509.Certificate
	candidates []candidate // the chain, in order
	opts       ChainOptions
	name       func(*x509.Certificate) error
	now        time.Time
}

func (v *verification) leaf() *x509.Certificate { return v.chain[0] }

// matching returns the first record of one of the usages that matches the
// presented certificate at depth.
func (v *verification) matching(recs []tlsaRecord, depth int, usages ...uint8) *dns.TLSA {
	for _, r := range recs {
		if slices.Contains(usages, r.usage) && v.candidates[depth].matches(r) {
			return r.TLSA
		}
	}
	return nil
}

// strict checks the leaf's name and dates without building a path.
func (v *verification) strict() error {
	if err := v.name(v.leaf()); err != nil {
		return err
	}
	return checkDates(v.leaf(), v.now)
}

func checkDates(c *x509.Certificate, t time.Time) error {
	if t.Before(c.NotBefore) {
		return fail(Expired, "", "valid only from %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	if t.After(c.NotAfter) {
		return fail(Expired, "", "expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// daneEE is RFC 7671 section 5.1: the key or certificate is the whole proof;
// names, dates and issuers do not count. With MapPKIX it takes usages 0 and 1
// along, with names and dates.
func (v *verification) daneEE(recs []tlsaRecord) (*Match, error) {
	rr := v.matching(recs, 0, UsageDANEEE)
	strict := v.opts.StrictEE
	if rr == nil && v.opts.MapPKIX {
		rr, strict = v.matching(recs, 0, UsagePKIXTA, UsagePKIXEE), true
	}
	if rr == nil {
		return nil, nil
	}
	if strict {
		if err := v.strict(); err != nil {
			return nil, err
		}
	}
	return &Match{Record: rr, Certificate: v.leaf(), Chain: v.chain[:1]}, nil
}

// pkixEE is RFC 6698 section 2.1.1, usage 1: the leaf matches and a path to a
// configured root exists.
func (v *verification) pkixEE(recs []tlsaRecord) (*Match, error) {
	if v.opts.Roots == nil {
		return nil, nil
	}
	rr := v.matching(recs, 0, UsagePKIXEE)
	if rr == nil {
		return nil, nil
	}
	paths, err := v.paths(v.opts.Roots)
	if err != nil {
		return nil, err
	}
	return &Match{Record: rr, Certificate: v.leaf(), Chain: paths[0]}, nil
}

// pkixTA is RFC 6698 section 2.1.1, usage 0: a path to a configured root
// exists, and a CA in it matches.
func (v *verification) pkixTA(recs []tlsaRecord) (*Match, error) {
	has := slices.ContainsFunc(recs, func(r tlsaRecord) bool { return r.usage == UsagePKIXTA })
	if !has || v.opts.Roots == nil {
		return nil, nil
	}
	paths, err := v.paths(v.opts.Roots)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		for depth := 1; depth < len(path); depth++ {
			c := candidate{cert: path[depth]}
			for _, r := range recs {
				if r.usage == UsagePKIXTA && c.matches(r) {
					return &Match{Record: r.TLSA, Depth: depth, Certificate: c.cert, Chain: path}, nil
				}
			}
		}
	}
	return nil, nil
}

// paths checks the leaf's name and returns its valid paths to roots.
func (v *verification) paths(roots *x509.CertPool) ([][]*x509.Certificate, error) {
	if err := v.name(v.leaf()); err != nil {
		return nil, err
	}
	inter := x509.NewCertPool()
	for _, c := range v.chain[1:] {
		inter.AddCert(c)
	}
	paths, err := v.leaf().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: inter, CurrentTime: v.now, KeyUsages: v.opts.KeyUsages,
	})
	if err != nil {
		return nil, pathError(err)
	}
	return paths, nil
}

func pathError(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return &Error{Kind: Expired, Err: err}
	}
	return &Error{Kind: NoMatch, Err: fmt.Errorf("no valid path to the authority: %w", err)}
}

func sameCert(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }
