package dane

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// service is what the DNS says about one host and port.
type service struct {
	base, host string // TLSA base domain and the name asked for
	owner      string // owner name of the records
	tlsa       []*dns.TLSA
	answer     *dnssec.Result
}

func (s *service) verify(v *Verifier, chain []*x509.Certificate) (*Match, error) {
	opts := v.chainOptions(x509.ExtKeyUsageServerAuth)
	opts.Name, opts.AlsoNames = s.base, []string{s.host}
	m, err := VerifyChain(chain, s.tlsa, opts)
	if err != nil {
		return nil, named(err, s.owner)
	}
	return m.from(s.owner, s.answer), nil
}

// service finds the TLSA base domain and its records. The address look-up,
// which shows the aliases, and the first TLSA look-up run at the same time.
func (v *Verifier) service(ctx context.Context, host string, port uint16) (*service, error) {
	if _, err := ServiceName(host, port); err != nil {
		return nil, err
	}
	h, err := cleanHost(host)
	if err != nil {
		return nil, err
	}
	type outcome struct {
		base string
		err  error
	}
	aliases := make(chan outcome, 1)
	go func() {
		base, err := v.expand(ctx, h)
		aliases <- outcome{base, err}
	}()
	own, ownErr := v.serviceAt(ctx, h, h, port)
	a := <-aliases
	if a.err != nil {
		return nil, a.err
	}
	if a.base != h {
		expanded, err := v.serviceAt(ctx, a.base, h, port)
		if err == nil || !noRecords(err) {
			return expanded, err
		}
	}
	return own, ownErr
}

// noRecords reports whether a name has no TLSA records that could be used, so
// that the other candidate for the TLSA base domain is looked at.
func noRecords(err error) bool {
	return errors.Is(err, ErrAbsent) || errors.Is(err, ErrInsecure)
}

func (v *Verifier) serviceAt(ctx context.Context, base, host string, port uint16) (*service, error) {
	owner, err := ServiceName(base, port)
	if err != nil {
		return nil, err
	}
	tlsa, answer, err := lookup[*dns.TLSA](ctx, v, owner, dns.TypeTLSA)
	if err != nil {
		return nil, err
	}
	return &service{base: base, host: host, owner: owner, tlsa: tlsa, answer: answer}, nil
}

// expand returns the name at the end of host's CNAMEs if all of them are
// secure, else host (RFC 7671 section 7). It asks for addresses: the aliases
// are the same for every type, and a program needs the addresses anyway.
func (v *Verifier) expand(ctx context.Context, host string) (string, error) {
	res, err := v.resolve(ctx, host, dns.TypeA)
	if errors.Is(err, ErrInsecure) {
		return host, nil
	}
	if err != nil {
		return "", err
	}
	base, err := cleanName(res.Name)
	if err != nil {
		return host, nil // the aliases end in a name that can have no service
	}
	return base, nil
}
