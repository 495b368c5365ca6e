package dane

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// Verifier looks records up, demands that their answers are Secure, and
// compares certificates with them. Only Resolver is required. A Verifier is
// safe for concurrent use as long as its fields are not changed.
type Verifier struct {
	// Resolver validates every answer. It must not be nil.
	Resolver *dnssec.Resolver

	// Now is the time at which certificates' dates are checked. Nil means
	// time.Now. The resolver has a clock of its own, for signatures.
	Now func() time.Time

	// Naming says in which generations devices are published. Zero means
	// Deck2020 | Dance2022.
	Naming Naming

	// Roots are the anchors for TLSA usages 0 and 1; see ChainOptions.
	Roots *x509.CertPool

	// StrictEE and MapPKIX are passed on to VerifyChain; see ChainOptions.
	StrictEE, MapPKIX bool

	// FetchIPKIX enables CERT records of type IPKIX; see CERTOptions. Nil
	// refuses them.
	FetchIPKIX func(ctx context.Context, url string) ([]byte, error)

	// Evidence are proofs that the service, the profile or anybody else handed
	// over (RFC 9102), for a device that cannot reach any DNS: they count only
	// where a look-up gives no verdict, never against one. A record that was
	// withdrawn stays provable until its signatures expire, days later, so
	// evidence buys reach for delayed revocation. Nil means none is used.
	Evidence []*dnssec.Evidence

	// Timeout bounds the DNS work of one TLS handshake made with ClientConfig
	// or ServerConfig, whose hooks get no context. Zero means 10 seconds.
	Timeout time.Duration

	// MaxConcurrent is how many clients of one ServerConfig may cause DNS
	// look-ups at the same time; others wait, at most for Timeout. Zero means
	// 64.
	MaxConcurrent int
}

// Service decides whether chain, as a server on host and port presented it,
// leaf first, matches the TLSA records that host publishes for this port.
//
// If host is an alias and every CNAME is secure, the records of the name at
// the end of the aliases come first and those of host second (RFC 7671 section
// 7); both names are then acceptable in the certificate.
//
// Errors are *Error; see the package comment for the three outcomes.
func (v *Verifier) Service(ctx context.Context, host string, port uint16, chain []*x509.Certificate) (*Match, error) {
	s, err := v.service(ctx, host, port)
	if err != nil {
		return nil, err
	}
	return s.verify(v, chain)
}

// Device decides whether leaf is a certificate that the registry publishes for
// the device name, as a CERT record or else as a TLSA record at that name;
// [Verifier.Naming] says which of them are asked for. The name may come from
// the certificate itself (see ClientIdentity) but must have been checked
// against an allow-list by the caller; ServerConfig does all that.
//
// With a CERT record and with TLSA usages 0 to 2 the certificate must carry
// the name as a dNSName. ErrAbsent means that neither record exists, which is
// what revocation looks like. TLSA usage 2 needs the issuer's certificate too:
// use DeviceChain.
//
// Errors are *Error; see the package comment for the three outcomes.
func (v *Verifier) Device(ctx context.Context, name string, leaf *x509.Certificate) (*Match, error) {
	return v.DeviceChain(ctx, name, []*x509.Certificate{leaf})
}

// DeviceChain is Device for a certificate that came with its issuers, leaf
// first, as TLS clients present them.
func (v *Verifier) DeviceChain(ctx context.Context, name string, chain []*x509.Certificate) (*Match, error) {
	n, err := cleanName(name)
	if err != nil {
		return nil, err
	}
	if err := checkChain(chain); err != nil {
		return nil, named(err, n)
	}
	types := v.Naming.types(n)
	if len(types) == 0 {
		return nil, fail(Invalid, n, "not a device name of the generations that Verifier.Naming allows")
	}
	verdict := error(&Error{Kind: Absent, Name: n})
	for _, t := range types {
		m, err := v.deviceRecord(ctx, n, t, chain)
		if err == nil {
			return m, nil
		}
		if unknown(err) {
			return nil, err
		}
		if !errors.Is(err, ErrAbsent) {
			verdict = err
		}
	}
	return nil, verdict
}

// unknown reports whether a look-up gave no knowledge about the records, so
// that neither validity nor absence may be concluded from others.
func unknown(err error) bool {
	return !errors.Is(err, ErrAbsent) && !errors.Is(err, ErrNoMatch) && !errors.Is(err, ErrUnusable) &&
		!errors.Is(err, ErrExpired) && !errors.Is(err, ErrWrongName)
}

func (v *Verifier) deviceRecord(ctx context.Context, name string, qtype uint16, chain []*x509.Certificate) (m *Match, err error) {
	var answer *dnssec.Result
	if qtype == dns.TypeCERT {
		var certs []*dns.CERT
		if certs, answer, err = lookup[*dns.CERT](ctx, v, name, qtype); err != nil {
			return nil, err
		}
		m, err = VerifyCERT(chain[0], certs, v.certOptions(ctx, name))
	} else {
		var tlsa []*dns.TLSA
		if tlsa, answer, err = lookup[*dns.TLSA](ctx, v, name, qtype); err != nil {
			return nil, err
		}
		opts := v.chainOptions(x509.ExtKeyUsageClientAuth)
		exact := func(leaf *x509.Certificate) error {
			return checkExactName(leaf, name, v.Naming.Has(Prototype2020))
		}
		m, err = verifyChain(chain, tlsa, opts, rules{exact, opts.readUsage})
	}
	if err != nil {
		return nil, named(err, name)
	}
	return m.from(name, answer), nil
}

func (v *Verifier) certOptions(ctx context.Context, name string) CERTOptions {
	prototype := v.Naming.Has(Prototype2020)
	opts := CERTOptions{Name: name, Now: v.Now, AllowHash: prototype, AllowSubjectCN: prototype}
	if v.FetchIPKIX != nil {
		opts.Indirect = func(url string) ([]byte, error) { return v.FetchIPKIX(ctx, url) }
	}
	return opts
}

func (v *Verifier) chainOptions(usages ...x509.ExtKeyUsage) ChainOptions {
	return ChainOptions{Roots: v.Roots, Now: v.Now, KeyUsages: usages, StrictEE: v.StrictEE, MapPKIX: v.MapPKIX}
}

// lookup returns the records of one type at name from a Secure answer. Every
// other verdict is an error of the fitting kind; only a validated denial is
// Absent.
func lookup[T dns.RR](ctx context.Context, v *Verifier, name string, qtype uint16) ([]T, *dnssec.Result, error) {
	res, err := v.resolve(ctx, name, qtype)
	if err != nil {
		return nil, nil, err
	}
	var rrs []T
	for _, rr := range res.RRs {
		if t, ok := rr.(T); ok {
			rrs = append(rrs, t)
		}
	}
	if len(rrs) == 0 {
		return nil, nil, &Error{Kind: Absent, Name: name, Err: fmt.Errorf("validated denial of %s", dns.Type(qtype))}
	}
	return rrs, res, nil
}

// resolve returns a Secure result, positive or a denial, or an error.
func (v *Verifier) resolve(ctx context.Context, name string, qtype uint16) (*dnssec.Result, error) {
	if v.Resolver == nil {
		return nil, fail(Invalid, name, "Verifier.Resolver is nil")
	}
	res, err := v.Resolver.Lookup(ctx, dns.Fqdn(name), qtype)
	if err != nil || res.Status == dnssec.Indeterminate {
		if proved := v.proved(name, qtype); proved != nil {
			res, err = proved, nil
		}
	}
	if err != nil {
		return nil, &Error{Kind: Indeterminate, Name: name, Err: err}
	}
	switch res.Status {
	case dnssec.Secure:
		if res.Rcode != dns.RcodeSuccess && res.Rcode != dns.RcodeNameError {
			return nil, fail(Indeterminate, name, "answer with RCODE %s", dns.RcodeToString[res.Rcode])
		}
		return res, nil
	case dnssec.Insecure:
		return nil, &Error{Kind: Insecure, Name: name, Err: res.Reason}
	case dnssec.Bogus:
		return nil, &Error{Kind: Bogus, Name: name, Err: res.Reason}
	}
	return nil, &Error{Kind: Indeterminate, Name: name, Err: res.Reason}
}

// proved returns what the evidence at hand proves, or nil.
func (v *Verifier) proved(name string, qtype uint16) *dnssec.Result {
	now := time.Now
	if v.Resolver.Now != nil {
		now = v.Resolver.Now
	}
	at := now()
	if at.Before(v.Resolver.Floor) {
		at = v.Resolver.Floor
	}
	q := dns.Question{Name: dns.Fqdn(name), Qtype: qtype, Qclass: dns.ClassINET}
	for _, e := range v.Evidence {
		if res := e.Validate(q, v.Resolver.Anchors, at); res.Status == dnssec.Secure {
			return res
		}
	}
	return nil
}
